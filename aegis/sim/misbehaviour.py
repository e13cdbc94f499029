"""How a connection can treat its client: as it should, or as real ones have been seen to."""

from __future__ import annotations

from enum import Enum, auto

import trio

__all__ = ["Manner", "send_in_manner"]

_DRIP_BYTES = 16
_DRIP_S = 0.0005


class Manner(Enum):
    """A way of sending."""

    NORMAL = auto()
    HALF_OPEN = auto()  # nothing is sent or read any more, and the socket stays open
    MID_FRAME = auto()  # half of what is to be sent now, and then the connection ends
    DRIP = auto()  # all of it, a few bytes at a time


async def send_in_manner(
    socket: trio.SocketStream, data: bytes | bytearray | memoryview, manner: Manner
) -> None:
    """Send one piece.

    Raises:
        trio.ClosedResourceError: the manner was to end the connection.
    """
    if manner is Manner.HALF_OPEN:
        await trio.sleep_forever()
    elif manner is Manner.MID_FRAME:
        await socket.send_all(data[: len(data) // 2 + 1])
        await socket.aclose()
        raise trio.ClosedResourceError("in the middle of a frame")
    elif manner is Manner.DRIP:
        for start in range(0, len(data), _DRIP_BYTES):
            await socket.send_all(data[start : start + _DRIP_BYTES])
            await trio.sleep(_DRIP_S)
    else:
        await socket.send_all(data)
