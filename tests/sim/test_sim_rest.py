from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest
import trio

from aegis.errors import Refused
from aegis.sim import ExchangeOptions, Server

pytestmark = [pytest.mark.trio, pytest.mark.processes]

MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=60000"


async def test_public_endpoints_answer(client: Any) -> None:
    """Time, contracts, book, mark and candles need no key."""
    http = httpx.AsyncClient(base_url=client.server.rest_url)
    async with http:
        assert (await http.get("/fapi/v1/ping")).json() == {}
        assert (await http.get("/fapi/v1/time")).json()["serverTime"] > 1_700_000_000_000
        info = (await http.get("/fapi/v1/exchangeInfo")).json()
        book = (await http.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")).json()
        ticker = (await http.get("/fapi/v1/ticker/bookTicker")).json()
        mark = (await http.get("/fapi/v1/premiumIndex?symbol=BTCUSDT")).json()
    assert [each["symbol"] for each in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    filters = {each["filterType"]: each for each in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.10"
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "120"
    assert filters["MIN_NOTIONAL"]["notional"] == "100"
    bids, asks = book["bids"], book["asks"]
    assert len(bids) == len(asks) == 5
    assert bids == sorted(bids, reverse=True)
    assert float(bids[0][0]) < float(asks[0][0])
    assert [each["symbol"] for each in ticker] == ["BTCUSDT", "ETHUSDT"]
    assert mark["nextFundingTime"] % 28_800_000 == 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/fapi/v1/depth?symbol=NOPE", -1121),
        ("/fapi/v1/depth", -1102),
        ("/fapi/v1/depth?symbol=BTCUSDT&limit=7", -4021),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=7m", -1120),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=9999", -1130),
        ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=2&endTime=1", -1023),
        ("/fapi/v1/nothing", -5000),
    ],
)
async def test_public_endpoints_refuse(client: Any, path: str, code: int) -> None:
    """Wrong questions get the published code, unknown paths status 404."""
    reply = await client.http.get(path)
    assert (reply.status_code, reply.json()["code"]) == (404 if code == -5000 else 400, code)


async def test_order_lives_from_new_to_canceled(client: Any) -> None:
    """A resting order can be queried by both ids, listed, and cancelled once."""
    placed = (await client.order(LIMIT + "&newClientOrderId=mine")).json()
    assert (placed["status"], placed["price"], placed["origQty"]) == ("NEW", "60000.00", "0.010")
    by_id = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    by_name = "symbol=BTCUSDT&origClientOrderId=mine"
    queried = (await client.call("GET", "/fapi/v1/order", by_name)).json()
    assert queried["orderId"] == placed["orderId"]
    assert (await client.call("GET", "/fapi/v1/openOrder", by_id)).json() == queried
    assert (await client.call("GET", "/fapi/v1/openOrders")).json() == [queried]
    assert (await client.order(LIMIT + "&newClientOrderId=mine")).json()["code"] == -4116
    cancelled = (await client.call("DELETE", "/fapi/v1/order", by_id)).json()
    assert cancelled["status"] == "CANCELED"
    assert (await client.call("DELETE", "/fapi/v1/order", by_id)).json()["code"] == -2011
    assert (await client.call("GET", "/fapi/v1/openOrder", by_id)).json()["code"] == -2013
    assert (await client.call("GET", "/fapi/v1/order", by_id)).json()["status"] == "CANCELED"
    everything = (await client.call("GET", "/fapi/v1/allOrders", "symbol=BTCUSDT")).json()
    assert [each["orderId"] for each in everything] == [placed["orderId"]]


@pytest.mark.parametrize(
    "more", ["closePosition=true", "stopPrice=60000", "activationPrice=1", "callbackRate=0.5"]
)
async def test_what_only_a_conditional_order_takes_is_refused(client: Any, more: str) -> None:
    """An order that forgot it would be another one: to close a position that is not there, it would open one."""
    for order in (MARKET, LIMIT):
        assert (await client.order(f"{order}&{more}")).json()["code"] == -1106
    assert (await client.order(f"{MARKET}&closePosition=false&stopPrice=0")).status_code == 200


