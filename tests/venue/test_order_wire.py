"""The wire of the order path, against servers on loopback that do what servers do."""

from __future__ import annotations

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio

from aegis.errors import Broken, Refused, Unavailable, Unknown
from aegis.kernel.clock import SystemClock
from aegis.venue import order_wire
from aegis.venue.order_wire import OrderWire

OK = b"HTTP/1.1 200 OK\r\nX-Mbx-Used-Weight-1m: 7\r\nContent-Length: 2\r\n\r\n{}"

Serve = Callable[[trio.abc.Stream], Awaitable[None]]

pytestmark = pytest.mark.processes


async def request_of(stream: trio.abc.Stream) -> bytes:
    """The head of the next request; empty when the client is gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        some = bytes(await stream.receive_some(4096))
        if not some:
            return b""
        head += some
    return head


def answering(answer: bytes, heard: list[bytes]) -> Serve:
    """A server that answers each request with these bytes, and keeps the connection."""

    async def serve(stream: trio.abc.Stream) -> None:
        while head := await request_of(stream):
            heard.append(head)
            await stream.send_all(answer)

    return serve


class Server:
    """A server on loopback that counts who came."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections = 0
        self.port = 0
        self.closed = trio.Event()

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            await self._serve(stream)
        self.closed.set()


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[Server]:
    server = Server(serve)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, server.handle, listeners)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def wired(server: Server, timeout_s: float = 5.0) -> AsyncIterator[OrderWire]:
    url = f"http://127.0.0.1:{server.port}"
    wire = OrderWire(url, {"x-mbx-apikey": "key"}, SystemClock(), timeout_s=timeout_s)
    yield wire
    await wire.aclose()


async def test_target_goes_out_as_it_is() -> None:
    """What was signed is what is sent: nobody encodes it again."""
    heard: list[bytes] = []
    async with served(answering(OK, heard)) as server, wired(server) as wire:
        before_ns = SystemClock.monotonic_ns()
        reply = await wire.request("POST", "/fapi/v1/order?a=%20b&signature=00ff")
    assert (reply.status, reply.body, reply.headers["x-mbx-used-weight-1m"]) == (200, b"{}", "7")
    assert before_ns <= reply.sent_ns <= SystemClock.monotonic_ns()
    lines = heard[0].lower().split(b"\r\n")
    assert lines[0] == b"post /fapi/v1/order?a=%20b&signature=00ff http/1.1"
    assert {b"x-mbx-apikey: key", b"content-length: 0"} <= set(lines)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_request_goes_out_as_h11_would_say_it(method: str) -> None:
    """The bytes are prepared before, and are h11's all the same."""
    heard: list[bytes] = []
    target = "/fapi/v1/order?symbol=%E5%B8%81USDT&quantity=0.001&signature=0f"
    async with served(answering(OK, heard)) as server, wired(server) as wire:
        await wire.request(method, target)
        host = f"127.0.0.1:{server.port}"
    headers = [("host", host), ("content-length", "0"), ("x-mbx-apikey", "key")]
    h11_itself = h11.Connection(h11.CLIENT)
    said = h11_itself.send(h11.Request(method=method, target=target, headers=headers))
    assert heard == [said]


@pytest.mark.parametrize("target", ["/order?a=b c", "/order\r\nhost: x", "/\x7f", "/é", ""])
async def test_target_that_is_none_is_never_sent(target: str) -> None:
    """What could end the line, and begin another, is a bug of whoever made it."""
    heard: list[bytes] = []
    async with served(answering(OK, heard)) as server, wired(server) as wire:
        with pytest.raises(Broken):
            await wire.request("POST", target)
    assert heard == []


