"""Candles of before the start, through a Brain on a thread of its own, to strategists who are slower than it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import ClassVar

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import structlog.testing
import trio

from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.actors.delivery import ask_again
from aegis.actors.feed import FeedReport
from aegis.actors.historian import Historian, HistorianReport
from aegis.actors.intake import PIECE, WAITING_MAX
from aegis.actors.strategist import StrategistReport, start_strategists
from aegis.kernel import Actor, ActorRef, Level, Priority, on, open_system
from aegis.kernel.bus import Bus
from aegis.kernel.receipt import Reply
from aegis.market.analysis import Analysis
from aegis.market.bars import BAR
from aegis.market.desk import Desk
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.records import TICK, TickKind
from aegis.market.strategy import NoParameters, Strategy
from aegis.market.view import View
from aegis.messages import BarClosed, OrderChanged, PastBars, Report, Signal
from aegis.orders.portfolio import Position
from aegis.shm import Policy, Ring
from aegis.shm.writer import Writer

MINUTE_NS = 60_000_000_000
FIRST_NS = 1_700_000_000_000_000_000 - 1_700_000_000_000_000_000 % MINUTE_NS
PARAMETERS = Parameters(interval_ms=60_000)
PATIENCE_S = 30.0
LOOKS = 50_000
"""Of a loop that waits without giving way: some seconds."""
RING = 4096
"""Closed bars that may wait for the loop."""
BOX = 1024
"""And those that may wait for a follower."""


def candles(count: int, first: int = 0) -> npt.NDArray[np.void]:
    """One a minute, all at the same price."""
    bars = np.zeros(count, BAR)
    bars["start_ns"] = FIRST_NS + (first + np.arange(count)) * MINUTE_NS
    bars["known_ns"] = bars["start_ns"] + MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    return bars


def trades(count: int) -> npt.NDArray[np.void]:
    """One a minute: each but the first closes a bar."""
    ticks = np.zeros(count, TICK)
    ticks["kind"] = TickKind.TRADE
    ticks["event_ns"] = FIRST_NS + np.arange(count) * MINUTE_NS
    ticks["bid"] = ticks["ask"] = 100.0
    ticks["ask_size"] = 1.0
    return ticks


class Gate(Actor):
    """Takes what it is told."""

    @on(Signal)
    def ignore(self, _: Signal) -> None:
        """Take it."""


class Follower(Actor):
    """Stands for a Strategist: looks at nothing before it is let."""

    mailbox = {Priority.ANALYSIS: Level.block(BOX)}

    def __init__(self, numbers: list[int], may_look: trio.Event) -> None:
        self._numbers = numbers
        self._may_look = may_look

    @on(BarClosed)
    async def look(self, closed: BarClosed) -> None:
        await self._may_look.wait()
        self._numbers.append(int(closed.closing["number"]))


@attrs.define
class Stage:
    """A Brain whose first symbol is followed."""

    brain: ActorRef
    analysis: Analysis
    ticks: Writer
    numbers: list[int]
    """Of the bars that the follower has looked at."""
    may_look: trio.Event

    async def report(self) -> BrainReport:
        report: BrainReport = await self.brain.ask(Report(), timeout=PATIENCE_S)
        return report


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_stage(symbols: Sequence[str] = ("A",)) -> AsyncIterator[Stage]:
    analysis = Analysis(len(symbols), PARAMETERS, rules=())
    numbers: list[int] = []
    may_look = trio.Event()
    with (
        trio.fail_after(PATIENCE_S),
        Ring.create(TICK, 1 << 14) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
        ring.writer() as ticks,
    ):
        async with open_system() as system:
            gate = await system.spawn(Gate)
            follower = await system.spawn(Follower, numbers, may_look)
            brain = await system.spawn(
                Brain, reader, analysis, symbols, gate, strategists={symbols[0]: [follower]}
            )
            yield Stage(brain, analysis, ticks, numbers, may_look)


async def test_brain_takes_closings_while_its_box_is_full_of_candles() -> None:
    """However many wait to tell it of candles, what has closed waits its turn and ends nothing."""
    async with open_stage() as stage:
        stage.may_look.set()
        async with trio.open_nursery() as nursery:
            for number in range(300):
                past = PastBars("A", candles(1, number), complete=True)
                nursery.start_soon(stage.brain.send, past)
        await until(lambda: len(stage.numbers) > 0)
        assert (await stage.report()).bars_unsent == 0


async def test_no_bar_is_lost_in_silence() -> None:
    """A loop that does something else, and a follower without room: each bar that it cost is counted and logged."""
    with structlog.testing.capture_logs() as logs:
        async with open_stage() as stage:
            closed = 2 * RING
            ticks = trades(closed + 1)
            stage.ticks.write_batch(ticks[:1])
            await until(lambda: stage.analysis.counts()["ticks"] == 1)  # the thread has begun
            stage.ticks.write_batch(ticks[1:])
            for _ in range(LOOKS):
                if stage.analysis.counts()["bars"] == closed:
                    break
            else:
                pytest.fail("the thread has not stepped")
            report = await stage.report()
            while report.bars_lost + report.bars_unsent + BOX + 1 < closed:
                report = await stage.report()
            assert report.bars_lost == closed - RING
            stage.may_look.set()
            await until(
                lambda: len(stage.numbers) + report.bars_lost + report.bars_unsent == closed
            )
    said = [each for each in logs if each["event"] == "bars_lost"]
    assert said[0]["lost"] == report.bars_lost
    assert (said[-1]["lost"], said[-1]["unsent"]) == (report.bars_lost, report.bars_unsent)
    assert len(said) < 5  # not one a bar


async def test_candles_wait_for_who_looks_at_them_and_an_order_does_not() -> None:
    """A follower that stands still is told of no more than it has room for; meanwhile a stop is armed, and live bars are told."""
    async with open_stage() as stage:
        many, taken, live = 4 * BOX, Reply(), 100
        await stage.brain.send(PastBars("A", candles(many), complete=True, taken=taken))
        await until(lambda: stage.analysis.counts()["bars"] > WAITING_MAX)
        position = Position(Decimal(1), Decimal(100))
        await stage.brain.send(OrderChanged("x", "A", Decimal(0), position, Decimal(99)))
        await until(lambda: float(stage.analysis.row(0)["stop_long"]) == 99.0)
        assert stage.analysis.counts()["bars"] <= WAITING_MAX + 2 * PIECE
        assert not taken.is_set
        stage.may_look.set()
        await taken.wait()
        stage.ticks.write_batch(trades(many + live + 1)[many:])
        await until(lambda: len(stage.numbers) == many + live)
        report = await stage.report()
    assert stage.numbers == list(range(many + live))
    assert (report.bars_lost, report.bars_unsent, report.counts["bars_refused"]) == (0, 0, 0)


class Counter(Strategy[NoParameters]):
    """Counts what it is asked about, and how much of that was broken."""

    asked: ClassVar[list[bool]] = []

    def on_bar(self, view: View) -> None:
        """Count it."""
        self.asked.append(view.is_broken)


class UnsubscribedFeed(Actor):
    """Stands for a Feed that is not there yet: bars of ticks do not begin."""

    @on(Report)
    def report(self, _: Report) -> FeedReport:
        return FeedReport(subscribed=False)


class ScriptedVenue:
    """Has candles of every symbol, at once."""

    def exchange_ms(self) -> int:
        return FIRST_NS // 1_000_000 + 60_000 * 1_000 + 20_000

    async def klines(self, symbol: str, interval_ms: int, limit: int) -> npt.NDArray[np.void]:
        await trio.lowlevel.checkpoint()
        return candles(limit, 1_000 - limit)


async def test_every_candle_of_many_symbols_reaches_each_strategy() -> None:
    """More than all rings and boxes hold, faster than anybody can look: all are looked at, in their order, and none is lost."""
    symbols, wanted = tuple(f"COIN{number}USDT" for number in range(60)), 500
    plans = [Plan(n, Counter, NoParameters(), symbols, PARAMETERS) for n in ("one", "other")]
    Counter.asked.clear()
    analysis = Analysis(len(symbols), PARAMETERS, rules=())
    due = len(symbols) * wanted
    with (
        trio.fail_after(2 * PATIENCE_S),
        Ring.create(TICK, 1 << 10) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
    ):
        async with open_system() as system:
            gate, feed = await system.spawn(Gate), await system.spawn(UnsubscribedFeed)
            desks = [Desk(plan, PARAMETERS) for plan in plans]
            started = await start_strategists(system, desks, gate, count(1), Bus())
            refs = [ref for _, ref in started]
            asked = dict.fromkeys(symbols, refs)
            brain = await system.spawn(Brain, reader, analysis, symbols, gate, strategists=asked)
            historian = await system.spawn(
                Historian, ScriptedVenue(), feed, brain, symbols, 60_000, wanted
            )
            history: HistorianReport = await historian.ask(Report(), timeout=PATIENCE_S)
            while history.candles < due:
                await trio.lowlevel.checkpoint()
                history = await historian.ask(Report(), timeout=PATIENCE_S)
            report: BrainReport = await brain.ask(Report(), timeout=PATIENCE_S)
            while len(Counter.asked) + 2 * report.bars_lost + report.bars_unsent < 2 * due:
                await trio.lowlevel.checkpoint()
                report = await brain.ask(Report(), timeout=PATIENCE_S)
            looked: list[StrategistReport] = [
                await ask_again(ref, Report(), PATIENCE_S) for ref in refs
            ]
    assert [each.bars for each in looked] == [due, due]
    assert (len(Counter.asked), sum(Counter.asked)) == (2 * due, 0)
    assert (report.bars_lost, report.bars_unsent, report.lost) == (0, 0, 0)
