from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    open_websocket_url,
)

from aegis.sim import Server
from aegis.sim.connection import SocketTerms
from aegis.sim.routes import Route

pytestmark = [pytest.mark.trio, pytest.mark.processes]

MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"


@asynccontextmanager
async def connect(server: Server, path: str) -> AsyncIterator[WebSocketConnection]:
    """Open a WebSocket; its TCP socket too is closed at the end, which the library forgets if the server went first."""
    async with open_websocket_url(server.streams_url + path, message_queue_size=1000) as socket:
        try:
            yield socket
        finally:
            if socket.closed:
                await trio.aclose_forcefully(socket._stream)


async def shake_hands(server: Server, path: str) -> trio.SocketStream:
    """Ask for a WebSocket without a library that answers pings or reads."""
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await stream.send_all(request.encode())
    return stream


async def receive(socket: WebSocketConnection) -> Any:
    """Return the next message, decoded."""
    with trio.fail_after(5):
        return msgspec.json.decode(await socket.get_message())


async def ask(socket: WebSocketConnection, method: str, *params: Any, identity: int = 1) -> Any:
    """Send a control frame and return its reply, passing over stream frames."""
    await socket.send_message(
        msgspec.json.encode({"method": method, "params": params, "id": identity}).decode()
    )
    while "id" not in (reply := await receive(socket)):
        continue
    return reply


async def closing_code(socket: WebSocketConnection) -> int:
    """Read until the server closes and return why."""
    with trio.fail_after(10):
        while True:
            try:
                await socket.get_message()
            except ConnectionClosed:
                return int(socket.closed.code)


async def test_raw_and_combined_forms(server: Server) -> None:
    """A raw connection gets bare payloads, a combined one gets them wrapped with their stream."""
    async with connect(server, "/public/ws/btcusdt@bookTicker") as socket:
        assert (await receive(socket))["e"] == "bookTicker"
    streams = "btcusdt@aggTrade/ethusdt@aggTrade"
    async with connect(server, f"/market/stream?streams={streams}") as socket:
        message = await receive(socket)
    assert set(message) == {"stream", "data"}
    assert message["stream"] in streams
    assert message["data"]["e"] == "aggTrade"


async def test_subscriptions_change_while_connected(server: Server) -> None:
    """Streams can be added, listed and removed, and the form can be switched."""
    async with connect(server, "/market/ws") as socket:
        assert await ask(socket, "SUBSCRIBE", "btcusdt@aggTrade") == {"result": None, "id": 1}
        assert (await receive(socket))["e"] == "aggTrade"
        listed = await ask(socket, "LIST_SUBSCRIPTIONS", identity=2)
        assert listed == {"result": ["btcusdt@aggTrade"], "id": 2}
        await ask(socket, "SET_PROPERTY", "combined", True)
        assert (await receive(socket))["stream"] == "btcusdt@aggTrade"
        await ask(socket, "UNSUBSCRIBE", "btcusdt@aggTrade")
        assert not server.hub.heard("btcusdt@aggTrade")


async def test_wrong_route_is_acknowledged_and_silent(server: Server) -> None:
    """A market stream subscribed to on /public is acknowledged, listed, and never speaks."""
    async with connect(server, "/public/ws") as socket:
        assert await ask(socket, "SUBSCRIBE", "btcusdt@aggTrade") == {"result": None, "id": 1}
        listed = await ask(socket, "LIST_SUBSCRIPTIONS")
        assert listed["result"] == ["btcusdt@aggTrade"]
        assert not server.hub.heard("btcusdt@aggTrade")


async def test_mark_price_keeps_its_cadence(server: Server) -> None:
    """The mark price stream speaks by the clock, whatever the market does."""
    async with connect(server, "/market/ws/btcusdt@markPrice@1s") as socket:
        first, second = await receive(socket), await receive(socket)
    assert (first["e"], first["s"]) == ("markPriceUpdate", "BTCUSDT")
    assert second["E"] - first["E"] > 900


