"""The lane's stream between real sockets and the library, plain and encrypted."""

from __future__ import annotations

import json
import shutil
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
import trio_websocket

from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.market.records import TICK
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader
from aegis.venue.fastlane import Fate, Lane
from aegis.venue.fastlane_symbols import SymbolTable
from aegis.venue.fastlane_transport import TcpTransport, TlsTransport, Transport
from aegis.venue.lane_stream import LaneStream
from aegis.venue.websocket import open_socket

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def agg_trade(quantity: int) -> str:
    event = {"e": "aggTrade", "E": 1, "s": "BTCUSDT", "p": "58665.00", "T": 2, "m": False}
    return json.dumps({**event, "q": str(quantity)}, separators=(",", ":"))


def frame(payload: bytes, first: int = 0x81) -> bytes:
    return bytes([first, len(payload)]) + payload


def ticks(count: int) -> bytes:
    return b"".join(frame(agg_trade(number).encode()) for number in range(count))


@attrs.frozen
class Ends:
    """A lane, and the ring's reader behind it."""

    lane: Lane
    reader: Reader

    def quantities(self) -> list[float]:
        return self.reader.take(1 << 12)["ask_size"].tolist()  # type: ignore[no-any-return]


@contextmanager
def open_ends(capacity: int = 1 << 12, *, lossless: bool = True) -> Iterator[Ends]:
    with Ring.create(TICK, capacity) as ring, ring.reader("test", policy=Policy.GATE) as reader:
        table = SymbolTable(["BTCUSDT"])
        yield Ends(Lane(ring.writer(), table, SystemClock(), lossless=lossless), reader)


@pytest.fixture
def ends() -> Iterator[Ends]:
    with open_ends() as ends:
        yield ends


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """A TCP connection over loopback: the client's end and the server's."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        client = await trio.open_tcp_stream("127.0.0.1", port)
        async with client, await listener.accept() as server:
            yield client, server


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(part) async for part in stream])


async def test_stream_is_one_as_trio_has_it(ends: Ends) -> None:
    """Trio's own conformance tests of a stream pass, while nothing is a frame."""

    async def make() -> tuple[trio.abc.Stream, trio.abc.Stream]:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            port = listener.socket.getsockname()[1]
            client = await trio.open_tcp_stream("127.0.0.1", port)
            return LaneStream(TcpTransport(client), ends.lane), await listener.accept()

    await trio.testing.check_two_way_stream(make, None)


@pytest.mark.parametrize("cut", [*range(0, len(UPGRADE) + 10, 7), 200])
async def test_stream_begins_the_lane_behind_the_handshake(ends: Ends, cut: int) -> None:
    """The answer to the handshake passes untouched, wherever it is cut; the first frame may come with it."""
    sent = UPGRADE + ticks(3) + frame(b"ping", 0x89) + ticks(2)
    async with connection() as (client, server), trio.open_nursery() as nursery:
        stream = LaneStream(TcpTransport(client), ends.lane)
        seen: list[bytes] = []

        async def read() -> None:
            seen.append(await receive_all(stream))

        nursery.start_soon(read)
        await server.send_all(sent[:cut])
        await trio.testing.wait_all_tasks_blocked(0.001)
        await server.send_all(sent[cut:])
        await server.send_eof()
    assert seen == [UPGRADE + frame(b"ping", 0x89)]
    assert ends.quantities() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"x" * 70_000],
)
async def test_stream_without_an_upgrade_has_no_lane(ends: Ends, answer: bytes) -> None:
    """What follows any other answer is not WebSocket, whatever it looks like."""
    async with connection() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, answer + ticks(3))
        stream = LaneStream(TcpTransport(client), ends.lane)
        assert await stream.receive_some(4) == answer[:4]
        seen = answer[:4]
        while len(seen) < len(answer) + len(ticks(3)):
            seen += await stream.receive_some(10_000)
        assert seen == answer + ticks(3)
    assert ends.lane.fates[Fate.TRADE] == 0


async def test_stream_hands_on_a_frame_that_is_never_whole(ends: Ends) -> None:
    """The end of the connection comes behind everything that came before it."""
    async with connection() as (client, server):
        await server.send_all(UPGRADE + ticks(2)[:-5])
        await server.send_eof()
        stream = LaneStream(TcpTransport(client), ends.lane)
        assert await receive_all(stream) == UPGRADE + ticks(2)[len(ticks(1)) : -5]
        assert await stream.receive_some() == b""
    assert ends.quantities() == [0]


