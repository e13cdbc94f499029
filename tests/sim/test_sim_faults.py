from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from aegis.sim import OrderFaultKind

pytestmark = [pytest.mark.trio, pytest.mark.processes]

MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01&newClientOrderId=mine"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [(OrderFaultKind.TIMEOUT_1007, 408, -1007), (OrderFaultKind.UNKNOWN_503, 503, -1000)],
)
async def test_spoilt_reply_hides_an_executed_order(
    client: Any, kind: OrderFaultKind, status: int, code: int
) -> None:
    """The client is told that nobody knows, and a query by client id finds the order filled."""
    client.server.faults.spoil_next_order(kind)
    reply = await client.order(MARKET)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    query = "symbol=BTCUSDT&origClientOrderId=mine"
    assert (await client.call("GET", "/fapi/v1/order", query)).json()["status"] == "FILLED"
    assert (await client.order(MARKET.replace("mine", "two"))).status_code == 200


async def test_dropped_connection_hides_an_executed_order(client: Any) -> None:
    """The connection ends without a reply, and the order was executed once."""
    client.server.faults.spoil_next_order(OrderFaultKind.DROP_CONNECTION)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.order(MARKET)
    assert len(client.server.exchange.trades) == 1


async def test_delayed_reply_comes_after_the_fill(client: Any) -> None:
    """The order is executed at once though its reply is late."""
    client.server.faults.spoil_next_order(OrderFaultKind.DELAY, delay_s=0.2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.order, MARKET)
        with trio.fail_after(5):
            while not client.server.exchange.trades:
                await trio.lowlevel.checkpoint()
        assert len(nursery.child_tasks) == 1


async def test_refused_order_uses_up_no_fault(client: Any) -> None:
    """A fault waits for an order that is accepted."""
    client.server.faults.spoil_next_order(OrderFaultKind.UNKNOWN_503)
    assert (await client.order(MARKET.replace("0.01", "0"))).json()["code"] == -4003
    assert (await client.order(MARKET)).status_code == 503
