"""A reader of a ring, as Python uses it. Up to eight, each with its own pace and its own policy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final, Self

import numpy as np
import trio

from aegis.errors import Refused
from aegis.shm import entry_points
from aegis.shm.block import LOST_SO_FAR, NEXT, PAID
from aegis.shm.layout import READERS_MAX, Geometry, Records, Standing, signed
from aegis.shm.policy import Policy, Start
from aegis.shm.recovery import surviving
from aegis.shm.seats import Seat, reader_seat
from aegis.shm.wakeup import NAP_S, Bell, SpinBudget, Waiting
from aegis.shm.window import Window, closed

__all__ = ["Reader"]

_BATCH: Final = 4096
_ASYNC_SPINS: Final = 500


class Reader:
    """Reads what is published after it joined, in order, each record once.

    Made by `Ring.reader`. One thread at a time may use it, and it is closed only when none does.
    """

    _spin: Callable[[int], int]
    _arm: Callable[[], int]
    _release: Callable[[int], int]
    read_into: Callable[[Records], int]
    """Copy new records into a writable contiguous array of the ring's dtype; returns how many.

    The copied records follow each other without a gap; where the writer overtook a lossy reader, a batch ends and
    the next begins behind the gap. It may return 0 though something was ready: then all of that is lost. Anything
    but such an array is `Refused`.
    """
    poll: Callable[[], int]
    """How many records can be read now; at least that many. A reader that was overtaken moves on first."""

    def __init__(
        self,
        fd: int,
        geometry: Geometry,
        wake_fds: tuple[int, ...],
        *,
        name: str,
        policy: Policy,
        patience_ns: int,
        start: Start | int,
        waiting: Waiting,
    ) -> None:
        self.name: Final = name
        self.policy: Final = policy
        self._geometry: Final = geometry
        self._waiting: Final = waiting
        self._budget: Final = SpinBudget(waiting)
        with ExitStack() as undo:
            self._index, self._seat = _take_seat(fd)
            undo.callback(self._seat.leave)
            self._window: Final = Window(fd, geometry, writable=False)
            undo.callback(self._window.close)
            self._block: Final = self._window.block(wake_fds)
            self._block.seat(self._index, gating=policy is Policy.GATE)
            self._bell: Final = Bell(wake_fds[self._index] if wake_fds else None)
            self._writers_bell: Final = Bell(wake_fds[-1] if wake_fds else None)
            self._bind()
            undo.pop_all()  # from here on `close` does the same, and more
            undo.callback(self.close)
            self._enter(start, patience_ns)
            undo.pop_all()

    def _bind(self) -> None:
        """Bind the compiled calls to this reader: an attribute costs half of what a method would."""
        handle = self._block.handle
        self.poll = partial(entry_points.ready, handle)
        self.read_into = entry_points.batch_reader(self._geometry.dtype, handle)
        self._spin = partial(entry_points.spin, handle)
        self._arm = partial(entry_points.arm, handle)
        self._release = partial(entry_points.release, handle)

    @property
    def bell_fd(self) -> int:
        """The eventfd that wakes this reader, for compiled code that sleeps (`slumber`); -1 where there is none."""
        return self._bell.fd

    def wake(self) -> None:
        """Wake whoever sleeps with this reader, for a reason of one's own. From any thread."""
        self._bell.ring()

    @property
    def handle(self) -> int:
        """For `aegis.shm.reading.walk` and its neighbours in compiled code, until this reader is closed."""
        return closed() if self.read_into is closed else self._block.handle

    def _enter(self, start: Start | int, patience_ns: int) -> None:
        entry = self._window.entries[self._index : self._index + 1]
        entry["standing"] = Standing.FREE
        entry["pid"] = os.getpid()
        entry["name"] = self.name.encode()[:24]
        entry["patience_ns"] = patience_ns
        entry["heartbeat_ns"] = entry["lost"] = 0
        position = 0
        if start is not Start.NEWEST:
            oldest, newest = surviving(self._window.slots, self._window.header)
            position = oldest if start is Start.OLDEST else start
            if not 0 <= signed(position - oldest) <= signed(newest - oldest):
                raise Refused(
                    f"record {position + 1} is not in the ring: it has {oldest + 1} to {newest}"
                )
        standing = Standing.GATING if self.policy is Policy.GATE else Standing.LOSSY
        entry_points.join(self.handle, standing, position, start is Start.NEWEST)

    # ---- reading without copying

    def view(self, limit: int | None = None) -> Records:
        """The records that can be read now, in place and read-only, oldest first.

        Args:
            limit: at most so many. There may be fewer, since a view ends where the ring's memory does.

        Nothing is consumed: look at them, then `advance(len(view))`. Only what that keeps was intact while you
        looked.
        """
        count = self.poll()
        index = self._block[NEXT] & (self._geometry.capacity - 1)
        count = count if limit is None else min(count, limit)
        records: Records = self._window.records[index : index + count]
        return records

    def advance(self, count: int) -> int:
        """Be done with `count` records; return how many of them were intact to the end, all or none.

        A gating reader in good standing keeps them all. For 0 the writer overwrote some while they were looked at:
        throw the results away; the records are counted as lost.

        Raises:
            Refused: `poll` or `view` has not offered so many.
        """
        intact: int = self._release(count)
        if intact < 0:
            raise Refused(f"a reader advances over records it was offered, not by {count}")
        return intact

    # ---- reading by copying

    def take(self, limit: int = _BATCH) -> Records:
        """New records as an array of its own, empty when there are none.

        Empty, too, when it found only overwritten ones in a call, which is bounded; `poll` then says that there are
        more.
        """
        count = max(self.poll(), self.lag)  # in this order: `poll` moves an overtaken reader on
        out: Records = np.empty(min(limit, count), self._geometry.dtype)
        return out[: self.read_into(out)]

    def read_new(self) -> Iterator[np.void]:
        """Yield each record that is there now, one by one; the handiest form and the slowest."""
        while len(batch := self.take()) or self.poll():
            yield from batch

    # ---- waiting

    async def wait(self) -> int:
        """Wait until something can be read; return how much, at least. 0: the writer has finished, all is read.

        A checkpoint, always. A spin holds up the other tasks, so it is kept shorter here than in a thread.
        """
        await trio.lowlevel.checkpoint()
        while True:
            count = self._spin(min(self._budget.spins, _ASYNC_SPINS)) or self._look_again()
            if count:
                return max(count, 0)
            await self._bell.listen_async(self._waiting.nap_s)
            if count := self.poll():
                return count

    async def wait_for_bell(self) -> int:
        """Wait until something can be read, or could, or a nap is over: another task may have read it by then.

        No checkpoint where something can be read at once. -1: the writer has finished, and all is read.
        """
        count = self._look_again()
        if count == 0:
            await self._bell.listen_async(self._waiting.nap_s)
        return count

    def wait_blocking(self, timeout_s: float = NAP_S) -> int:
        """Wait in a thread; return how many records can be read, at least, or 0 for none in this time.

        The GIL is released meanwhile, and it does not last longer than `timeout_s` and a spin, so call it in a
        loop. See `finished` for the end.
        """
        return self._spin(self._budget.spins) or self._sleep(timeout_s)

    def _sleep(self, timeout_s: float) -> int:
        count = self._look_again()
        if count == 0 and self._waiting.sleeps:
            self._bell.listen(timeout_s)
            count = self.poll()
        return max(count, 0)

    def _look_again(self) -> int:
        """After a first look in vain: yield, announce a sleep and look a last time; -1 at the end of all."""
        self._budget.found_nothing(paid=bool(self._block[PAID]))
        self._block[PAID] = 0
        for _ in range(self._waiting.yields):
            os.sched_yield()
            if count := self.poll():
                return count
        self._bell.silence()
        return self._arm()

    async def __aiter__(self) -> AsyncIterator[Records]:
        """Yield batches as they come, each an array of its own, until the writer has finished."""
        while await self.wait():
            batch = self.take()
            if len(batch):
                yield batch

    # ---- how it stands

    @property
    def position(self) -> int:
        """The sequence of the last record this reader is done with, read or lost."""
        return self._block[NEXT]

    @property
    def lost(self) -> int:
        """How many records the writer overwrote before this reader had them."""
        return self._block[LOST_SO_FAR]

    @property
    def lag(self) -> int:
        """How many records are published and not yet read."""
        return max(signed(int(self._window.header["pub"][0]) - self.position), 0)

    @property
    def evicted(self) -> bool:
        """True when a gating reader let the writer wait beyond its patience: it is now read past like a lossy one."""
        return int(self._window.entries["standing"][self._index]) == Standing.EVICTED

    @property
    def finished(self) -> bool:
        """True when the writer has said that no record follows, and all are read."""
        return self._arm() < 0

    def beat(self, now_ns: int) -> None:
        """Show that this reader still moves.

        Args:
            now_ns: the monotonic clock.
        """
        self._window.entries["heartbeat_ns"][self._index] = now_ns

    def close(self) -> None:
        """Leave the ring: the writer no longer waits for this reader, and its place is free. Twice does no harm."""
        if self.read_into is closed:
            return
        self._window.entries["standing"][self._index] = Standing.FREE
        self._writers_bell.ring()
        self.poll = self._spin = self._arm = self._release = self.read_into = closed
        self._window.close()
        self._seat.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _take_seat(fd: int) -> tuple[int, Seat]:
    for index in range(READERS_MAX):
        with suppress(Refused):
            return index, Seat(fd, reader_seat(index), "reader here")
    raise Refused(f"all {READERS_MAX} readers' places are taken")