async def test_lane_begins_again_with_each_connection(ends: Ends) -> None:
    """Half a frame, or the end, of one connection is nothing to the next; the counts go on."""
    for rest in (ticks(1)[:-5], frame(b"", 0x88) + ticks(1), b""):
        async with connection() as (client, server):
            await server.send_all(UPGRADE + ticks(2) + rest)
            await server.send_eof()
            assert await receive_all(LaneStream(TcpTransport(client), ends.lane)) == UPGRADE + rest
    assert ends.quantities() == [0, 1] * 3
    assert (ends.lane.taken, ends.lane.fates[Fate.OTHER]) == (6, 1)


async def test_stream_says_how_it_broke(ends: Ends) -> None:
    """A reset by the peer is a broken resource; closing it here ends a receive that waits."""
    async with connection() as (client, server):
        server.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
        await server.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await LaneStream(TcpTransport(client), ends.lane).receive_some()
    async with connection() as (client, _), trio.open_nursery() as nursery:
        stream = LaneStream(TcpTransport(client), ends.lane)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()


async def test_stream_leaves_others_their_turn(ends: Ends) -> None:
    """A flood of ticks neither starves other tasks nor keeps a receive from being cancelled."""
    flood = ticks(1_000)
    async with connection() as (client, server), trio.open_nursery() as nursery:

        async def send() -> None:
            await server.send_all(UPGRADE)
            while True:
                await server.send_all(flood)

        nursery.start_soon(send)
        nursery.start_soon(receive_all, LaneStream(TcpTransport(client), ends.lane))
        for _ in range(50):
            await ends.reader.wait()
            assert len(ends.quantities()) > 0
        nursery.cancel_scope.cancel()


async def test_lane_waits_for_room_in_the_ring() -> None:
    """When a gating reader is a ring behind, receiving waits, and goes on where it stopped."""
    count = 1_000
    with open_ends(64) as ends:
        async with connection() as (client, server), trio.open_nursery() as nursery:
            nursery.start_soon(server.send_all, UPGRADE + ticks(count))
            nursery.start_soon(receive_all, LaneStream(TcpTransport(client), ends.lane))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert ends.reader.poll() == 64
            sizes: list[float] = []
            while len(sizes) < count:
                await ends.reader.wait()
                sizes += ends.quantities()
            nursery.cancel_scope.cancel()
        assert sizes == list(range(count))
        assert ends.lane.dropped == 0


async def test_lane_drops_what_finds_no_room_when_it_may() -> None:
    """A live run does not wait for a reader; what is lost is counted."""
    with open_ends(64, lossless=False) as ends:
        data = ticks(200)
        ends.lane.room()[: len(data)] = data
        await ends.lane.take(len(data))
        assert ends.quantities() == list(range(64))
        assert (ends.lane.dropped, ends.lane.fates[Fate.TRADE]) == (136, 200)


# ---- with the library, and through TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and the certificate of `localhost` for it, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    files = ["-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def encrypt(client: trio.SocketStream, certificate: Path, host: str) -> TlsTransport:
    context = ssl.create_default_context(cafile=certificate)
    transport = TlsTransport(TcpTransport(client), context, host)
    await transport.do_handshake()
    return transport


async def speak(stream: trio.abc.Stream, received: list[str]) -> None:
    """A server of the library's: ticks, and between them what is none."""
    async with trio.open_nursery() as nursery:
        request = await trio_websocket.wrap_server_stream(nursery, stream)
        socket = await request.accept()
        for number in range(100):
            await socket.send_message(agg_trade(number))
        await socket.send_message('{"result":null,"id":1}')
        await socket.ping(b"are you there")  # returns when the answer has come
        for number in range(100, 200):
            await socket.send_message(agg_trade(number))
        await socket.send_message("x" * 100_000)
        await socket.send_message(agg_trade(200))
        received.append(await socket.get_message())
        await socket.aclose(1001, "done")


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
async def test_library_speaks_through_the_lane(
    ends: Ends, certificate: Path, encrypted: bool
) -> None:
    """Handshake, ping, large messages and close are the library's; the ticks go another way."""
    received: list[str] = []
    async with connection() as (client, server), trio.open_nursery() as nursery:
        if encrypted:
            secret = trio.SSLStream(server, server_context(certificate), server_side=True)
            nursery.start_soon(speak, secret, received)
            transport: Transport = await encrypt(client, certificate, "localhost")
        else:
            nursery.start_soon(speak, server, received)
            transport = TcpTransport(client)
        stream = LaneStream(transport, ends.lane)
        socket = await trio_websocket.wrap_client_stream(nursery, stream, "localhost", "/")
        assert await socket.get_message() == '{"result":null,"id":1}'
        assert await socket.get_message() == "x" * 100_000
        await socket.send_message("thanks")
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await socket.get_message()
    assert closed.value.reason.code == 1001
    assert received == ["thanks"]
    assert ends.quantities() == list(range(201))


