"""The Scribe: what is written when, on the virtual clock and in a real journal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from aegis.actors.scribe import Scribe
from aegis.kernel import ActorRef, on, open_system
from aegis.kernel.kit import Kit, open_kit
from aegis.messages import Record, RecordNow, Seal
from aegis.store.journal import Entry, Journal, read_rows


def entry(number: int) -> tuple[Entry]:
    return (Entry("note", {"number": number}),)


@attrs.frozen
class Desk:
    """A Scribe, and what its journal holds."""

    kit: Kit
    scribe: ActorRef
    journal: Journal

    async def after(self, seconds: float) -> list[int]:
        """What is durable so much later."""
        await self.kit.advance(seconds)
        return [row.decoded()["number"] for row in self.journal.rows()]


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    journal = Journal(folder / "j.db")
    async with open_kit() as kit:
        yield Desk(kit, await kit.spawn(Scribe, journal), journal)
    journal.close()


async def test_scribe_writes_within_five_milliseconds(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """In a group with whatever else has come."""
    async with open_desk(tmp_path) as desk:
        desk.scribe.tell(Record(entry(1)))
        assert await desk.after(0.003) == []
        desk.scribe.tell(Record(entry(2)))
        assert await desk.after(0.003) == [1, 2]


async def test_scribe_lets_notes_wait_longer(tmp_path: Path, mock_clock: MockClock) -> None:
    """Hundreds of them a second would be written while an intent has to wait."""
    async with open_desk(tmp_path) as desk:
        desk.scribe.tell(Record(entry(1), is_note=True))
        desk.scribe.tell(Record(entry(2), is_note=True))
        assert await desk.after(0.045) == []
        assert await desk.after(0.01) == [1, 2]


async def test_scribe_keeps_the_order_of_everything(tmp_path: Path, mock_clock: MockClock) -> None:
    """What is urgent takes along whatever came before it, notes too."""
    async with open_desk(tmp_path) as desk:
        desk.scribe.tell(Record(entry(1), is_note=True))
        desk.scribe.tell(Record(entry(2)))
        desk.scribe.tell(Record(entry(3), is_note=True))
        assert await desk.after(0.006) == [1, 2, 3]
        desk.scribe.tell(Record(entry(4), is_note=True))
        await desk.kit.settle()
        await desk.scribe.ask(RecordNow(entry(5)), timeout=1)
        assert await desk.after(0) == [1, 2, 3, 4, 5]


async def test_scribe_writes_what_is_left_at_its_end(tmp_path: Path, mock_clock: MockClock) -> None:
    """Notes as well: only a crash loses them."""
    async with open_desk(tmp_path) as desk:
        desk.scribe.tell(Record(entry(1), is_note=True))
        await desk.kit.settle()
        await desk.scribe.stop()
        assert await desk.after(0) == [1]


async def test_scribe_seals_behind_what_it_was_told_before(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """However much of it waits in the mailbox, the last entry is the last."""
    async with open_desk(tmp_path) as desk:
        for number in range(100):
            desk.scribe.tell(Record(entry(number)))
        await desk.scribe.ask(Seal(entry(100)[0]), timeout=1)
        assert await desk.after(0) == list(range(101))


async def test_scribe_ends_in_order_though_somebody_reads_the_journal(
    tmp_path: Path, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it cannot do then is said in the log, and the run's report comes all the same."""
    monkeypatch.setattr("aegis.store.journal._BUSY_S", 0.01)
    async with open_desk(tmp_path) as desk:
        with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            with capture_logs() as logs:
                report = await desk.scribe.ask(Seal(entry(1)[0]), timeout=5)
    assert report.events == 1
    assert [line["event"] for line in logs] == ["journal_not_one_file"]


class HeldUp(Scribe):
    """Comes to its intent only when the test lets it, whoever cancels it meanwhile."""

    def __init__(self, journal: Journal, may_go_on: trio.Event) -> None:
        super().__init__(journal)
        self._may_go_on = may_go_on

    @on(RecordNow)
    async def record_now(self, request: RecordNow) -> None:
        with trio.CancelScope(shield=True):
            await self._may_go_on.wait()
        await super().record_now(request)


async def test_scribe_writes_an_intent_that_comes_as_it_is_cancelled(tmp_path: Path) -> None:
    """The thread has ended by then: the last word writes it, and nobody calls that a bug."""
    journal = Journal(tmp_path / "j.db")
    may_go_on = trio.Event()
    async with open_system() as system:
        scribe = await system.spawn(HeldUp, journal, may_go_on)
        scribe.tell(RecordNow(entry(1)))
        await wait_all_tasks_blocked()
        system.cancel("enough")
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        may_go_on.set()
    journal.close()
    assert [row.decoded()["number"] for row in read_rows(tmp_path / "j.db")] == [1]
