"""Timers: one heap and one task a system, and at most one tick of each timer on its way."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import Enum
from typing import Final

import trio

from aegis.errors import Refused, check
from aegis.kernel.clock import Clock, least_step_s
from aegis.kernel.mailbox import Delivery

__all__ = ["Beat", "Timer", "Timers"]

# Cancelled entries stay in the heap until they are due, or until there are this many and they are the majority.
_STALE = 64
# A repeated timer that finds no room in the mailbox has its next beat; one that ticks once has only this.
_RETRY_NS = 10_000_000


class Beat(Enum):
    """When a timer ticks again."""

    ONCE = "once"
    FIXED_RATE = "fixed rate"  # on a grid from the first tick; missed ones are left out, never made up in a burst
    FIXED_DELAY = "fixed delay"  # this long after the last tick has been handled


class Timer:
    """One timer of one incarnation, and the receipt of its own ticks.

    As their receipt it knows whether the last tick has been handled, and a tick of a cancelled timer is void: it does
    not reach a handler even when it was in the mailbox already.
    """

    __slots__ = ("_deliver", "_is_out", "_on_end", "_timers", "beat", "period_ns", "void")

    def __init__(
        self,
        timers: Timers,
        beat: Beat,
        seconds: float,
        deliver: Callable[[Timer], Delivery],
        on_end: Callable[[], object],
    ) -> None:
        if not (0 if beat is Beat.ONCE else 1e-9) <= seconds < float("inf"):
            raise Refused(f"a timer's time is finite, and not 0 for a repeated one: {seconds!r} s")
        self.beat = beat
        self.period_ns = round(seconds * 1e9)
        self.void = False
        self._timers = timers
        self._deliver = deliver
        self._on_end = on_end
        self._is_out = False
        timers.arm(self, timers.now_ns() + self.period_ns)

    def cancel(self) -> None:
        """Never tick again; a tick that waits in the mailbox is void."""
        if not self.void:
            self.void = True
            self._timers.forget()

    def fire(self, due_ns: int) -> None:
        """Tick, unless the last tick has not been handled, and arm again where the beat is a fixed rate."""
        if self.beat is Beat.FIXED_RATE:
            behind = self._timers.now_ns() - due_ns
            self._timers.arm(self, due_ns + (behind // self.period_ns + 1) * self.period_ns)
        if self._is_out:
            return
        self._is_out = True
        if self._deliver(self) >= Delivery.REJECTED:
            self._lost()

    def done(self, value: object) -> None:
        """The tick was handled."""
        self._is_out = False
        if self.beat is Beat.FIXED_DELAY:
            self._arm_again(self.period_ns)
        elif self.beat is Beat.ONCE and not self.void:
            self._on_end()

    def failed(self, error: Exception) -> None:
        """The tick was dropped on its way, or the incarnation failed with it."""
        self._lost()

    def _lost(self) -> None:
        self._is_out = False
        if self.beat is Beat.ONCE:
            self._arm_again(_RETRY_NS)
        elif self.beat is Beat.FIXED_DELAY:
            self._arm_again(self.period_ns)

    def _arm_again(self, delay_ns: int) -> None:
        if not self.void:
            self._timers.arm(self, self._timers.now_ns() + delay_ns)


class Timers:
    """All timers of a system, by the time they are due; ties in the order in which they were armed."""

    def __init__(self, clock: Clock) -> None:
        self.now_ns = clock.monotonic_ns
        # When it is due, the how-manieth it was to be armed, and the timer: always this one list, so that who moves a clock
        # a million times a second can look at its first himself.
        self.heap: Final[list[tuple[int, int, Timer]]] = []
        self._armed = 0
        self._cancelled = 0
        self._sleep: trio.CancelScope | None = None

    def __len__(self) -> int:
        return sum(not timer.void for _, _, timer in self.heap)

    def arm(self, timer: Timer, due_ns: int) -> None:
        """Have a timer fire at a time of the system's clock."""
        check(not timer.void, "a cancelled timer is never armed again")
        self._armed += 1
        entry = (due_ns, self._armed, timer)
        heapq.heappush(self.heap, entry)
        # The task sleeps until what was the earliest; an earlier one has to wake it.
        if self.heap[0] is entry and self._sleep is not None:
            self._sleep.cancel("an earlier timer")

    def next_due_ns(self) -> int | None:
        """When the next timer fires; None when there is none."""
        return self.heap[0][0] if self.heap else None

    def fire_due(self) -> None:
        """Fire everything that is due, in order."""
        now_ns = self.now_ns()
        while self.heap and self.heap[0][0] <= now_ns:
            due_ns, _, timer = heapq.heappop(self.heap)
            if not timer.void:
                timer.fire(due_ns)

    async def run(self) -> None:
        """Fire timers for ever; a system's one timer task."""
        while True:
            with trio.CancelScope() as self._sleep:
                due_ns = self.next_due_ns()
                if due_ns is None:
                    await trio.sleep_forever()
                else:
                    gap_s = max(0, due_ns - self.now_ns()) / 1e9
                    await trio.sleep(max(gap_s, least_step_s()) if gap_s else 0.0)
            self.fire_due()

    def forget(self) -> None:
        """Count a cancelled timer, and clear the heap of such when they are most of it."""
        self._cancelled += 1
        if self._cancelled > max(_STALE, len(self.heap) // 2):
            self.heap[:] = [entry for entry in self.heap if not entry[2].void]
            heapq.heapify(self.heap)
            self._cancelled = 0
