"""The Scribe: the one who writes the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs
import structlog

from aegis.actors.pen import Page, Pen, write_down
from aegis.errors import Unavailable
from aegis.kernel import Actor, Level, Priority, message, on
from aegis.kernel.clock import is_virtual
from aegis.kernel.receipt import Reply
from aegis.messages import Record, RecordNow, Report, Seal
from aegis.store.journal import Entry, Journal

__all__ = ["Scribe", "ScribeReport"]

_log = structlog.get_logger(__name__)
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

    Receives: `RecordNow` (an intent: written at once), `Record` (within 5 ms, notes within 50, in groups), `Seal`.
    Sends: nothing; whoever waits for a `RecordNow` is answered when its entries are on disk.
    Owns: the journal and the thread that commits to it.
    When it dies: what it has taken from its mailbox is written first, unless the disk is why; what waits in there is lost.
        The engine stops: one that cannot write down what it does must not do it.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        Priority.INGEST: Level.block(16_384),
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._pen: Pen | None = None
        self._waiting: list[Entry] = []
        self._is_due = False
        """Something waits that is no note."""

    async def started(self) -> None:
        """Begin the thread; where time is virtual, everything is written inline."""
        if not is_virtual(self.ctx.clock):
            self._pen = Pen(self._journal)
            self.ctx.start_soon(self._pen.run)

    async def stopping(self, reason: object) -> None:
        """Write what is left, as the thread is gone; the journal itself is closed by whoever opened it."""
        self._pen = None
        if self._waiting and not self._journal.sealed:
            self._write()

    @on(RecordNow)
    async def record_now(self, request: RecordNow) -> None:
        """Write it, with whatever waited before it."""
        self._waiting.extend(request.entries)
        self._write(request.on_disk)

    @on(Record)
    async def record(self, request: Record) -> None:
        """Put it into the group that is written next, in the order of the mailbox: an intent overtakes what waits in there."""
        if not request.is_note and not self._is_due:
            self._is_due = True
            self.ctx.after("flush", GROUP_S, _Flush())
        elif not self._waiting:
            self.ctx.after("flush", NOTES_S, _Flush())
        self._waiting.extend(request.entries)

    @on(_Flush)
    async def flush(self, _: _Flush) -> None:
        """Write the group."""
        if self._waiting:
            self._write()

    @on(Seal)
    async def seal(self, request: Seal) -> ScribeReport:
        """Write the last entry and close the book."""
        self._waiting.append(request.entry)
        self._write()
        if self._pen is not None:
            await self._pen.end()
        try:
            await self.ctx.offload(self._journal.seal)
        except Unavailable as why:  # all of it is on disk, in two files
            _log.warning("journal_not_one_file", why=str(why))
        return self._report()

    @on(Report)
    async def report(self, _: Report) -> ScribeReport:
        """What is durable by now; what waits for its group is not."""
        return self._report()

    def _report(self) -> ScribeReport:
        journal = self._journal
        return ScribeReport(str(journal.path), journal.events, journal.head.hex())

    def _write(self, on_disk: Reply | None = None) -> None:
        if self._pen is not None and self._pen.is_cut_short:
            return  # as this one is, too: its last word writes what waits, and no order leaves on it
        entries, self._waiting = self._waiting, []
        self._is_due = False
        page = Page(tuple(entries), self.ctx.clock.wall_ns(), on_disk)
        if self._pen is not None:
            self._pen.write(page)
            return
        write_down(self._journal, [page])
