"""The writer of a ring, as Python uses it: one at a time, which a lock of the kernel's makes sure of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import Final, Self

import trio

from aegis.errors import Refused, check
from aegis.shm import entry_points
from aegis.shm.block import LIMIT, NEXT, STALLED
from aegis.shm.layout import READERS_MAX, Geometry, Records, Standing, State, signed
from aegis.shm.recovery import surviving
from aegis.shm.seats import WRITER_SEAT, Seat, is_taken, reader_seat
from aegis.shm.wakeup import NAP_S, Bell
from aegis.shm.window import Window, closed

__all__ = ["Writer"]

_SPINS: Final = 2_000  # looks for room before sleeping


class Writer:
    """Writes records; each can be read as soon as it is complete. Made by `Ring.writer`.

    A writer that takes over from one that died goes on behind the last record that is whole.

    Raises:
        Refused: the ring has a living writer.
    """

    write_batch: Callable[[Records], int]
    """Write as many records as there is room for, from the first on; returns how many.

    Each can be read as soon as it is complete: a batch is no transaction. Anything but a contiguous array of the
    ring's dtype is `Refused`.
    """

    def __init__(self, fd: int, geometry: Geometry, wake_fds: tuple[int, ...]) -> None:
        self._fd: Final = fd
        self._geometry: Final = geometry
        self._stalled_at = (0, 0)  # position, and when it was first seen to be stuck there
        with ExitStack() as undo:
            self._seat: Final = Seat(fd, WRITER_SEAT, "writer")
            undo.callback(self._seat.leave)
            self._window: Final = Window(fd, geometry, writable=True)
            undo.callback(self._window.close)
            self._block: Final = self._window.block(wake_fds)
            self._bell: Final = Bell(wake_fds[-1] if wake_fds else None)
            self.write_batch = entry_points.batch_writer(geometry.dtype, self._block.handle)
            self._take_over()
            undo.pop_all()

    def _take_over(self) -> None:
        header = self._window.header
        # A writer that died may have completed records, and readers taken them, that it had not published.
        _, newest = surviving(self._window.slots, header)
        header["pub"] = newest
        header["pid"] = os.getpid()
        header["epoch"] += 1
        header["heartbeat_ns"] = header["stalls"] = 0
        header["state"] = State.READY
        self._block[NEXT] = self._block[LIMIT] = newest  # so the first write looks at the gates
        self.evict_dead()

    @property
    def handle(self) -> int:
        """For `aegis.shm.writing.put` and its neighbours in compiled code, until this writer is closed."""
        return closed() if self.write_batch is closed else self._block.handle

    # ---- writing

    @cached_property
    def write(self) -> Callable[..., bool]:
        """Write one record, given as one number for each of its 8-byte words; False if there is no room.

        A word that several small fields share is one unsigned integer, the first field in its lowest bits. The
        first use compiles for this record type, or loads that (about 10 ms): touch it before the market opens.
        """
        return entry_points.record_writer(self._geometry.dtype, self.handle)

    @contextmanager
    def claim(self, count: int) -> Iterator[Records]:
        """Write in place: yields a writable view of free slots, which are published when the block ends.

        The view may be shorter than `count`: there is no more room, or the ring's memory ends and the next claim
        starts at its beginning. If the block raises, nothing is published, but the oldest records, whose slots
        these were, are gone for lossy readers.
        """
        position = self.position
        index = position & (self._geometry.capacity - 1)
        count = min(count, self._geometry.capacity - index)
        count = entry_points.reserve(self.handle, count)
        yield self._window.records[index : index + count]
        check(self.position == position, "nothing else is written while slots are claimed")
        entry_points.commit(self.handle, count)

    # ---- waiting for room

    def write_wait(
        self, records: Records, deadline_ns: int, monotonic_ns: Callable[[], int]
    ) -> int:
        """Write all records, blocking this thread while gating readers are behind; return how many were written.

        Args:
            records: as for `write_batch`.
            deadline_ns: when to give up, on the clock of `monotonic_ns`.
            monotonic_ns: the clock, also for the readers' patience.
        """
        written = self.write_batch(records)
        while written < len(records) and (now_ns := monotonic_ns()) < deadline_ns:
            rest = len(records) - written
            if not (self._spin_room(rest) or self._ask_room(rest) or self.make_room(now_ns)):
                self._bell.listen(min(NAP_S, (deadline_ns - now_ns) / 1e9))
            written += self.write_batch(records[written:])
        return written

    async def write_all(self, records: Records) -> None:
        """Write all records, waiting under Trio while gating readers are behind. A checkpoint, always.

        It can be cancelled between batches: `position` says how far it came. The readers' patience runs on Trio's
        clock.
        """
        await trio.lowlevel.checkpoint()
        written = self.write_batch(records)
        while written < len(records):
            rest = len(records) - written
            if not (self._ask_room(rest) or self.make_room(int(trio.current_time() * 1e9))):
                await self._bell.listen_async()
            written += self.write_batch(records[written:])

    def _spin_room(self, rest: int) -> bool:
        wanted = min(rest, self._geometry.capacity // 2)
        return entry_points.spin_room(self.handle, wanted, _SPINS) > 0

    def _ask_room(self, rest: int) -> bool:
        """Ask to be woken when half the ring is free: one wake-up then moves many records. True: there is room."""
        capacity = self._geometry.capacity
        wanted = max(min(rest, capacity), capacity // 2)
        self._bell.silence()
        return entry_points.ask_room(self.handle, wanted) > 0

    def make_room(self, now_ns: int) -> bool:
        """Evict the gating readers that hold the writer back and have died or run out of patience.

        To be called when a write found no room; `write_wait` and `write_all` do it themselves.

        Args:
            now_ns: the clock that the readers' patience is measured with.

        Returns:
            True when somebody was evicted.
        """
        if self._stalled_at[0] != self.position:
            self._stalled_at = (self.position, now_ns)
        waited_ns = now_ns - self._stalled_at[1]
        evicted = self.evict_dead()
        entries = self._window.entries
        for index in self._gating():
            behind = signed(self.position - int(entries["cursor"][index]))
            patience_ns = int(entries["patience_ns"][index])
            if behind >= self._geometry.capacity and 0 < patience_ns <= waited_ns:
                entries["standing"][index] = Standing.EVICTED
                evicted = True
        return evicted

    def evict_dead(self) -> bool:
        """Free the places of gating readers whose process or descriptor is gone; True when there was one."""
        evicted = False
        for index in self._gating():
            if is_taken(self._fd, reader_seat(index)):
                continue
            with suppress(Refused):  # a newcomer was faster
                # Held for a moment, so that nobody moves in before the store.
                seat = Seat(self._fd, reader_seat(index), "reader")
                self._window.entries["standing"][index] = Standing.FREE
                seat.leave()
                evicted = True
        return evicted

    def _gating(self) -> list[int]:
        standing = self._window.entries["standing"]
        return [index for index in range(READERS_MAX) if standing[index] == Standing.GATING]

    # ---- how it stands

    @property
    def position(self) -> int:
        """The sequence of the last record written."""
        return self._block[NEXT]

    @property
    def stalls(self) -> int:
        """How often a write found no room at all."""
        return self._block[STALLED]

    def beat(self, now_ns: int) -> None:
        """Show that this writer still moves.

        Args:
            now_ns: the monotonic clock.
        """
        self._window.header["heartbeat_ns"] = now_ns

    def finish(self) -> None:
        """Say that no record follows: readers come to their end when they have read all. A new writer revokes it."""
        entry_points.finish(self.handle)

    def sync(self) -> None:
        """Bring everything to the disk, where the ring is a file there. Slow, and never needed for a mere crash."""
        self._window.sync()

    def close(self) -> None:
        """Give up the writer's place; readers stay, and a new writer may follow. Twice does no harm."""
        if self.write_batch is closed:
            return
        self.write = self.write_batch = closed
        self._window.close()
        self._seat.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
