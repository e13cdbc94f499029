"""The thread that commits: in order, together, and never a word too early."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from aegis.actors.pen import Page, Pen
from aegis.errors import Broken
from aegis.kernel.receipt import Reply
from aegis.store.journal import Entry, Journal, read_rows


class SlowJournal(Journal):
    """Its disk takes as long as the test wants."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = threading.Semaphore(0)
        self.may_finish = threading.Semaphore(0)
        self.commits: list[int] = []

    def append(self, entries: Sequence[Entry], wall_ns: int) -> int:
        self.asked.release()
        assert self.may_finish.acquire(timeout=10)
        self.commits.append(len(entries))
        return super().append(entries, wall_ns)


def page(number: int, on_disk: Reply | None = None) -> Page:
    return Page((Entry("note", {"number": number}),), number, on_disk)


def numbers(path: Path) -> list[int]:
    return [row.decoded()["number"] for row in read_rows(path)]


async def test_pages_that_come_during_a_commit_share_the_next(tmp_path: Path) -> None:
    """Whoever waits is told of its own commit."""
    journal = SlowJournal(tmp_path / "j.db")
    pen = Pen(journal)
    first, *others = replies = [Reply() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pen.run)
        pen.write(page(1, first))
        await trio.to_thread.run_sync(journal.asked.acquire)
        for number, reply in enumerate(others, 2):
            pen.write(page(number, reply))
        assert not any(reply.is_set for reply in replies)
        journal.may_finish.release()
        await first.wait()
        assert not any(reply.is_set for reply in others)
        journal.may_finish.release()
        for reply in others:
            await reply.wait()
        await pen.end()
    assert journal.commits == [1, 3]
    journal.close()
    assert numbers(tmp_path / "j.db") == [1, 2, 3, 4]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_everything_given_is_written_before_the_end(
    tmp_path: Path, is_cancelled: bool
) -> None:
    """Also when the end is a cancellation."""
    journal = Journal(tmp_path / "j.db")
    pen = Pen(journal)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pen.run)
        for number in range(50):
            pen.write(page(number))
        if is_cancelled:
            nursery.cancel_scope.cancel()
        else:
            await pen.end()
    with pytest.raises(Broken, match="after the end"):
        pen.write(page(50))
    journal.close()
    assert numbers(tmp_path / "j.db") == list(range(50))


async def test_nobody_keeps_the_gil_for_long_while_it_runs(tmp_path: Path) -> None:
    """Afterwards it is again as whoever runs the loop wants it."""
    journal = Journal(tmp_path / "j.db")
    pen = Pen(journal)
    before = sys.getswitchinterval()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pen.run)
        written = Reply()
        pen.write(page(1, written))
        await written.wait()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        await pen.end()
    assert sys.getswitchinterval() == before
    journal.close()


async def test_of_two_pens_the_last_one_gives_back_how_long_the_gil_is_kept(
    tmp_path: Path,
) -> None:
    """Two engines in a program: the one that goes on needs it as it is, and what was there before comes back in the end."""
    before, journals = sys.getswitchinterval(), [Journal(tmp_path / name) for name in "ab"]
    pens = [Pen(journal) for journal in journals]
    async with trio.open_nursery() as nursery:
        for pen in pens:
            nursery.start_soon(pen.run)
            written = Reply()
            pen.write(page(1, written))
            await written.wait()
        await pens[0].end()
        await trio.testing.wait_all_tasks_blocked()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        await pens[1].end()
    assert sys.getswitchinterval() == before
    for journal in journals:
        journal.close()


async def test_nobody_is_told_of_a_commit_that_failed(tmp_path: Path) -> None:
    """The disk's refusal ends the thread, and what waited behind it is not written either."""

    class FullDisk(SlowJournal):
        def _insert(self, values: list[object]) -> None:
            if self.events:
                raise sqlite3.OperationalError("database or disk is full")
            super()._insert(values)

    journal = FullDisk(tmp_path / "j.db")
    pen = Pen(journal)
    written, failed, behind = Reply(), Reply(), Reply()
    with pytest.RaisesGroup(
        pytest.RaisesExc(Broken, match="could not be written"), flatten_subgroups=True
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pen.run)
            for number, reply in ((1, written), (2, failed)):
                pen.write(page(number, reply))
                await trio.to_thread.run_sync(journal.asked.acquire)
                if number == 2:
                    pen.write(page(3, behind))
                journal.may_finish.release()
                await reply.wait()
    assert (written.is_set, failed.is_set, behind.is_set) == (True, False, False)
    journal.close()
    assert numbers(tmp_path / "j.db") == [1]
