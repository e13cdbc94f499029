"""The Janitor and the collector: the interpreter's real one, and what is decided about it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio

from aegis.actors.garbage import CROWDED, MIDDLE_A_FULL, YOUNG, YOUNG_A_MIDDLE, GarbageReport, due
from aegis.actors.janitor import Janitor
from aegis.kernel import Actor, ActorRef, Level, Priority, message, on, open_system
from aegis.messages import Report, Tidy


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Whatever a test does to the collector, the next one finds it switched on."""
    yield
    gc.unfreeze()
    gc.enable()


@asynccontextmanager
async def open_janitor() -> AsyncIterator[ActorRef]:
    async with open_system() as system:
        yield await system.spawn(Janitor, name="janitor")


async def report_of(janitor: ActorRef) -> GarbageReport:
    report: GarbageReport = await janitor.ask(Report(), timeout=5)
    return report


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.ring = self


def litter(count: int) -> None:
    for _ in range(count):
        Ring()


def test_due_in_an_idle_moment_is_the_oldest_generation_that_is_full() -> None:
    """As the interpreter does it, but that the moment is chosen."""
    assert due((YOUNG - 1, 0, 0), is_idle=True) is None
    assert due((YOUNG, 0, 0), is_idle=True) == 0
    assert due((YOUNG, YOUNG_A_MIDDLE, 0), is_idle=True) == 1
    assert due((0, 0, MIDDLE_A_FULL), is_idle=True) == 2


def test_due_in_a_busy_moment_is_only_what_memory_needs() -> None:
    """However much is due: at a high mark the youngest, and never the oldest."""
    assert due((CROWDED - 1, YOUNG_A_MIDDLE, MIDDLE_A_FULL), is_idle=False) is None
    assert due((CROWDED, YOUNG_A_MIDDLE, MIDDLE_A_FULL), is_idle=False) == 0


async def test_janitor_switches_collections_off_while_it_lives() -> None:
    """And leaves the collector as it was found."""
    async with open_janitor():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert not any("Collector" in repr(callback) for callback in gc.callbacks)


async def test_janitor_leaves_a_collector_that_was_off_switched_off() -> None:
    """An embedding program that collects by itself goes on doing so."""
    gc.disable()
    async with open_janitor():
        pass
    assert not gc.isenabled()


async def test_janitor_collects_when_nothing_waits() -> None:
    """Cycles that were made are freed by its own clock, all of them in idle moments."""
    async with open_janitor() as janitor:
        litter(3 * YOUNG)
        with trio.fail_after(10):
            while (report := await report_of(janitor)).freed < 3 * YOUNG:
                await trio.sleep(0.01)
    assert sum(report.idle) >= 1
    assert report.busy == (0, 0, 0)
    assert report.objects >= 3 * YOUNG
    assert report.pause_us.max > 0


@message(Priority.INGEST)
class Work:
    """Something to do."""


class Busy(Actor):
    """Has always something more to do."""

    mailbox = {Priority.INGEST: Level.block(16)}  # a test's actor

    async def started(self) -> None:
        self.ctx.ref.tell(Work())
        self.ctx.ref.tell(Work())

    @on(Work)
    def work(self, _: Work) -> None:
        self.ctx.ref.tell(Work())


async def test_janitor_leaves_garbage_where_it_is_while_something_waits() -> None:
    """A collection in a busy moment would make a message wait."""
    async with open_system() as system:
        janitor = await system.spawn(Janitor, name="janitor")
        await system.spawn(Busy, name="busy")
        litter(3 * YOUNG)
        for _ in range(20):
            await janitor.send(Tidy())
        report = await report_of(janitor)
        assert (report.idle, report.busy) == ((0, 0, 0), (0, 0, 0))
        assert report.objects >= 3 * YOUNG


async def test_janitor_collects_the_youngest_in_a_busy_moment_at_a_high_mark() -> None:
    """Memory does not grow without bound, and it is written down that this was no idle moment."""
    async with open_system() as system:
        janitor = await system.spawn(Janitor, name="janitor")
        await system.spawn(Busy, name="busy")
        litter(CROWDED)
        await janitor.send(Tidy())
        report = await report_of(janitor)
    assert report.idle == (0, 0, 0)
    assert report.busy == (1, 0, 0)
    assert report.freed >= CROWDED


async def test_janitor_counts_a_collection_that_somebody_else_ran() -> None:
    """A figure of zero means that there was none, whoever asked for it."""
    async with open_janitor() as janitor:
        gc.collect()
        report = await report_of(janitor)
    assert report.busy == (0, 0, 1)
