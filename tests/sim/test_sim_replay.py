from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from trio_websocket import open_websocket_url

from aegis.sim import MAX_SPEED, Server
from aegis.sim.book import Quote
from aegis.sim.order import NewOrder, OrderType, Side
from aegis.sim.routes import Route

pytestmark = [pytest.mark.trio, pytest.mark.processes]

SECOND = 1_000_000_000


def quote(update: int, bid: str, ask: str) -> str:
    """Write a recorded quote."""
    return (
        '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker",'
        f'"u":{update},"s":"BTCUSDT","b":"{bid}","B":"5","a":"{ask}","A":"5","T":1,"E":2}}}}'
    )


def trade(identity: int, price: str) -> str:
    """Write a recorded trade, a taker's sell."""
    return (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":2,"T":60001,"s":"BTCUSDT",'
        f'"t":{identity},"p":"{price}","q":"0.5","X":"MARKET","m":true}}}}'
    )


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of quotes and trades, with a snapshot, a broken line and a broken quote among them."""
    lines = [f"{SECOND} {quote(1, '60000.00', '60000.10')}", f'{SECOND} {{"lastUpdateId":1}}']
    for step in range(400):
        at = SECOND + step * 5_000_000
        lines.append(
            f"{at} {quote(step + 2, f'{60_000 + step % 7}.00', f'{60_000 + step % 7}.10')}"
        )
        lines.append(f"{at} {trade(step, f'{60_000 + step % 7}.00')}")
    lines.insert(100, "5 {broken")
    lines.insert(200, f'{SECOND} {{"stream":"btcusdt@bookTicker","data":{{"b":"no number"}}}}')
    path = tmp_path / "recording.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(f"{each}\n" for each in lines)
    return path


async def collect(server: Server, path: str, into: list[bytes]) -> None:
    """Keep every message of a connection, as bytes."""
    async with open_websocket_url(server.streams_url + path) as socket:
        while True:
            into.append((await socket.get_message()).encode())


async def read_whole(stream: trio.SocketStream, into: bytearray) -> None:
    """Read up to the end of a connection."""
    async for piece in stream:
        into += piece


def recorded(path: Path, stream: str) -> list[bytes]:
    """Return the sound frames of a stream as they stand in the file."""
    with gzip.open(path) as file:
        lines = [line.rstrip().partition(b" ")[2] for line in file]
    start = b'{"stream":"%b"' % stream.encode()
    return [line for line in lines if line.startswith(start) and b"no number" not in line]


async def test_every_frame_arrives_in_order(serve: Any, recording: Path) -> None:
    """At full speed every quote and trade arrives as recorded, in order, and is counted."""
    server = await serve(recordings=[recording], speed=MAX_SPEED)
    quotes: list[bytes] = []
    trades: list[bytes] = []
    async with trio.open_nursery() as nursery:
        public = "/public/stream?streams=btcusdt@bookTicker"
        nursery.start_soon(collect, server, public, quotes)
        nursery.start_soon(collect, server, "/market/stream?streams=btcusdt@trade", trades)
        with trio.fail_after(10):
            await server.replay.ended.wait()
            while len(quotes) < 401 or len(trades) < 400:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert quotes == recorded(recording, "btcusdt@bookTicker")
    assert trades == recorded(recording, "btcusdt@trade")
    assert server.replay.frames == {"btcusdt@bookTicker": 401, "btcusdt@trade": 400}
    assert server.replay.malformed == 2


async def test_raw_connection_gets_the_payload(serve: Any, recording: Path) -> None:
    """A raw connection gets the recorded payload without its wrapper, byte for byte."""
    server = await serve(recordings=[recording], speed=MAX_SPEED)
    quotes: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, server, "/public/ws/btcusdt@bookTicker", quotes)
        nursery.start_soon(collect, server, "/market/ws/btcusdt@trade", [])
        with trio.fail_after(10):
            while len(quotes) < 401:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    wrapper = len(b'{"stream":"btcusdt@bookTicker","data":')
    assert quotes == [each[wrapper:-1] for each in recorded(recording, "btcusdt@bookTicker")]


async def test_replay_waits_for_its_listeners(serve: Any, recording: Path) -> None:
    """Nothing plays until every stream of quotes and trades is heard, nor while one is not."""
    server = await serve(recordings=[recording], speed=MAX_SPEED)
    quotes: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, server, "/public/ws/btcusdt@bookTicker", quotes)
        with trio.fail_after(5):
            while not server.hub.heard("btcusdt@bookTicker"):
                await trio.lowlevel.checkpoint()
        async with httpx.AsyncClient(base_url=server.rest_url) as http:
            empty = await http.get("/fapi/v1/ticker/bookTicker?symbol=BTCUSDT")
        assert empty.json()["code"] == -1112
        assert not server.replay.frames
        nursery.start_soon(collect, server, "/market/ws/btcusdt@trade", [])
        with trio.fail_after(10):
            await server.replay.ended.wait()
        nursery.cancel_scope.cancel()


async def test_pace_follows_the_recorded_times(serve: Any, recording: Path) -> None:
    """At 4x the two recorded seconds take half a second: not less."""
    server = await serve(recordings=[recording], speed=4.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, server, "/public/ws/btcusdt@bookTicker", [])
        nursery.start_soon(collect, server, "/market/ws/btcusdt@trade", [])
        with trio.fail_after(5):
            while not server.replay.frames:
                await trio.lowlevel.checkpoint()
            began = trio.current_time()
            await server.replay.ended.wait()
        assert trio.current_time() - began > 0.4
        nursery.cancel_scope.cancel()


async def test_replay_catches_up_with_no_pause(serve: Any, tmp_path: Path) -> None:
    """A client that was away comes back to a market as it was: not to all that it has missed, in one burst."""
    path = tmp_path / "steady.gz"
    with gzip.open(path, "wt") as file:
        for number in range(640):
            at = SECOND + number * SECOND // 640
            file.write(f"{at} {quote(number + 1, '60000.00', '60000.10')}\n")
    server = await serve(recordings=[path], speed=1.0)
    stream = "/public/ws/btcusdt@bookTicker"
    async with trio.open_nursery() as first:
        first.start_soon(collect, server, stream, [])
        while server.replay.frames["btcusdt@bookTicker"] < 130:
            await trio.sleep(0.005)
        first.cancel_scope.cancel()
    await trio.sleep(1.0)  # by now all of it would be due
    held = server.replay.frames["btcusdt@bookTicker"]
    async with trio.open_nursery() as second:
        second.start_soon(collect, server, stream, [])
        await trio.sleep(0.25)
        assert 130 <= held < 640
        assert server.replay.frames["btcusdt@bookTicker"] < 640
        await server.replay.ended.wait()
        second.cancel_scope.cancel()


async def test_slow_client_holds_the_replay_back(serve: Any, tmp_path: Path) -> None:
    """A client that does not read stops the replay; once it reads, it gets every frame."""
    path = tmp_path / "long.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        padding = " " * 1_000
        for step in range(30_000):
            file.write(f"{step + 1} {quote(step, '60000.00', '60000.10')[:-1]}{padding}}}\n")
    server = await serve(recordings=[path], speed=MAX_SPEED)
    stream = await trio.open_tcp_stream("127.0.0.1", server.port)
    handshake = (
        "GET /public/stream?streams=btcusdt@bookTicker HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    async with stream:
        await stream.send_all(handshake.encode())
        played = -1
        with trio.fail_after(20):
            while played < (played := server.replay.frames.total()) or not played:
                await trio.testing.wait_all_tasks_blocked(0.005)
            assert played < 30_000
        async with trio.open_nursery() as nursery:
            received = bytearray()
            nursery.start_soon(read_whole, stream, received)
            await server.replay.ended.wait()
            server.faults.drop_connections(Route.PUBLIC)
    assert server.replay.frames == {"btcusdt@bookTicker": 30_000}
    assert received.count(b'"stream"') == 30_000


async def test_orders_trade_on_the_recorded_quotes(serve: Any, recording: Path) -> None:
    """A resting order is filled by the replay, and candles come from the recorded trades."""
    server: Server = await serve(recordings=[recording], speed=MAX_SPEED)
    assert server.replay is not None
    exchange = server.exchange
    exchange.quoted(
        "BTCUSDT", Quote(Decimal(60_010), Decimal(1), Decimal("60010.1"), Decimal(1)), 0
    )
    asked = NewOrder(
        "BTCUSDT", Side.BUY, OrderType.LIMIT, Decimal("0.7"), Decimal(60002), client_id="a"
    )
    order = exchange.place(asked, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, server, "/public/ws/btcusdt@bookTicker", [])
        nursery.start_soon(collect, server, "/market/ws/btcusdt@trade", [])
        with trio.fail_after(10):
            await server.replay.ended.wait()
        nursery.cancel_scope.cancel()
    assert exchange.order("BTCUSDT", order.id, None).executed == Decimal("0.7")
    (candle,) = exchange.listing("BTCUSDT").candles.at("1m")
    assert (candle.open_ms, candle.trades) == (60_000, 400)


async def test_replay_waits_for_no_damaged_time(serve: Any, tmp_path: Path) -> None:
    """One digit too many is decades: that line is counted, and what follows is served at its time."""
    path = tmp_path / "late.gz"
    with gzip.open(path, "wt") as file:
        for number, at in enumerate((SECOND, 10 * SECOND * 10**9, SECOND + 1000), 1):
            file.write(f"{at} {quote(number, '60000.00', '60000.10')}\n")
    server = await serve(recordings=[path], speed=1.0)
    frames: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect, server, "/public/ws/btcusdt@bookTicker", frames)
        with trio.fail_after(5):
            await server.replay.ended.wait()
        nursery.cancel_scope.cancel()
    assert server.replay.malformed == 1
    assert sum(server.replay.frames.values()) == 2