async def test_history_is_paged_by_time_as_well(client: Any) -> None:
    """With a start the first rows come first, so that whoever goes on from the last one misses none; a week at most."""
    exchange = client.server.exchange
    for _ in range(3):
        await client.order(MARKET)
    ids = [each.id for each in exchange.trades]
    begin = exchange.trades[0].time_ms
    asked = f"symbol=BTCUSDT&startTime={begin}"
    first = (await client.call("GET", "/fapi/v1/userTrades", f"{asked}&limit=2")).json()
    assert [row["id"] for row in first] == ids[:2]
    newest = (await client.call("GET", "/fapi/v1/userTrades", "symbol=BTCUSDT&limit=2")).json()
    assert [row["id"] for row in newest] == ids[-2:]
    orders = [order.id for order in exchange.orders]
    for span, expected in (
        (f"startTime={begin - 60_000}", orders),
        (f"startTime={begin + 60_000}", []),
        (f"endTime={begin - 60_000}", []),
    ):
        found = (await client.call("GET", "/fapi/v1/allOrders", f"symbol=BTCUSDT&{span}")).json()
        assert [row["orderId"] for row in found] == expected
    for path in ("userTrades", "allOrders"):
        for span in (f"startTime={begin}&endTime={begin - 1}", f"startTime=0&endTime={begin}"):
            reply = await client.call("GET", f"/fapi/v1/{path}", f"symbol=BTCUSDT&{span}")
            assert reply.json()["code"] in {-1023, -4165}


async def test_income_tells_of_every_change_of_the_wallet(client: Any) -> None:
    """Of trades and of all else, in the order of time, by kind and from a moment on; the sum is what the wallet gained."""
    exchange = client.server.exchange
    await client.order(MARKET)
    await client.order(MARKET.replace("BUY", "SELL"))
    now_ms = exchange.trades[-1].time_ms
    exchange.transferred(Decimal(500), now_ms + 1)
    rows = (
        await client.call(
            "GET", "/fapi/v1/income", f"startTime={now_ms - 60_000}&endTime={now_ms + 1}"
        )
    ).json()
    assert sum(Decimal(row["income"]) for row in rows) == exchange.account.wallet - 10_000
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    kinds = [row["incomeType"] for row in rows]
    assert (kinds.count("COMMISSION"), kinds.count("REALIZED_PNL"), kinds[-1]) == (2, 1, "TRANSFER")
    assert len({(row["incomeType"], row["tranId"]) for row in rows}) == len(rows)
    only = f"incomeType=TRANSFER&startTime=0&endTime={now_ms + 1}"
    assert (await client.call("GET", "/fapi/v1/income", only)).json() == rows[-1:]
    newest = f"limit=1&endTime={now_ms + 1}"
    assert (await client.call("GET", "/fapi/v1/income", newest)).json() == rows[-1:]
    first = f"limit=1&startTime=0&endTime={now_ms + 1}"
    assert (await client.call("GET", "/fapi/v1/income", first)).json() == rows[:1]
    for limit in (0, 1001):
        reply = await client.call("GET", "/fapi/v1/income", f"limit={limit}")
        assert reply.json()["code"] == -1130


async def test_ack_says_nothing_of_fills_and_result_does(client: Any) -> None:
    """An ACK carries executedQty 0 though the order is filled; RESULT carries the final state."""
    ack = (await client.order(MARKET)).json()
    assert (ack["status"], ack["executedQty"]) == ("NEW", "0.000")
    result = (await client.order(MARKET + "&newOrderRespType=RESULT")).json()
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.010")
    assert float(result["avgPrice"]) > 0
    assert (await client.order(MARKET + "&newOrderRespType=FULL")).json()["code"] == -1136


