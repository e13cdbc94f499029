"""What a lane's bytes come through: a TCP connection, or TLS over one.

Trio's own streams make a bytes object for each receive, and its SSLStream gives out one TLS record at a time. These
receive into memory that is there already, and decrypt all that has come.
"""

from __future__ import annotations

import os
import select
import ssl
from typing import Final, Protocol, cast

import trio

__all__ = ["Linger", "TcpTransport", "TlsTransport", "Transport"]

_RAW_BYTES: Final = 1 << 17
_RECORD_BYTES_MAX: Final = 1 << 14
_LINGER_S: Final = 0.0001
_LINGERS_MAX: Final = 8
"""In a row; then Trio's loop has its turn, within a millisecond."""
_PAUSE: Final = 32
"""Reads without a linger after one that was in vain."""
_SELECTABLE: Final = 1024
"""File descriptors from here on are beyond `select`."""


class Transport(Protocol):
    """A connection that receives into memory."""

    async def receive_into(self, room: memoryview) -> int:
        """Wait for bytes and return how many were written to `room`; 0 at the end. A checkpoint, or soon followed by one.

        Raises:
            trio.BrokenResourceError: the connection failed.
            trio.ClosedResourceError: it was closed on this side.
        """

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it; errors as for `receive_into`."""

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the connection takes bytes."""

    async def aclose(self) -> None:
        """Close the connection."""


class Linger:
    """A moment's wait in the kernel, in place of a turn of Trio's loop.

    A turn costs more than all that a lone tick needs. So a socket that has just been read waits for more right
    here, for a tenth of a millisecond, before it goes to the loop; no CPU is used meanwhile. It watches all sockets
    that share this object, and gives way when another one has something.
    """

    def __init__(self) -> None:
        self._fds: set[int] = set()

    def brings(self, fd: int) -> bool:
        """Whether this socket, and no other, has something to read before the moment is over."""
        if fd >= _SELECTABLE:
            return False
        self._fds.add(fd)
        try:
            ready, _, _ = select.select(self._fds, (), (), _LINGER_S)
        except OSError:  # one of them was closed without a word
            self._fds.clear()
            return False
        return ready == [fd]

    def forget(self, fd: int) -> None:
        """Watch a socket no longer."""
        self._fds.discard(fd)


class TcpTransport:
    """A TCP connection, which it owns.

    It waits in Trio's loop, and if it is given a `Linger`, there first. At 20,000 messages a second, each by itself,
    the loop cost 24 us of CPU a message, a thread blocked in `recv` 18, and the bare system call 15. On a machine that
    was busy otherwise, lingering took 13 to 15 us where the loop took 17 to 21. A thread would have to be shared by all
    sockets, as the ring has one writer, and by what the library passes on. In bursts there is no difference.
    """

    def __init__(self, stream: trio.SocketStream, linger: Linger | None = None) -> None:
        self._stream: Final = stream
        self._socket: Final = stream.socket
        self._linger: Final = linger
        self._lingers = 0
        self._pause = 0
        self._more = False

    async def receive_into(self, room: memoryview) -> int:
        """As `Transport` says.

        A read that filled its room has left more behind, so the next one does not wait; any other has emptied the
        socket, so that to try again before waiting would be a system call for nothing.
        """
        if self._more:
            await trio.lowlevel.checkpoint()
        elif not self._lingered():
            await trio.lowlevel.wait_readable(self._fd())
        while True:
            try:
                count = os.readv(self._fd(), [room])
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._fd())
            except OSError as why:
                raise trio.BrokenResourceError(f"the connection failed: {why}") from why
            else:
                self._more = count == len(room)
                return count

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As `Transport` says."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As `Transport` says."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """As `Transport` says."""
        if self._linger is not None:
            self._linger.forget(self._socket.fileno())
        await self._stream.aclose()

    def _lingered(self) -> bool:
        """Wait here for more, where that has been worth it; True if there is some."""
        if self._linger is None:
            return False
        if self._pause > 0:
            self._pause -= 1
            return False
        if self._lingers < _LINGERS_MAX and self._linger.brings(self._fd()):
            self._lingers += 1
            return True
        if self._lingers < _LINGERS_MAX:
            self._pause = _PAUSE
        self._lingers = 0
        return False

    def _fd(self) -> int:
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
            if not done:
                await self._fetch()

    async def receive_into(self, room: memoryview) -> int:
        """As `Transport` says."""
        if self._more or self._ended:
            await trio.lowlevel.checkpoint()
        else:
            await self._fetch()
        while not (count := self._decrypt(room)) and not self._ended:
            await self._fetch()
        self._more = count == len(room)
        if self._outgoing.pending:  # an answer of TLS itself, as to a change of keys
            await self._flush()
        return count

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

    async def _fetch(self) -> None:
        count = await self._below.receive_into(self._raw)
        if count:
            self._incoming.write(self._raw[:count])
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        """Send what TLS has made, one sender at a time: the order of its records is part of what they say."""
        async with self._sending:
            if self._outgoing.pending:
                await self._below.send_all(self._outgoing.read())
