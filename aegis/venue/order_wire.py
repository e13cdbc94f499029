"""The wire of the order path: HTTP/1.1 on connections that stay open, one request at a time on each.

An order is the one request that is in a hurry. httpx takes 0.45 ms to get one out, and over a millisecond on a slow machine,
so that of twenty orders at once the last waits for all the others; here it takes a thirtieth. What is said, and what an
answer means, is h11's business, as it is httpx's: it is asked once what a request looks like, and hears of each one while
the exchange is busy with it. Everything that is not in a hurry goes by httpx.

A request is sent once. Whether anything of it may have left is all that decides which of two errors a failure is.
"""

from __future__ import annotations

import os
import re
import select
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import attrs
import h11
import httpx
import trio

from aegis.errors import Refused, Unavailable, Unknown, check
from aegis.kernel.clock import Clock

__all__ = ["OrderWire", "WireReply"]

CONNECTIONS_MAX: Final = 32
"""Requests on their way at once; whoever comes then waits for the first that is answered."""
_ANSWER_BYTES_MAX: Final = 1 << 20
_CHUNK: Final = 65_536
_CLOSE_S: Final = 1.0
_TICKETS_S: Final = 0.5
"""How long a server has, after the handshake, to send what it sends then of its own accord."""
_METHODS: Final = ("POST", "DELETE")
_GAP: Final = "/?"
_TARGET: Final = re.compile(r"[!-~]+", re.ASCII)


@attrs.frozen
class WireReply:
    """An answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_ns: int
    """When the request was given to the system, monotonic."""


class OrderWire:
    """The connections to one exchange.

    Args:
        base_url: scheme, host and port; a path is not looked at.
        headers: sent with each request.
        clock: for `sent_ns`.
        timeout_s: for a request and its answer, waiting for a connection included.

    Raises:
        Refused: the URL is not one of HTTP.
    """

    def __init__(
        self, base_url: str, headers: Mapping[str, str], clock: Clock, *, timeout_s: float
    ) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in {"http", "https"} or not url.host:
            raise Refused(f"{base_url}: expected the address of an exchange, as https://host")
        self._host = url.host
        self._port = url.port or {"http": 80, "https": 443}[url.scheme]
        self._tls = httpx.create_ssl_context(trust_env=False) if url.scheme == "https" else None
        named = url.netloc.decode("ascii")
        self._form: Final = _Form([("host", named), ("content-length", "0"), *headers.items()])
        self._clock = clock
        self._timeout_s = timeout_s
        self._room = trio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[_Connection] = []

    async def aclose(self) -> None:
        """Close every connection that no request is on."""
        with trio.move_on_after(_CLOSE_S, shield=True):
            while self._idle:
                await self._idle.pop().aclose()

    async def warm(self, count: int) -> None:
        """Have so many connections open; an exchange that is not there is found out about when it is needed."""
        with trio.move_on_after(self._timeout_s), suppress(Unavailable):
            while len(self._idle) < count:
                self._idle.append(await self._connect())
        async with trio.open_nursery() as nursery:
            for connection in self._idle:
                nursery.start_soon(connection.take_tickets)

    async def request(self, method: str, target: str) -> WireReply:
        """Send a request without a body, once, and wait for its answer.

        Args:
            method: POST or DELETE.
            target: path and query, exactly as they go out.

        Raises:
            Unavailable: nothing was sent.
            Unknown: some of it may have been, and there is no answer, or none that is HTTP.
        """
        connection: _Connection | None = None
        why = "no connection was free"
        with trio.move_on_after(self._timeout_s):
            await self._enter()
            try:
                why = "it could not be connected to"
                connection = self._open_one() or await self._connect()
                try:
                    return await connection.exchange(self._form, method, target)
                finally:
                    self._put_back(connection)
            finally:
                self._room.release()
        if connection is None:
            raise Unavailable(f"nothing was sent: {why} within {self._timeout_s} s")
        raise Unknown(f"there was no answer within {self._timeout_s} s")

    async def _enter(self) -> None:
        """Wait for room; where there is some, without the turn of the loop that Trio's own `acquire` takes."""
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            await self._room.acquire()

    def _open_one(self) -> _Connection | None:
        """The connection that was used last, unless the exchange has closed it meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_ended():
                return connection
            connection.drop()
        return None

    def _put_back(self, connection: _Connection) -> None:
        if connection.is_idle():
            self._idle.append(connection)
        else:
            connection.drop()

    async def _connect(self) -> _Connection:
        try:
            line = _Line(await trio.open_tcp_stream(self._host, self._port), self._clock)
            if self._tls is None:
                return _Connection(line, line)
            tls = trio.SSLStream(line, self._tls, server_hostname=self._host)
            await tls.do_handshake()
            return _Connection(tls, line)
        except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
            raise Unavailable(f"nothing was sent: {type(error).__name__}: {error}") from None


class _Form:
    """What a request without a body looks like: h11's own words, with a gap for the target."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self._headers: Final = headers
        self._parts: Final = {method: self._divided(method) for method in _METHODS}

    def _divided(self, method: str) -> tuple[bytes, bytes]:
        """What comes before the target, and behind it."""
        asker = h11.Connection(h11.CLIENT)
        data = asker.send(self.request(method, _GAP)) or b""
        data += asker.send(h11.EndOfMessage()) or b""
        before, _, behind = data.partition(_GAP.encode())
        return before, behind

    def filled(self, method: str, target: str) -> bytes:
        """The bytes of a request: those that h11 would give."""
        check(_TARGET.fullmatch(target) is not None, "a target is printable and has no space")
        before, behind = self._parts[method]
        return before + target.encode("ascii") + behind

    def request(self, method: str, target: str) -> h11.Request:
        """The same for h11 to hear of."""
        return h11.Request(method=method, target=target, headers=self._headers)


