"""The stream between a connection and trio-websocket: the lane takes its frames out, the library reads the rest."""

from __future__ import annotations

import operator
from typing import Final

import trio

from aegis.venue.fastlane import ATTEND, Lane
from aegis.venue.fastlane_transport import Transport
from aegis.venue.idle_table import NO_LANE

__all__ = ["LaneStream"]

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_BYTES_MAX: Final = 1 << 16
_SWITCHING: Final = b"HTTP/1.1 101 "


class LaneStream(trio.abc.Stream):
    """The bytes of one WebSocket client connection, without the frames that its lane has taken.

    The answer to the handshake passes untouched. The lane begins behind it if it says that the protocol was
    switched, else never. One receive goes on for as long as the lane takes everything.

    If a receive is cancelled, close the stream: records that waited for room in the ring may be lost.

    Args:
        transport: the connection, from its first byte on; it is closed with this stream.
        lane: for this connection alone until it ends.
    """

    def __init__(self, transport: Transport, lane: Lane) -> None:
        self._transport: Final = transport
        self._lane: Final = lane
        self._head: bytes | None = b""
        """What came so far of the answer to the handshake; None behind it."""
        self._left = b""
        self._ended = False
        lane.begin()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes that the library has to see; `b""` at the end of the connection."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes is 1 or more")
        if self._left or self._ended:
            await trio.lowlevel.checkpoint()
        while not self._left and not self._ended:
            await self._transport.wait(
                self, NO_LANE if self._head is not None else self._lane.handle
            )
            if self._is_quiet():
                self.read()
            if self._lane.is_full:
                await self._lane.finish()
                self._take_left()
        given = self._left[:max_bytes]
        self._left = self._left[len(given) :]
        return given

    def read(self) -> bool:
        """Take what has come, without waiting; True if that left nothing to do."""
        if self._head is None:
            return self._see(self._transport.receive_by(self._lane))
        room = self._lane.room()
        came = self._transport.receive_now(room)
        if came:
            self._read_head(self._head, bytes(room[:came]))
            self._lane.take_now(came)
            came = ATTEND
        return self._see(came)

    def attend(self, came: int) -> bool:
        """The same after the lane has received by itself."""
        return self._see(self._transport.received(self._lane, came))

    def _see(self, came: int | None) -> bool:
        if came is None or 0 < came < ATTEND:
            return True
        if came == 0:
            self._ended = True
            self._lane.leave()  # a frame that will never be whole
            self._lane.take_now(0)
        self._lane.settle()
        if not self._lane.is_full:
            self._take_left()
        return self._is_quiet() and not self._transport.has_more

    def _take_left(self) -> None:
        if self._lane.has_left:
            self._left = self._lane.left()

    def _is_quiet(self) -> bool:
        """Whether there is nothing for the library, nor anything to wait for but the connection."""
        return not (self._left or self._ended or self._lane.is_full)

    def _read_head(self, before: bytes, received: bytes) -> None:
        """Leave what belongs to the answer to the handshake, or all there will ever be if it is no upgrade."""
        self._head = head = before + received
        body = head.find(_HEAD_END) + len(_HEAD_END)
        if body < len(_HEAD_END) and len(head) <= _HEAD_BYTES_MAX:
            self._lane.leave(len(received))
            return
        self._head = None
        if head.startswith(_SWITCHING) and body >= len(_HEAD_END):
            self._lane.leave(body - len(before))
        else:
            self._lane.leave()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of it."""
        await self._transport.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the connection takes bytes again."""
        await self._transport.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()