async def test_connection_that_owes_an_answer_is_not_used_again() -> None:
    """The answer to one order must not be taken for the answer to the next."""
    answers = iter([b"", OK])

    async def serve(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        if answer := next(answers):
            await stream.send_all(answer)
        await trio.sleep_forever()

    async with served(serve) as server, wired(server, timeout_s=0.05) as wire:
        with pytest.raises(Unknown):
            await wire.request("POST", "/order?first")
        reply = await wire.request("POST", "/order?second")
    assert (reply.status, server.connections) == (200, 2)


async def test_one_connection_serves_one_request_after_the_other() -> None:
    """It stays open, so that an order need not wait for a handshake."""
    heard: list[bytes] = []
    async with served(answering(OK, heard)) as server, wired(server) as wire:
        await wire.warm(1)
        for _ in range(5):
            await wire.request("DELETE", "/order")
    assert (len(heard), server.connections) == (5, 1)


async def test_requests_of_one_moment_do_not_wait_for_each_other() -> None:
    """Each has a connection of its own, up to a bound; who comes then takes the first that is free."""
    on_their_way: list[trio.abc.Stream] = []
    all_there, go = trio.Event(), trio.Event()

    async def serve(stream: trio.abc.Stream) -> None:
        while await request_of(stream):
            on_their_way.append(stream)
            if len(on_their_way) == order_wire.CONNECTIONS_MAX:
                all_there.set()
            await go.wait()
            await stream.send_all(OK)

    async with served(serve) as server, wired(server) as wire, trio.open_nursery() as nursery:
        for _ in range(order_wire.CONNECTIONS_MAX + 3):
            nursery.start_soon(wire.request, "POST", "/order")
        await all_there.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert len(on_their_way) == order_wire.CONNECTIONS_MAX
        go.set()
    assert len(on_their_way) == order_wire.CONNECTIONS_MAX + 3
    assert server.connections == order_wire.CONNECTIONS_MAX


async def test_connection_that_the_exchange_has_closed_is_not_used() -> None:
    """It closes idle ones when it likes; an order sent into one would be lost, and nobody would know."""
    heard: list[bytes] = []

    async def serve(stream: trio.abc.Stream) -> None:
        heard.append(await request_of(stream))
        await stream.send_all(OK)

    async with served(serve) as server, wired(server) as wire:
        await wire.request("POST", "/first")
        await server.closed.wait()
        await wire.request("POST", "/second")
    assert [head.split()[1] for head in heard] == [b"/first", b"/second"]


async def test_answer_that_ends_the_connection_is_taken() -> None:
    """`Connection: close` is an answer like any other; the next request opens another."""
    heard: list[bytes] = []
    last = OK.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
    async with served(answering(last, heard)) as server, wired(server) as wire:
        assert (await wire.request("POST", "/order")).status == 200
        assert (await wire.request("POST", "/order")).status == 200
    assert server.connections == 2


async def test_nobody_there_means_that_nothing_was_sent() -> None:
    """A refused connection is no doubt: the order does not exist."""
    async with served(answering(OK, [])) as server:
        pass
    async with wired(server) as wire:
        await wire.warm(2)
        with pytest.raises(Unavailable, match="nothing was sent"):
            await wire.request("POST", "/order")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", OK[:-1], b"SSH-2.0-OpenSSH_9\r\n\r\n"]
)
async def test_no_whole_answer_means_that_it_is_not_known(answer: bytes) -> None:
    """Closed, cut, or no HTTP: the order may have been taken all the same."""

    async def serve(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        await stream.send_all(answer)

    async with served(serve) as server, wired(server) as wire:
        with pytest.raises(Unknown):
            await wire.request("POST", "/order")
        with pytest.raises(Unknown):  # and the connection is not used again
            await wire.request("POST", "/order")
        assert server.connections == 2


async def test_answer_without_end_means_that_it_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory is bounded, whatever an exchange sends."""
    monkeypatch.setattr(order_wire, "_ANSWER_BYTES_MAX", 1000)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + bytes(2000)
    async with served(answering(endless, [])) as server, wired(server) as wire:
        with pytest.raises(Unknown, match="more than 1000 bytes"):
            await wire.request("POST", "/order")


async def test_silence_means_that_it_is_not_known() -> None:
    """After the timeout the connection is given up: its answer would be taken for that of the next request."""

    async def serve(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        await trio.sleep_forever()

    async with served(serve) as server, wired(server, timeout_s=0.05) as wire:
        for _ in range(2):
            with pytest.raises(Unknown, match="no answer within"):
                await wire.request("POST", "/order")
        assert server.connections == 2


async def test_waiting_for_a_connection_ends_with_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of it was sent, and so it is said."""
    monkeypatch.setattr(order_wire, "CONNECTIONS_MAX", 1)
    asked = trio.Event()

    async def serve(stream: trio.abc.Stream) -> None:
        await request_of(stream)
        asked.set()
        await trio.sleep_forever()

    async with served(serve) as server, wired(server) as wire, trio.open_nursery() as nursery:
        nursery.start_soon(wire.request, "POST", "/first")
        await asked.wait()
        wire._timeout_s = 0.05
        with pytest.raises(Unavailable, match="no connection was free"):
            await wire.request("POST", "/second")
        assert server.connections == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("url", ["ftp://host", "fapi.binance.com", "https://"])
def test_addresses_of_other_kinds_are_refused(url: str) -> None:
    """Before an order is made, not when it is to be sent."""
    with pytest.raises(Refused, match="expected the address of an exchange"):
        OrderWire(url, {}, SystemClock(), timeout_s=1.0)


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context, with a certificate for localhost that the wire trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = f"{new} -keyout {key} -out {certificate} {names}".split()
    subprocess.run(command, check=True, capture_output=True)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=certificate)
    monkeypatch.setattr("httpx.create_ssl_context", lambda **_: trusting)
    return ours


async def test_orders_go_through_tls(certified: ssl.SSLContext) -> None:
    """As they do live: the same connection, encrypted, is used again, and its time of sending is known."""
    heard: list[bytes] = []

    async def serve(stream: trio.abc.Stream) -> None:
        await answering(OK, heard)(trio.SSLStream(stream, certified, server_side=True))

    async with served(serve) as server:
        wire = OrderWire(f"https://localhost:{server.port}", {}, SystemClock(), timeout_s=5.0)
        for _ in range(3):
            before_ns = SystemClock.monotonic_ns()
            reply = await wire.request("POST", "/order")
            assert (reply.status, reply.sent_ns >= before_ns) == (200, True)
        await wire.aclose()
    assert (len(heard), server.connections) == (3, 1)


class TicketingServer(socketserver.ThreadingTCPServer):
    """Sends session tickets right after the handshake, as OpenSSL does; Trio holds them back until it has more to say."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), AnsweringHandler)
        self.context = context
        self.connections = 0

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, encrypted."""
        plain, address = super().get_request()
        self.connections += 1
        return self.context.wrap_socket(plain, server_side=True), address


class AnsweringHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Answer each request."""
        while self.request.recv(4096):
            self.request.sendall(OK)


async def test_connections_that_were_warmed_are_used_through_tls_as_well(
    certified: ssl.SSLContext,
) -> None:
    """A server sends tickets after the handshake: something to read, and no end."""
    with TicketingServer(certified) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://localhost:{server.server_address[1]}"
        wire = OrderWire(url, {}, SystemClock(), timeout_s=5.0)
        await wire.warm(3)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wire.request, "POST", "/order")
        await wire.aclose()
        server.shutdown()
        assert server.connections == 3