@pytest.mark.parametrize("has_lane", [False, True], ids=["all frames", "lane"])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_socket_is_opened_with_a_lane_or_without(
    ends: Ends, certificate: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, has_lane: bool
) -> None:
    """The same block holds all four kinds of connection; with a lane the ticks are missing from what it shows."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def greet(request: trio_websocket.WebSocketRequest) -> None:
        socket = await request.accept()
        await socket.send_message(agg_trade(5))
        await socket.send_message("hello")
        with suppress(trio_websocket.ConnectionClosed):
            await socket.get_message()

    context = server_context(certificate) if scheme == "wss" else None
    async with trio.open_nursery() as nursery:
        serve = partial(trio_websocket.serve_websocket, greet, "127.0.0.1", 0, context)
        server = await nursery.start(serve)
        url = f"{scheme}://localhost:{server.port}/market/stream"
        async with open_socket(url, queue=8, lane=ends.lane if has_lane else None) as socket:
            shown = [await socket.get_message() for _ in range(1 if has_lane else 2)]
        nursery.cancel_scope.cancel()
    assert shown == (["hello"] if has_lane else [agg_trade(5), "hello"])
    assert ends.quantities() == ([5] if has_lane else [])


async def test_socket_that_is_no_websocket_is_unavailable(ends: Ends) -> None:
    """A server that answers otherwise, or not at all, is one exception to the caller."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def decline(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        nursery.start_soon(trio.serve_listeners, decline, [listener])
        port = listener.socket.getsockname()[1]
        for scheme in ("ws", "wss"):
            with pytest.raises(Unavailable):
                async with open_socket(f"{scheme}://127.0.0.1:{port}/", queue=8, lane=ends.lane):
                    raise AssertionError
        nursery.cancel_scope.cancel()


async def test_tls_decrypts_what_came_in_any_records(certificate: Path, ends: Ends) -> None:
    """One tick a record, or many: all that one receive brought is decrypted, in order."""
    async with connection() as (client, server), trio.open_nursery() as nursery:
        encrypted = trio.SSLStream(server, server_context(certificate), server_side=True)

        async def send() -> None:
            await encrypted.send_all(UPGRADE)
            for number in range(300):
                await encrypted.send_all(frame(agg_trade(number).encode()))
            await encrypted.send_all(ticks(700))
            await encrypted.aclose()

        nursery.start_soon(send)
        stream = LaneStream(await encrypt(client, certificate, "localhost"), ends.lane)
        assert await receive_all(stream) == UPGRADE
    assert ends.quantities() == [*range(300), *range(700)]


async def test_tls_ends_when_the_connection_does(certificate: Path, ends: Ends) -> None:
    """A peer that goes without a word in TLS has gone; what it said before counts."""
    async with connection() as (client, server), trio.open_nursery() as nursery:
        encrypted = trio.SSLStream(server, server_context(certificate), server_side=True)

        async def send() -> None:
            await encrypted.send_all(UPGRADE + ticks(3))
            await server.send_eof()

        nursery.start_soon(send)
        stream = LaneStream(await encrypt(client, certificate, "localhost"), ends.lane)
        assert await receive_all(stream) == UPGRADE
        assert await stream.receive_some() == b""
    assert ends.quantities() == [0, 1, 2]


async def test_tls_trusts_nobody_without_reason(certificate: Path) -> None:
    """A certificate for another name is refused, and so is one that nobody vouches for."""
    for host, trusted in (("elsewhere", certificate), ("localhost", None)):
        async with connection() as (client, server), trio.open_nursery() as nursery:
            encrypted = trio.SSLStream(server, server_context(certificate), server_side=True)

            async def refuse(stream: trio.SSLStream[trio.SocketStream] = encrypted) -> None:
                with pytest.raises(trio.BrokenResourceError):
                    await stream.do_handshake()

            nursery.start_soon(refuse)
            context = ssl.create_default_context(cafile=trusted)
            transport = TlsTransport(TcpTransport(client), context, host)
            with pytest.raises(trio.BrokenResourceError, match="certificate"):
                await transport.do_handshake()
            await transport.aclose()
