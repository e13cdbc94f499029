"""Silence, as a value; and a client of the exchange that keeps it, against a server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import attrs
import pytest
import trio

from aegis.errors import Unavailable
from aegis.kernel.clock import Clock, ManualClock, SystemClock
from aegis.orders.instrument import Side
from aegis.orders.order import Ticket
from aegis.venue import outcome
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.outcome import classify
from aegis.venue.signing import Credentials
from aegis.venue.silence import Silence

NOW_MS = 1_700_000_000_000
BANNED = b'{"code":-1003,"msg":"Way too many requests; IP(x) banned until 1700000777000. Please"}'
TOO_MANY = b'{"code":-1003,"msg":"Too many requests"}'
TOO_MANY_ORDERS = b'{"code":-1015,"msg":"Too many new orders"}'
TICKET = Ticket(
    symbol="BTCUSDT",
    side=Side.BUY,
    quantity=Decimal("0.001"),
    reduce_only=True,
    limit_price=None,
    reference_price=Decimal(60_000),
    stop_price=None,
    signal_id=1,
    checks=("reduces",),
    data_age_us=0,
)


@pytest.mark.parametrize(
    ("status", "headers", "body", "until_ms"),
    [
        (200, {}, b"{}", 0),
        (400, {"retry-after": "5"}, b'{"code":-1102,"msg":""}', 0),
        (403, {}, b"<html>403 Forbidden</html>", NOW_MS + 60_000),
        (418, {}, BANNED, 1_700_000_777_000),
        (418, {"retry-after": "5"}, BANNED, 1_700_000_777_000),
        (418, {}, b"<html>", NOW_MS + 120_000),
        (418, {"retry-after": "300"}, b"<html>", NOW_MS + 300_000),
        (429, {}, TOO_MANY, NOW_MS + 10_000),
        (429, {"retry-after": "7"}, TOO_MANY, NOW_MS + 7_000),
        (429, {"retry-after": "soon"}, TOO_MANY, NOW_MS + 10_000),
    ],
)
def test_silence_lasts_as_long_as_the_exchange_says(
    status: int, headers: dict[str, str], body: bytes, until_ms: int
) -> None:
    """The end that a ban names counts, then `Retry-After`, then the shortest that is known."""
    silence = Silence()
    silence.follow(status, headers, classify(status, body), NOW_MS)
    assert silence.until_ms == until_ms
    assert silence.lasts(NOW_MS) == (until_ms > NOW_MS)
    assert not silence.lasts(until_ms)


def test_silence_is_never_made_shorter() -> None:
    """A later and milder answer does not end a ban."""
    silence = Silence()
    silence.follow(418, {}, classify(418, BANNED), NOW_MS)
    silence.follow(429, {"retry-after": "1"}, classify(429, TOO_MANY), NOW_MS + 1)
    assert silence.until_ms == 1_700_000_777_000


@attrs.define
class Exchange:
    """A server that answers every request with the same, and counts them."""

    status: int
    body: bytes
    url: str = ""
    requests: list[bytes] = attrs.Factory(list)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer until the client is gone."""
        head = b""
        async with stream:
            while some := bytes(await stream.receive_some(4096)):
                head += some
                if head.endswith(b"\r\n\r\n"):
                    self.requests.append(head.partition(b"?")[0])
                    head = b""
                    length = f"content-length: {len(self.body)}\r\n\r\n".encode()
                    status = f"HTTP/1.1 {self.status} Some\r\n".encode()
                    await stream.send_all(status + length + self.body)


@asynccontextmanager
async def client_of(exchange: Exchange, clock: Clock | None = None) -> AsyncIterator[BinanceRest]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, exchange.serve, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with BinanceRest(url, Credentials("key", "secret"), clock or SystemClock()) as rest:
            yield rest
        nursery.cancel_scope.cancel()


@pytest.mark.processes
@pytest.mark.parametrize("status", [403, 418, 429])
async def test_client_that_asked_too_much_asks_for_nothing_more(status: int) -> None:
    """Neither an order nor a question goes out before the silence is over: each would make the ban longer."""
    exchange = Exchange(status, TOO_MANY)
    async with client_of(exchange) as rest:
        with pytest.raises(Unavailable):
            await rest.open_orders()
        placed = await rest.place("aegis-1-1", TICKET)
        assert isinstance(placed.outcome, outcome.Unavailable)
        assert isinstance(await rest.cancel("BTCUSDT", "aegis-1-1"), outcome.Unavailable)
        with pytest.raises(Unavailable, match="the exchange wants no requests"):
            await rest.account()
    assert exchange.requests == [b"GET /fapi/v1/openOrders"]


@pytest.mark.processes
async def test_order_can_bring_the_silence() -> None:
    """What the exchange says to an order counts for everything that is asked."""
    exchange = Exchange(418, TOO_MANY)
    async with client_of(exchange) as rest:
        await rest.place("aegis-1-1", TICKET)
        with pytest.raises(Unavailable):
            await rest.open_orders()
    assert exchange.requests == [b"POST /fapi/v1/order"]


@pytest.mark.processes
async def test_too_many_orders_leave_the_questions_open() -> None:
    """The limit of orders is one of orders: what became of them may still be asked."""
    exchange = Exchange(429, TOO_MANY_ORDERS)
    async with client_of(exchange) as rest:
        await rest.place("aegis-1-1", TICKET)
        second = await rest.place("aegis-1-2", TICKET)
        assert isinstance(second.outcome, outcome.Unavailable)
        with pytest.raises(Unavailable):
            await rest.open_orders()
    assert exchange.requests == [b"POST /fapi/v1/order", b"GET /fapi/v1/openOrders"]


@pytest.mark.processes
async def test_an_exit_that_was_tried_during_a_ban_leaves_as_soon_as_it_is_over() -> None:
    """However often it was tried: what never left takes nothing from the pace of those that do."""
    clock, exchange = ManualClock(), Exchange(418, TOO_MANY)
    async with client_of(exchange, clock) as rest:
        for number in range(1000):
            placed = await rest.place(f"aegis-1-{number}", TICKET)
            assert isinstance(placed.outcome, outcome.Unavailable)
        assert len(exchange.requests) == 1
        clock.move_to(121 * 10**9)
        exchange.status, exchange.body = 200, b'{"orderId":7}'
        placed = await rest.place("aegis-1-1000", TICKET)
        assert placed.outcome == outcome.Accepted(7)


async def test_an_exit_that_finds_nobody_takes_nothing_from_the_pace() -> None:
    """While the exchange cannot be connected to, every try says so, and not that there were too many."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    url = f"http://127.0.0.1:{port}"
    async with BinanceRest(url, Credentials("key", "secret"), ManualClock()) as rest:
        for number in range(300):
            placed = await rest.place(f"aegis-1-{number}", TICKET)
            assert isinstance(placed.outcome, outcome.Unavailable)
            assert "throttle" not in placed.outcome.why