class _Line(trio.abc.Stream):
    """A TCP connection that sends at once what the system takes at once, as it does with an order.

    Trio's own stream gives way to every other task before it returns. The time of sending is taken before the call: behind
    it an exchange on the same machine may have been given the processor, and have answered.
    """

    def __init__(self, tcp: trio.SocketStream, clock: Clock) -> None:
        self._tcp = tcp
        self._now_ns = clock.monotonic_ns
        self._descriptor = tcp.socket.fileno()
        self.sent_ns = self._now_ns()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; the usual short message without a checkpoint."""
        self.sent_ns = self._now_ns()
        try:
            count = os.write(self._descriptor, data)
        except BlockingIOError:
            count = 0
        except OSError as error:
            raise trio.BrokenResourceError from error
        if count < len(data):
            await self._tcp.send_all(memoryview(data)[count:])
            self.sent_ns = self._now_ns()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room."""
        await self._tcp.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Wait for the next bytes; none at the end."""
        return await self._tcp.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close it."""
        await self._tcp.aclose()

    def drop(self) -> None:
        """Close it without a word."""
        self._tcp.socket.close()

    def is_readable(self) -> bool:
        """Whether there is something to read, be it the end."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))


class _Connection:
    """One connection, and what h11 knows of it."""

    def __init__(self, stream: trio.abc.Stream, line: _Line) -> None:
        self._stream = stream
        self._line = line
        self._http = h11.Connection(h11.CLIENT)
        self._is_idle = True
        self._is_usable = True

    async def exchange(self, form: _Form, method: str, target: str) -> WireReply:
        """Send a request and read its answer; `Unknown` whatever happens in between."""
        check(self._is_idle, "a connection has one request at a time")
        data = form.filled(method, target)
        self._is_idle = False
        try:
            await self._stream.send_all(data)
            sent_ns = self._line.sent_ns
            first = bytes(await self._stream.receive_some(_CHUNK))
            # h11 takes longer than everything that comes before the bytes leave, so it hears of them behind that.
            self._http.send(form.request(method, target))
            self._http.send(h11.EndOfMessage())
            self._http.receive_data(first)
            status, answered, body = await self._answer()
        except (trio.BrokenResourceError, ssl.SSLError, h11.RemoteProtocolError) as error:
            why = f"{type(error).__name__} after bytes may have been sent"
            raise Unknown(why) from None
        return WireReply(status, answered, body, sent_ns)

    async def _answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = 0, {}, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(bytes(await self._stream.receive_some(_CHUNK)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {
                    name.decode("ascii"): value.decode("latin-1") for name, value in event.headers
                }
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _ANSWER_BYTES_MAX:
                    raise Unknown(f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
            elif isinstance(event, h11.EndOfMessage):
                if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                    self._http.start_next_cycle()
                    self._is_idle = True
                return status, headers, bytes(body)
            elif not isinstance(event, h11.InformationalResponse):
                raise Unknown(f"the connection was closed instead of an answer: {event!r}")

    def is_idle(self) -> bool:
        """Whether it could take a request."""
        return self._is_idle

    async def take_tickets(self) -> None:
        """Read what a server sends after a TLS handshake: session tickets, which would look like the connection's end.

        Trio's stream takes them in, and waits on. Where it does not, the end has come, or what nobody has asked for.
        """
        if self._stream is self._line:
            return
        with trio.move_on_after(_TICKETS_S) as waiting, suppress(trio.BrokenResourceError):
            await self._stream.receive_some(1)
        self._is_usable = waiting.cancelled_caught

    def has_ended(self) -> bool:
        """Whether an idle connection has something to read: that can only be its end."""
        return not self._is_usable or self._line.is_readable()

    def drop(self) -> None:
        """Close it without a word."""
        self._line.drop()

    async def aclose(self) -> None:
        """Close it in order."""
        await self._stream.aclose()
