"""Waiting: spin, yield the core, or sleep on an eventfd; adaptive by default.

A sleeper announces itself in the segment and looks once more before it sleeps, so a wake-up cannot be missed. Its
sleep is bounded all the same: a writer may be killed after it published and before it woke anybody.
"""

from __future__ import annotations

import math
import os
import select
from contextlib import suppress
from typing import Final

import attrs
import trio

__all__ = ["ADAPTIVE", "BLOCK", "NAP_S", "RUNG", "SPIN", "YIELD", "Bell", "SpinBudget", "Waiting"]

NAP_S: Final = 0.02
"""The longest sleep between two looks at the ring."""
_POLL_S: Final = 0.001  # between two looks where there is no eventfd
_LONGEST_REST: Final = 1024


@attrs.frozen
class Waiting:
    """How to wait: first spin, then yield, then sleep."""

    spins: int = 0
    """Looks at the next slot with the GIL released, one `pause` (10 to 60 ns) apart."""
    yields: int = 0
    """Further looks, giving the core to others in between."""
    sleeps: bool = False
    """Sleep in the kernel when that found nothing; otherwise return, and let the caller come again."""
    rests: bool = False
    """Stop spinning for a while when spinning did not pay."""
    nap_s: float = NAP_S
    """The longest sleep of a task."""


SPIN: Final = Waiting(spins=2_000)
YIELD: Final = Waiting(yields=100)
BLOCK: Final = Waiting(sleeps=True)
ADAPTIVE: Final = Waiting(spins=2_000, sleeps=True, rests=True)
RUNG: Final = Waiting(sleeps=True, nap_s=math.inf)
"""For a task whose writer is a thread of this process: that cannot be killed before it has woken whom it wrote to."""


class SpinBudget:
    """How long to spin before sleeping, by whether spinning has paid: a record came during a spin.

    After a spin in vain it rests for a number of sleeps, each time for twice as many, until one pays. Records that
    come further apart than a spin lasts thus cost next to nothing, and no clock is read.
    """

    def __init__(self, waiting: Waiting) -> None:
        self._waiting: Final = waiting
        self.spins = waiting.spins
        self._resting = 0
        self._next_rest = 1

    def found_nothing(self, *, paid: bool) -> None:
        """A look has ended without a record; `paid` when a spin has paid since the last such."""
        if not self._waiting.rests:
            return
        if paid:
            self._next_rest = 1
        if self.spins:
            self.spins = 0
            self._resting = self._next_rest
            self._next_rest = min(2 * self._next_rest, _LONGEST_REST)
        else:
            self._resting -= 1
            if self._resting == 0:
                self.spins = self._waiting.spins


class Bell:
    """What a sleeper listens to: an eventfd, or where there is none, a short pause.

    Before it announces its next sleep it has to silence the bell: afterwards it might silence a ring that is meant
    for that sleep. So nothing is left to do between a ring and the record.
    """

    def __init__(self, fd: int | None) -> None:
        self._fd: Final = fd
        self._rung = False
        self._poll: Final = select.poll()
        if fd is not None:
            self._poll.register(fd, select.POLLIN)

    @property
    def fd(self) -> int:
        """The eventfd; -1 where there is none."""
        return -1 if self._fd is None else self._fd

    def ring(self) -> None:
        """Wake whoever listens."""
        if self._fd is not None:
            os.eventfd_write(self._fd, 1)

    def listen(self, timeout_s: float = NAP_S) -> None:
        """Sleep in this thread until it rings, at most `timeout_s`."""
        self._rung = bool(self._poll.poll(1000 * (_POLL_S if self._fd is None else timeout_s)))

    async def listen_async(self, nap_s: float = NAP_S) -> None:
        """Sleep in this task until it rings, at most `nap_s`."""
        if self._fd is None:
            await trio.sleep(_POLL_S)
            return
        if nap_s == math.inf:  # no deadline, and not the time that one takes
            await trio.lowlevel.wait_readable(self._fd)
            self._rung = True
            return
        with trio.move_on_after(nap_s):
            await trio.lowlevel.wait_readable(self._fd)
            self._rung = True

    def silence(self) -> None:
        """Make it quiet after it was heard."""
        if self._rung and self._fd is not None:
            self._rung = False
            with suppress(BlockingIOError):  # its last owner has silenced it
                os.eventfd_read(self._fd)
