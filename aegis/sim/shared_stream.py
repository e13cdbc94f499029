"""A socket whose head was read already, and which two writers share."""

from __future__ import annotations

import trio

from aegis.sim.misbehaviour import Manner, send_in_manner

__all__ = ["SharedStream"]


class SharedStream(trio.abc.Stream):
    """Gives back the bytes that were read to see what the client speaks, then the socket's own.

    Control frames are written by the WebSocket library, data frames by us, many at once; the lock keeps each write
    whole.
    """

    def __init__(self, socket: trio.SocketStream) -> None:
        self._socket = socket
        self._head = b""
        self._sending = trio.Lock()
        self.manner = Manner.NORMAL

    async def read_head(self, limit: int) -> bytes:
        """Read up to the end of an HTTP head, at most about `limit` bytes, and keep all of it for `receive_some`.

        Returns:
            The head as far as it came: the client may have closed or sent too much.
        """
        while b"\r\n\r\n" not in self._head and len(self._head) < limit:
            data = await self._socket.receive_some()
            if not data:
                break
            self._head += data
        return self._head.partition(b"\r\n\r\n")[0] + b"\r\n"

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return kept bytes first."""
        if self._head:
            cut = len(self._head) if max_bytes is None else max_bytes
            head, self._head = self._head[:cut], self._head[cut:]
            await trio.lowlevel.checkpoint()
            return head
        received = bytes(await self._socket.receive_some(max_bytes))
        if self.manner is Manner.HALF_OPEN:
            await trio.sleep_forever()
        return received

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send one piece whole, after whoever is sending now."""
        async with self._sending:
            await send_in_manner(self._socket, data, self.manner)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room in the socket."""
        await self._socket.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the socket."""
        await self._socket.aclose()