async def test_positions_account_and_trades_agree(client: Any) -> None:
    """After a fill positionRisk, account, balance and userTrades tell the same story."""
    await client.order(MARKET)
    (trade,) = (await client.call("GET", "/fapi/v1/userTrades", "symbol=BTCUSDT")).json()
    (position,) = (await client.call("GET", "/fapi/v3/positionRisk")).json()
    account = (await client.call("GET", "/fapi/v3/account")).json()
    (balance,) = (await client.call("GET", "/fapi/v3/balance")).json()
    assert (position["positionAmt"], trade["qty"]) == ("0.010", "0.010")
    assert float(position["entryPrice"]) == float(trade["price"])
    assert account["positions"][0]["positionAmt"] == "0.010"
    wallet = 10_000 - float(trade["commission"])
    assert float(account["totalWalletBalance"]) == float(balance["balance"]) == wallet
    everything = (await client.call("GET", "/fapi/v2/positionRisk")).json()
    assert [each["symbol"] for each in everything] == ["BTCUSDT", "ETHUSDT"]
    assert everything[0]["leverage"] == "20"
    whole = (await client.call("GET", "/fapi/v2/account")).json()
    assert len(whole["positions"]) == 2
    assert float(whole["availableBalance"]) < wallet
    later = f"symbol=BTCUSDT&fromId={trade['id'] + 1}"
    assert (await client.call("GET", "/fapi/v1/userTrades", later)).json() == []


async def test_account_settings_answer(client: Any) -> None:
    """Leverage, brackets, commission and modes behave as a one-way crossed account."""
    changed = (await client.call("POST", "/fapi/v1/leverage", "symbol=BTCUSDT&leverage=50")).json()
    assert changed == {"leverage": 50, "maxNotionalValue": "12000000", "symbol": "BTCUSDT"}
    refused = await client.call("POST", "/fapi/v1/leverage", "symbol=BTCUSDT&leverage=126")
    assert refused.json()["code"] == -4028
    (ladder,) = (await client.call("GET", "/fapi/v1/leverageBracket", "symbol=BTCUSDT")).json()
    assert ladder["brackets"][1]["cum"] == 50
    rate = (await client.call("GET", "/fapi/v1/commissionRate", "symbol=BTCUSDT")).json()
    assert (rate["makerCommissionRate"], rate["takerCommissionRate"]) == ("0.0002", "0.0005")
    for path, name, unchanged in (
        ("/fapi/v1/positionSide/dual", "dualSidePosition", -4059),
        ("/fapi/v1/multiAssetsMargin", "multiAssetsMargin", -4171),
    ):
        assert (await client.call("GET", path)).json() == {name: False}
        assert (await client.call("POST", path, f"{name}=false")).json()["code"] == unchanged
        assert (await client.call("POST", path, f"{name}=true")).json()["code"] == -1020


async def test_countdown_cancels_over_the_wire(client: Any) -> None:
    """A short dead man's countdown cancels the open orders of its symbol."""
    order = (await client.order(LIMIT)).json()
    armed = "symbol=BTCUSDT&countdownTime=1"
    reply = await client.call("POST", "/fapi/v1/countdownCancelAll", armed)
    assert reply.json() == {"symbol": "BTCUSDT", "countdownTime": "1"}
    query = f"symbol=BTCUSDT&orderId={order['orderId']}"
    with trio.fail_after(5):
        while (await client.call("GET", "/fapi/v1/order", query)).json()["status"] == "NEW":
            await trio.lowlevel.checkpoint()
    await client.order(LIMIT)
    done = await client.call("DELETE", "/fapi/v1/allOpenOrders", "symbol=BTCUSDT")
    assert done.json()["code"] == 200
    assert client.server.exchange.open_orders() == []


async def test_signature_covers_query_and_body(client: Any) -> None:
    """A request split over query and body is accepted when signed over both, refused when one byte differs."""
    query, body = LIMIT, client.signed("recvWindow=5000").partition("&signature=")[0]
    signature = client.signature(query + body)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for mark, expected in ((signature, 200), ("0" + signature[1:] + "0", 400)):
        content = f"{body}&signature={mark}"
        reply = await client.http.post(f"/fapi/v1/order?{query}", content=content, headers=headers)
        assert reply.status_code == expected


