"""What waits to be sent to one client."""

from __future__ import annotations

import trio

__all__ = ["Outbox"]


class Outbox:
    """Frames in order, with a limit in bytes: whoever lets it overflow loses its connection.

    Without a limit nothing is ever dropped: that is for user-data events.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._frames: list[bytes] = []
        self._bytes = 0  # waiting, and in flight
        self._filled = trio.Event()
        self._sent = trio.Event()
        self.closed = False

    def put(self, frame: bytes) -> bool:
        """Add a frame, and return False if it was one too many: then all that waits is gone and the box closed.

        A closed box takes nothing and complains of nothing.
        """
        if self.closed:
            return True
        self._frames.append(frame)
        self._bytes += len(frame)
        self._filled.set()
        if self._limit is None or self._bytes <= self._limit:
            return True
        self._frames.clear()
        self.close()
        return False

    def close(self) -> None:
        """Take nothing more; what waits can still be taken out."""
        self.closed = True
        self._filled.set()
        self._sent.set()

    async def take(self) -> bytes:
        """Wait for frames and return all there are, joined; nothing once the box is closed and empty.

        What the call before returned counts as sent now.
        """
        self._bytes = sum(map(len, self._frames))
        self._sent.set()
        while not self._frames and not self.closed:
            self._filled = trio.Event()
            await self._filled.wait()
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    async def at_most(self, size: int) -> None:
        """Wait until no more than so many bytes are waiting or in flight, or the box is closed."""
        while self._bytes > size and not self.closed:
            self._sent = trio.Event()
            await self._sent.wait()
