"""The Janitor: the one who clears away when nobody is in the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import trio

from aegis.actors.garbage import Collector, GarbageReport
from aegis.kernel import Actor, Level, Priority, on
from aegis.messages import Report, Tidy

__all__ = ["Janitor"]

PERIOD_S: Final = 0.02


class Janitor(Actor):
    """Runs the interpreter's garbage collector in idle moments, and at no other time unless memory asks for it.

    A moment is idle when no message waits in any mailbox of the system, after the loop has once more looked at all sockets.

    Receives: `Tidy` from its timer.
    Sends: nothing.
    Owns: the process's collector: automatic collections are off from its start to its end, and what was there before
        is frozen. Of two in one process, the one that began first gives all of it back when it ends, also while the other
        is at work.
    When it dies: the engine stops; it is a bug.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.BACKGROUND: Level.block(16)}

    def __init__(self) -> None:
        self._collector = Collector()

    async def started(self) -> None:
        """Take the collector in hand."""
        self._collector.begin()
        self.ctx.every("tidy", PERIOD_S, Tidy(), fixed_delay=True)

    async def stopping(self, reason: object) -> None:
        """Give it back."""
        self._collector.end()

    @on(Tidy)
    async def tidy(self, _: Tidy) -> None:
        """Collect, if this is the moment."""
        await trio.lowlevel.checkpoint()
        self._collector.tidy(is_idle=self.ctx.system.is_idle)

    @on(Report)
    async def report(self, _: Report) -> GarbageReport:
        """The figures so far."""
        return self._collector.report()