@pytest.mark.parametrize("path", ["/ws/btcusdt@depth", "/stream", "/public", "/elsewhere", "//[x"])
async def test_unserved_path_is_rejected(server: Server, path: str) -> None:
    """A path that the venue does not serve is answered with 404 instead of a WebSocket."""
    async with await shake_hands(server, path) as stream:
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 404")


async def test_own_fill_is_on_the_public_tape(client: Any) -> None:
    """A fill of an own order is printed for everyone, and trade ids stay contiguous."""
    async with connect(client.server, "/market/ws/btcusdt@aggTrade") as socket:
        before = await receive(socket)
        await client.order(MARKET)
        (own,) = client.server.exchange.trades
        printed = before
        while printed["l"] < own.id:
            last, printed = printed["l"], await receive(socket)
            assert printed["f"] == last + 1
    assert (printed["q"], printed["m"]) == ("0.010", False)


async def test_user_stream_tells_in_order(client: Any) -> None:
    """One MARKET order is told as TRADE_LITE, ACCOUNT_UPDATE, NEW and TRADE with one T."""
    key = await client.listen_key()
    async with connect(client.server, f"/private/ws/{key}") as socket:
        placed = (await client.order(MARKET)).json()
        events = [await receive(socket) for _ in range(4)]
    names = [each["e"] for each in events]
    assert names == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    assert len({each["T"] for each in events}) == 1
    assert [each["o"]["x"] for each in events[2:]] == ["NEW", "TRADE"]
    assert events[3]["o"]["i"] == placed["orderId"]


async def test_user_stream_filters_and_wraps(client: Any) -> None:
    """The query form takes an events filter; the combined form wraps events with the key."""
    key = await client.listen_key()
    wanted = f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE"
    async with (
        connect(client.server, wanted) as some,
        connect(client.server, f"/private/stream?listenKey={key}") as wrapped,
    ):
        await client.order(MARKET)
        await client.order(MARKET)
        assert {(await receive(some))["e"] for _ in range(2)} == {"ACCOUNT_UPDATE"}
        assert (await receive(wrapped))["stream"] == key


async def test_listen_key_expiry_is_told_then_silence(client: Any) -> None:
    """After expiry the stream says so, stays open and silent; a new key on a new socket works."""
    old = await client.listen_key()
    async with connect(client.server, f"/private/ws/{old}") as silent:
        client.server.faults.expire_listen_key()
        assert await receive(silent) == {
            "e": "listenKeyExpired",
            "E": pytest.approx(client.server._wall_ms(), abs=5_000),
            "listenKey": old,
        }
        refused = await client.http.put("/fapi/v1/listenKey")
        assert refused.json()["code"] == -1125
        new = await client.listen_key()
        assert new != old
        async with connect(client.server, f"/private/ws/{new}") as speaking:
            await client.order(MARKET)
            assert (await receive(speaking))["e"] == "TRADE_LITE"
        assert (await ask(silent, "LIST_SUBSCRIPTIONS")) == {"result": [old], "id": 1}


async def test_listen_key_can_be_kept_and_closed(client: Any) -> None:
    """PUT extends the same key, DELETE ends it, and neither works without a key header."""
    key = await client.listen_key()
    assert await client.listen_key() == key
    assert (await client.http.put("/fapi/v1/listenKey")).json() == {"listenKey": key}
    assert (await client.http.delete("/fapi/v1/listenKey")).json() == {}
    assert client.server.listen_keys.active is None
    async with httpx.AsyncClient(base_url=client.server.rest_url) as http:
        assert (await http.post("/fapi/v1/listenKey")).status_code == 401


async def test_chatty_client_is_cut_off(server: Server) -> None:
    """The eleventh message within a second ends the connection."""
    async with connect(server, "/public/ws") as socket:
        for identity in range(11):
            text = f'{{"method":"LIST_SUBSCRIPTIONS","id":{identity}}}'
            await socket.send_message(text)
        assert await closing_code(socket) == 1008


