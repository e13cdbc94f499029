"""The Scribe: the one who writes the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

from aegis.errors import check
from aegis.kernel import Actor, Level, Priority, message, on
from aegis.messages import Record, RecordNow, Report, Seal
from aegis.store.journal import Entry, Journal

__all__ = ["Scribe", "ScribeReport"]

GROUP_S = 0.005
"""What is not urgent is written in groups, at most this late."""
NOTES_S = 0.05
"""Notes may be as late as this. There are hundreds a second where 300 symbols are traded, and an intent has to wait for a
group that is being written."""


@attrs.frozen
class ScribeReport:
    """What the journal holds."""

    path: str
    events: int
    head: str


@message(Priority.EXECUTION)
class _Flush:
    """Timer, to itself: the group has waited long enough."""


class Scribe(Actor):
    """Writes events to the journal, durably, off the loop.

    Receives: `RecordNow` (an intent: on disk before the answer), `Record` (within 5 ms, notes within 50, in groups), `Seal`.
    Sends: nothing.
    Owns: the journal and the thread call that commits to it.
    When it dies: the engine stops. An engine that cannot write down what it does must not do it.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        Priority.INGEST: Level.block(16_384),
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Entry] = []
        self._is_due = False
        """Something waits that is no note."""

    async def stopping(self, reason: object) -> None:
        """Write what is left; the journal itself is closed by whoever opened it."""
        if not self._journal.sealed:
            await self._write()

    @on(RecordNow)
    async def record_now(self, request: RecordNow) -> int:
        """Commit, with whatever waited before it, and answer."""
        self._waiting.extend(request.entries)
        await self._write()
        return self._journal.events

    @on(Record)
    async def record(self, request: Record) -> None:
        """Put it into the group that is written next: everything keeps its order."""
        if not request.is_note and not self._is_due:
            self._is_due = True
            self.ctx.after("flush", GROUP_S, _Flush())
        elif not self._waiting:
            self.ctx.after("flush", NOTES_S, _Flush())
        self._waiting.extend(request.entries)

    @on(_Flush)
    async def flush(self, _: _Flush) -> None:
        """Write the group."""
        await self._write()

    @on(Seal)
    async def seal(self, request: Seal) -> ScribeReport:
        """Write the last entry and close the book."""
        self._waiting.append(request.entry)
        await self._write()
        await self.ctx.offload(self._journal.seal)
        return self._report()

    @on(Report)
    async def report(self, _: Report) -> ScribeReport:
        """What is durable by now; what waits for its group is not."""
        return self._report()

    def _report(self) -> ScribeReport:
        journal = self._journal
        return ScribeReport(str(journal.path), journal.events, journal.head.hex())

    async def _write(self) -> None:
        entries, self._waiting = self._waiting, []
        self._is_due = False
        if entries:
            before = self._journal.events
            await self.ctx.offload(self._journal.append, entries, self.ctx.clock.wall_ns())
            check(
                self._journal.events == before + len(entries),
                "every entry that was taken is in the journal",
            )