async def test_callers_are_checked(client: Any) -> None:
    """Wrong signature, wrong clock and wrong key are refused with their codes and statuses."""
    path = f"/fapi/v1/order?{client.signed(LIMIT)}"
    assert (await client.http.post(path + "0")).json()["code"] == -1022
    unsigned = await client.http.post(f"/fapi/v1/order?{LIMIT}")
    assert unsigned.json()["code"] == -1102
    for key, code in (("x" * 64, -2015), ("?", -2014)):
        reply = await client.http.post(path, headers={"X-MBX-APIKEY": key})
        assert (reply.status_code, reply.json()["code"]) == (401, code)
    for skew_ms, text in ((-6000, "outside of the recvWindow"), (2500, "1000ms ahead")):
        client.skew_ms = skew_ms
        reply = await client.order(LIMIT)
        assert reply.json()["code"] == -1021
        assert text in reply.json()["msg"]
    assert client.server.exchange.open_orders() == []


async def test_limits_are_told_and_enforced(serve: Any) -> None:
    """Used weight stands in a header, then comes 429 with a word on when to come back."""
    server = await serve(seed=1, weight_a_minute=21)
    async with httpx.AsyncClient(base_url=server.rest_url) as http:
        reply = await http.get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
        assert reply.headers["x-mbx-used-weight-1m"] == "20"
        refused = await http.get("/fapi/v1/ticker/bookTicker")
    assert (refused.status_code, refused.json()["code"]) == (429, -1003)
    assert "retry-after" in refused.headers


async def test_order_counts_are_told(client: Any) -> None:
    """An accepted order tells how many were sent in ten seconds and a minute."""
    reply = await client.order(MARKET)
    assert reply.headers["x-mbx-order-count-10s"] == "1"
    assert reply.headers["x-mbx-order-count-1m"] == "1"


async def test_klines_come_from_the_tape(client: Any) -> None:
    """Candles of the past come first; the running one appears once the market has traded."""
    began = (await client.http.get("/fapi/v1/time")).json()["serverTime"]
    rows = [[0] * 12]
    with trio.fail_after(10):
        while rows[-1][6] < began:
            reply = await client.http.get("/fapi/v1/klines?symbol=BTCUSDT&interval=1m")
            rows = reply.json()
    assert len(rows) == 500
    assert len(rows[0]) == 12
    assert rows[0][0] % 60_000 == 0
    assert float(rows[0][5]) > 0


async def test_server_survives_what_is_no_http(server: Server) -> None:
    """Garbage, half a request and a client that leaves do no harm to the next one."""
    for garbage in (
        b"\x16\x03\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"G" * 20_000,
        b"GET /",
    ):
        stream = await trio.open_tcp_stream("127.0.0.1", server.port)
        async with stream:
            await stream.send_all(garbage)
            await stream.send_eof()
            async for _ in stream:
                continue
    async with httpx.AsyncClient(base_url=server.rest_url) as http:
        assert (await http.get("/fapi/v1/ping")).status_code == 200


async def test_head_has_no_body(server: Server) -> None:
    """Whoever only wants to know whether it is there ends nothing by asking."""
    async with httpx.AsyncClient(base_url=server.rest_url) as http:
        for _ in range(2):
            reply = await http.head("/fapi/v1/ping")
            assert (reply.content, int(reply.headers["content-length"]) > 0) == (b"", True)
        assert (await http.get("/fapi/v1/ping")).status_code == 200


async def test_oversized_body_is_refused(server: Server) -> None:
    """A body beyond a mebibyte is answered with 413."""
    async with httpx.AsyncClient(base_url=server.rest_url) as http:
        reply = await http.post("/fapi/v1/order", content=b"x" * (1024 * 1024 + 1))
    assert reply.status_code == 413


async def test_taken_port_is_refused(server: Server, serve: Any) -> None:
    """A port in use ends the start with one line that names it."""
    with pytest.RaisesGroup(Refused, flatten_subgroups=True) as group:
        async with trio.open_nursery() as nursery:
            second = Server(ExchangeOptions(port=server.port), lambda: 0)
            await nursery.start(second.run)
    assert f"127.0.0.1:{server.port}" in str(group.value.exceptions[0])
