"""The interpreter's garbage collector, taken in hand: switched off while the market runs, and run when nothing waits.

CPython collects when enough objects were made, so in the middle of the busiest moment, and every hundredth time or so it
looks at everything there is. Reference counts free nearly all that the engine makes; the collector is there for cycles,
and those can wait for a quiet moment.
"""

from __future__ import annotations

import gc
from typing import Any, Final

import attrs

from aegis.actors.latency import Latency, LatencyReport
from aegis.kernel.clock import SystemClock

__all__ = ["Collector", "GarbageReport", "due"]

YOUNG: Final = 1_000
"""Objects worth a collection of the youngest: a tenth of a millisecond."""
CROWDED: Final = 100_000
"""So many new objects are collected in a busy moment too: some 10 ms then, and memory in time of need."""
YOUNG_A_MIDDLE: Final = 10
MIDDLE_A_FULL: Final = 10

Generations = tuple[int, int, int]


def due(counts: Generations, *, is_idle: bool) -> int | None:
    """Which generation to collect now, if any; never the oldest while anything waits.

    Args:
        counts: new objects, and collections of each generation since the next older one was collected (`gc.get_count`).
        is_idle: nothing waits to be done.
    """
    young, youngest, middle = counts
    if not is_idle:
        return 0 if young >= CROWDED else None
    if middle >= MIDDLE_A_FULL:
        return 2
    if youngest >= YOUNG_A_MIDDLE:
        return 1
    return 0 if young >= YOUNG else None


@attrs.frozen
class GarbageReport:
    """What collecting has cost so far."""

    idle: Generations
    """Collections of each generation while nothing waited."""
    busy: Generations
    """All others: too many new objects, or not ours at all."""
    pause_us: LatencyReport
    """Of all of them."""
    freed: int
    """Objects that were garbage."""
    objects: int
    """New objects that were still there when the collector looked, or are now: what it is paid for. Those that died
    before it came are not among them."""


class Collector:
    """The process's one collector, between `begin` and `end`. What it takes is real time, whatever the actors see."""

    def __init__(self) -> None:
        self._now_ns = SystemClock.monotonic_ns
        self._is_ours = False
        self._was_unfrozen = False
        self._in_idle = False
        self._idle, self._busy = [0, 0, 0], [0, 0, 0]
        self._pause_us = Latency()
        self._freed = 0
        self._objects = 0
        self._began_ns = 0

    def begin(self) -> None:
        """Switch automatic collections off, and set aside what start-up made: it stays, and nobody looks at it again."""
        self._is_ours = gc.isenabled()
        self._was_unfrozen = gc.get_freeze_count() == 0
        gc.disable()
        gc.freeze()
        self._objects = -gc.get_count()[0]
        gc.callbacks.append(self._observe)

    def end(self) -> None:
        """Leave the collector as it was found."""
        if self._observe in gc.callbacks:
            gc.callbacks.remove(self._observe)
        if self._was_unfrozen:
            gc.unfreeze()
        if self._is_ours:
            gc.enable()

    def tidy(self, *, is_idle: bool) -> None:
        """Collect what is due, if this is the moment for it."""
        generation = due(gc.get_count(), is_idle=is_idle)
        if generation is None:
            return
        self._in_idle = is_idle
        gc.collect(generation)
        self._in_idle = False
        if generation == 2:
            # What has outlived a full collection will stay. A cycle that dies later is lost, some kilobytes each time
            # that a socket is replaced; in return no collection is ever longer than what has come since the last.
            gc.freeze()

    def report(self) -> GarbageReport:
        """The figures so far."""
        first, second, third = self._idle
        first_busy, second_busy, third_busy = self._busy
        return GarbageReport(
            idle=(first, second, third),
            busy=(first_busy, second_busy, third_busy),
            pause_us=self._pause_us.report(),
            freed=self._freed,
            objects=max(0, self._objects + gc.get_count()[0]),
        )

    def _observe(self, phase: str, info: dict[str, Any]) -> None:
        """Called by the interpreter at the start and at the end of every collection, whoever asked for it."""
        if phase == "start":
            self._objects += gc.get_count()[0]
            self._began_ns = self._now_ns()
            return
        self._pause_us.add((self._now_ns() - self._began_ns) // 1000)
        self._freed += info["collected"]
        (self._idle if self._in_idle else self._busy)[info["generation"]] += 1
