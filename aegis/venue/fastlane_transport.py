"""What a lane's bytes come through: a TCP connection, or TLS over one.

Trio's own streams make a bytes object for each receive, and its SSLStream gives out one TLS record at a time. These
receive into memory that is there already, and decrypt all that has come.
"""

from __future__ import annotations

import errno
import os
import ssl
from typing import Final, Protocol, cast

import trio

from aegis.errors import Broken
from aegis.venue.fastlane import ATTEND, Lane
from aegis.venue.idle_reads import IdleReads, Reader
from aegis.venue.idle_table import NO_LANE

__all__ = ["TcpTransport", "TlsTransport", "Transport"]

_RAW_BYTES: Final = 1 << 17
_RECORD_BYTES_MAX: Final = 1 << 14


class Transport(Protocol):
    """A connection that receives into memory."""

    async def wait(self, reader: Reader | None = None, lane: int = NO_LANE) -> None:
        """Wait until there is something to receive. A checkpoint.

        Args:
            reader: may be called meanwhile, any number of times, to take what has come; the wait is over when that has
                left something to do.
            lane: the handle of its lane, if what comes is the lane's alone.

        Raises:
            trio.BrokenResourceError: the connection failed.
            trio.ClosedResourceError: it was closed on this side.
        """

    def receive_now(self, room: memoryview) -> int | None:
        """How many bytes were there and are written to `room` now: None for none, 0 at the end. Errors as for `wait`."""

    def receive_by(self, lane: Lane) -> int | None:
        """The same into a lane's room, and the lane has taken them: `ATTEND` where it says so."""

    def received(self, lane: Lane, came: int) -> int | None:
        """The same after the lane has received by itself, as `Lane.receive_now` says it."""

    @property
    def has_more(self) -> bool:
        """Whether `wait` has something else to do than to wait."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; errors as for `wait`."""

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the connection takes bytes."""

    async def aclose(self) -> None:
        """Close the connection."""


class TcpTransport:
    """A TCP connection, which it owns.

    Args:
        stream: the connection.
        idle: reads it while the loop is idle; without, all is read in the loop.
    """

    def __init__(self, stream: trio.SocketStream, idle: IdleReads | None = None) -> None:
        self._stream: Final = stream
        self._socket: Final = stream.socket
        self._idle: Final = idle
        self._fd = stream.socket.fileno()
        self.has_more = False
        """A read that filled its room has left more behind; any other has emptied the socket, so that to try again
        before waiting would be a system call for nothing."""

    async def wait(self, reader: Reader | None = None, lane: int = NO_LANE) -> None:
        """As `Transport` says."""
        self._fd = self._fileno()
        if self.has_more:
            await trio.lowlevel.checkpoint()
        elif self._idle is None or reader is None:
            await trio.lowlevel.wait_readable(self._fd)
        else:
            await self._idle.wait(self._fd, reader, lane)
        self._fd = self._fileno()

    def receive_now(self, room: memoryview) -> int | None:
        """As `Transport` says."""
        try:
            count = os.readv(self._fd, [room])
        except BlockingIOError:
            count = -1
        except OSError as why:
            raise trio.BrokenResourceError(f"the connection failed: {why}") from why
        self.has_more = count == len(room)
        return count if count >= 0 else None

    def receive_by(self, lane: Lane) -> int | None:
        """As `Transport` says."""
        return self.received(lane, lane.receive_now(self._fd))

    def received(self, lane: Lane, came: int) -> int | None:
        """As `Transport` says."""
        self.has_more = came == ATTEND and lane.has_more
        if came >= 0:
            return came
        if came == -errno.EAGAIN:
            return None
        raise trio.BrokenResourceError(f"the connection failed: {os.strerror(-came)}")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As `Transport` says."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As `Transport` says."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As `Transport` says."""
        await self._stream.aclose()

    def _fileno(self) -> int:
        """The descriptor, asked for again after each wait: meanwhile its number may belong to another file."""
        fd = self._socket.fileno()
        if fd < 0:
            raise trio.ClosedResourceError("the connection was closed on this side")
        return fd


class TlsTransport:
    """TLS over a transport, which it owns.

    A peer that ends without saying so in TLS has ended: what is above has a close of its own. So nothing is said
    on closing either.
    """

    def __init__(self, below: Transport, context: ssl.SSLContext, host: str) -> None:
        self._below: Final = below
        self._incoming: Final = ssl.MemoryBIO()
        self._outgoing: Final = ssl.MemoryBIO()
        self._tls: Final = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._raw: Final = memoryview(bytearray(_RAW_BYTES))
        self._sending: Final = trio.Lock()
        self._more = True  # what came behind the handshake
        self._ended = False

    async def do_handshake(self) -> None:
        """Agree on keys, and check the peer's certificate.

        Raises:
            trio.BrokenResourceError: the connection failed, or the peer is not who it should be.
        """
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as why:
                raise trio.BrokenResourceError(f"no TLS connection: {why}") from why
            await self._flush()
            while not done and not self._fetch():
                await self._below.wait()

    @property
    def has_more(self) -> bool:
        """As `Transport` says: decrypted bytes, encrypted ones, or an answer of TLS itself, as to a change of keys."""
        return self._more or self._below.has_more or self._outgoing.pending > 0

    async def wait(self, reader: Reader | None = None, lane: int = NO_LANE) -> None:
        """As `Transport` says."""
        if self._outgoing.pending:
            await self._flush()
        if self._more or self._ended:
            await trio.lowlevel.checkpoint()
        else:
            await self._below.wait(reader)

    def receive_now(self, room: memoryview) -> int | None:
        """As `Transport` says."""
        if not (self._more or self._ended or self._fetch()):
            return None
        count = self._decrypt(room)
        self._more = count == len(room)
        return count if count or self._ended else None

    def receive_by(self, lane: Lane) -> int | None:
        """As `Transport` says."""
        count = self.receive_now(lane.room())
        if count:
            lane.take_now(count)
        return ATTEND if count else count

    def received(self, lane: Lane, came: int) -> int | None:
        """As `Transport` says; but no lane receives what is encrypted."""
        raise Broken("a lane has received what is encrypted")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As `Transport` says."""
        try:
            self._tls.write(data)
        except ssl.SSLError as why:
            raise trio.BrokenResourceError(f"TLS failed: {why}") from why
        await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """As `Transport` says."""
        await self._below.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As `Transport` says."""
        await self._below.aclose()

    def _decrypt(self, room: memoryview) -> int:
        """Decrypt what has come, as far as there is room."""
        count, size, read = 0, len(room), self._tls.read
        try:
            while count < size:
                # Given a buffer it returns a count, which its published types do not know.
                length = cast("int", read(_RECORD_BYTES_MAX, room[count:]))
                count += length
                if length == 0:
                    self._ended = True
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLEOFError:
            self._ended = True
        except ssl.SSLError as why:
            raise trio.BrokenResourceError(f"TLS failed: {why}") from why
        return count

    def _fetch(self) -> bool:
        """Take in what has come; False if nothing has."""
        count = self._below.receive_now(self._raw)
        if count is None:
            return False
        if count:
            self._incoming.write(self._raw[:count])
        else:
            self._incoming.write_eof()
        return True

    async def _flush(self) -> None:
        """Send what TLS has made, one sender at a time: the order of its records is part of what they say."""
        async with self._sending:
            if self._outgoing.pending:
                await self._below.send_all(self._outgoing.read())