async def test_invalid_json_is_answered_then_cut_off(server: Server) -> None:
    """Text that is no JSON gets error 3 and the connection ends."""
    async with connect(server, "/public/ws") as socket:
        await socket.send_message("{")
        assert (await receive(socket))["error"]["code"] == 3
        assert await closing_code(socket) == 1008


async def test_slow_client_is_cut_off(serve: Any) -> None:
    """A client that does not read loses its connection once its outbox is full; others go on."""
    server = await serve(seed=3, sockets=SocketTerms(outbox_bytes=50_000))
    async with (
        connect(server, "/public/ws/btcusdt@bookTicker") as quick,
        await shake_hands(server, "/public/ws/ethusdt@bookTicker"),
    ):
        await server.hub.until_heard(["ethusdt@bookTicker"])
        with trio.fail_after(20):
            while server.hub.heard("ethusdt@bookTicker"):
                server.hub.publish("ethusdt@bookTicker", b"x" * 40_000)
                await receive(quick)
        assert (await receive(quick))["s"] == "BTCUSDT"


async def test_silent_client_is_pinged_and_cut_off(serve: Any) -> None:
    """A client that answers no ping within the time loses its connection; one that does keeps it."""
    server = await serve(seed=3, sockets=SocketTerms(ping_every_s=0.05, pong_within_s=0.5))
    async with (
        connect(server, "/public/ws") as answering,
        await shake_hands(server, "/market/ws/x@trade") as silent,
    ):
        heard = b""
        with trio.fail_after(15):
            async for piece in silent:
                heard += piece
        assert b"\x89" in heard  # a ping
        assert b"Pong timeout" in heard
        assert (await ask(answering, "LIST_SUBSCRIPTIONS"))["result"] == []


async def test_connection_ends_after_its_lifetime(serve: Any) -> None:
    """A connection lives no longer than its lifetime."""
    server = await serve(seed=3, sockets=SocketTerms(lifetime_s=0.2))
    async with connect(server, "/public/ws") as socket:
        assert await closing_code(socket) == 1006


async def test_dropped_route_spares_the_others(server: Server) -> None:
    """Dropping a route ends its connections without a closing handshake, and no other."""
    async with (
        connect(server, "/public/ws") as public,
        connect(server, "/market/ws/btcusdt@aggTrade") as market,
    ):
        server.faults.drop_connections(Route.PUBLIC)
        assert await closing_code(public) == 1006
        assert (await receive(market))["e"] == "aggTrade"


async def test_silenced_stream_keeps_its_socket(server: Server) -> None:
    """A silenced stream says nothing while its neighbour on the same socket speaks, until it may again."""
    async with connect(
        server, "/market/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade"
    ) as socket:
        server.faults.silence("btcusdt@aggTrade")
        await ask(socket, "LIST_SUBSCRIPTIONS")
        heard = {(await receive(socket))["stream"] for _ in range(20)}
        assert heard == {"ethusdt@aggTrade"}
        server.faults.speak("btcusdt@aggTrade")
        while (await receive(socket))["stream"] != "btcusdt@aggTrade":
            continue


async def test_market_streams_are_silent_on_the_private_route(server: Server) -> None:
    """They are acknowledged there, as everywhere on a wrong route: a client with that fault has to find it here."""
    async with connect(server, "/private/ws/btcusdt@aggTrade") as wrong:
        assert await ask(wrong, "SUBSCRIBE", "btcusdt@bookTicker") == {"result": None, "id": 1}
        async with connect(server, "/public/ws/btcusdt@bookTicker") as right:
            for _ in range(20):
                await receive(right)
        with trio.move_on_after(0.2) as waiting:
            await wrong.get_message()
        assert waiting.cancelled_caught
