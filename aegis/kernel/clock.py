"""Time and chance: the only file of the engine that reads a clock or makes a random source."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from pathlib import Path
from typing import Protocol

import trio

from aegis.errors import Broken

__all__ = [
    "Clock",
    "ManualClock",
    "SystemClock",
    "VirtualClock",
    "ambient_clock",
    "is_virtual",
    "least_step_s",
    "process_started_ns",
    "seeded_random",
]

# Midnight UTC, 1 January 2024: where virtual wall time starts unless told otherwise.
_EPOCH_NS = 1_704_067_200_000_000_000


class Clock(Protocol):
    """What the engine asks of a clock. Integers, because float seconds lose nanoseconds and equality."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may be corrected by the operating system."""
        ...


class SystemClock:
    """The machine's clocks."""

    # The C functions themselves, so that a hot loop which binds them pays for no Python frame.
    monotonic_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


class VirtualClock:
    """The time of the Trio run: under a `MockClock` it passes only when the test says so."""

    def __init__(self, epoch_ns: int = _EPOCH_NS) -> None:
        self._epoch_ns = epoch_ns

    def monotonic_ns(self) -> int:
        """Trio's current time, rounded: a jump to a deadline may land a float's last bit below it."""
        return round(trio.current_time() * 1e9)

    def wall_ns(self) -> int:
        """The epoch plus the time of the run."""
        return self._epoch_ns + self.monotonic_ns()


class ManualClock:
    """A clock that is moved by hand, for replays: no run, no loop, no other source of time."""

    def __init__(self, now_ns: int = 0, epoch_ns: int = _EPOCH_NS) -> None:
        self._now_ns = now_ns
        self._epoch_ns = epoch_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds, as last set."""
        return self._now_ns

    def wall_ns(self) -> int:
        """The epoch plus the time as last set."""
        return self._epoch_ns + self._now_ns

    def move_to(self, now_ns: int) -> None:
        """Set the time.

        Raises:
            Broken: when that is in the past.
        """
        if now_ns < self._now_ns:  # as `check` does it; a replay moves its clock for every message
            raise Broken("a clock never goes back")
        self._now_ns = now_ns


def process_started_ns() -> int:
    """When this process was started, on the monotonic clock: before the interpreter, before any import.

    The kernel counts it in ticks of 10 ms since boot (proc(5), field 22 of stat).
    """
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    since_boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    age_ns = since_boot_ns - ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return time.monotonic_ns() - age_ns


def ambient_clock() -> Clock:
    """The clock that fits the Trio run: virtual under a `MockClock`, the machine's otherwise."""
    # Where nobody has imported trio.testing there is no MockClock; importing it here would bring in pytest.
    testing = sys.modules.get("trio.testing")
    if testing is not None and isinstance(trio.lowlevel.current_clock(), testing.MockClock):
        return VirtualClock()
    return SystemClock()


def is_virtual(clock: Clock) -> bool:
    """Tell whether threads have to be avoided because virtual time would run past them."""
    return isinstance(clock, VirtualClock | ManualClock)


def least_step_s() -> float:
    """By what the run's time can move at least: a clock of floats that is half a year on moves by 4 ns and more at once."""
    return math.ulp(trio.current_time())


def seeded_random(seed: int | str) -> random.Random:
    """Make a random source that gives the same numbers in every process for the same seed."""
    return random.Random(seed)  # noqa: S311  # jitter and schedules, not secrets
