"""The Brain, fed by a reader that the test fills, on virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import trio
from trio.testing import MockClock

from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.kernel import ActorRef
from aegis.kernel.kit import Kit, Probe, open_kit
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind
from aegis.messages import Halt, OrderChanged, QuoteOf, Report, Signal
from aegis.orders.instrument import Side
from aegis.orders.portfolio import Position

SYMBOLS = ("BTCUSDT", "ETHUSDT")
PARAMETERS = Parameters(interval_ms=100, pivot_bars=1, atr_period=2)


class ScriptedReader:
    """A ring reader whose records the test puts in."""

    def __init__(self) -> None:
        self.lost = 0
        self._records: deque[npt.NDArray[np.void]] = deque()
        self._ready = trio.Event()

    def put(self, records: npt.NDArray[np.void]) -> None:
        self._records.append(records)
        self._ready.set()

    async def wait(self) -> None:
        await self._ready.wait()

    def read_into(self, out: npt.NDArray[np.void]) -> int:
        if not self._records:
            self._ready = trio.Event()
            return 0
        records = self._records.popleft()
        out[: len(records)] = records
        return len(records)


def trades(prices: list[float], symbol: int = 0, start_ms: int = 0) -> npt.NDArray[np.void]:
    """One trade a bar of 100 ms."""
    records = np.zeros(len(prices), TICK)
    records["symbol"], records["kind"] = symbol, TickKind.TRADE
    records["event_ns"] = (start_ms + 100 * np.arange(len(prices)) + 1) * 1_000_000
    records["bid"] = records["ask"] = prices
    records["ask_size"] = 1.0
    return records


def quote(bid: float, ask: float, symbol: int = 0) -> npt.NDArray[np.void]:
    records = np.zeros(1, TICK)
    records["symbol"], records["kind"] = symbol, TickKind.QUOTE
    records["bid"], records["ask"], records["event_ns"] = bid, ask, 10**15
    records["bid_size"] = records["ask_size"] = 1.0
    return records


# A swing high at 103, then a close above it: the bar of 104 breaks it once the trade after it closes that bar.
BREAKOUT = [100.0, 101.0, 103.0, 102.0, 101.0, 102.0, 104.0, 104.0]


@attrs.define
class Stage:
    """A Brain under test."""

    kit: Kit
    reader: ScriptedReader
    brain: ActorRef
    gate: Probe

    async def feed(self, records: npt.NDArray[np.void]) -> None:
        self.reader.put(records)
        await self.kit.settle()

    async def tell(self, message: object) -> None:
        self.brain.tell(message)
        await self.kit.settle()

    async def report(self) -> BrainReport:
        answer = await self.ask(Report())
        assert isinstance(answer, BrainReport)
        return answer

    async def ask(self, question: object) -> object:
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await self.brain.ask(question, timeout=5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await self.kit.settle()
        return answers[0]


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    reader = ScriptedReader()
    analysis = Analysis(symbols=len(SYMBOLS), parameters=PARAMETERS)
    async with open_kit() as kit:
        gate = kit.probe("gate")
        brain = await kit.spawn(Brain, reader, analysis, SYMBOLS, gate.ref)
        await kit.settle()
        yield Stage(kit, reader, brain, gate)


def opened(side: Side, stop: str) -> OrderChanged:
    position = Position(Decimal(side.sign), Decimal(100))
    return OrderChanged("aegis-1-1", "BTCUSDT", Decimal(0), position, Decimal(stop))


async def test_brain_proposes_the_break_of_a_swing(mock_clock: MockClock) -> None:
    """A close beyond the last confirmed swing becomes a signal with its stop on the losing side."""
    async with open_stage() as stage:
        await stage.feed(trades(BREAKOUT))
        signal = stage.gate.expect(Signal)
        assert (signal.symbol, signal.side, signal.price) == ("BTCUSDT", Side.BUY, 104.0)
        assert signal.stop < 104.0
        stage.gate.expect_none()
        report = await stage.report()
        assert (report.proposed, report.counts["bars"]) == (1, 7)


async def test_brain_tells_symbols_apart(mock_clock: MockClock) -> None:
    """The same prices of another symbol are another symbol's signal."""
    async with open_stage() as stage:
        await stage.feed(trades(BREAKOUT, symbol=1))
        assert stage.gate.expect(Signal).symbol == "ETHUSDT"


async def test_brain_gives_the_same_signals_however_the_ticks_are_cut(
    mock_clock: MockClock,
) -> None:
    """Batches are a matter of timing, and timing decides nothing."""
    async with open_stage() as stage:
        for record in np.split(trades(BREAKOUT), len(BREAKOUT)):
            await stage.feed(record)
        assert stage.gate.expect(Signal).price == 104.0


async def test_brain_breaks_the_bars_that_may_miss_what_was_overwritten(
    mock_clock: MockClock,
) -> None:
    """Of every symbol: nobody knows whose ticks they were. What comes after is whole again."""
    async with open_stage() as stage:
        await stage.feed(trades(BREAKOUT[:3]))
        broken = (await stage.report()).counts["broken_bars"]
        stage.reader.lost = 7
        await stage.feed(trades(BREAKOUT)[3:])
        counts = (await stage.report()).counts
        assert counts["broken_bars"] == broken + 2  # the one that formed, and the next
        assert counts["bars"] > counts["broken_bars"]


async def test_brain_watches_the_stop_of_a_position(mock_clock: MockClock) -> None:
    """A quote at the stop asks for the exit, once, until the position changes again."""
    async with open_stage() as stage:
        await stage.tell(opened(Side.BUY, "99"))
        await stage.feed(quote(99.5, 99.6))
        stage.gate.expect_none()
        await stage.feed(quote(99.0, 99.1))
        assert stage.gate.expect(Signal).side is None
        await stage.feed(quote(98.0, 98.1))
        stage.gate.expect_none()
        await stage.tell(opened(Side.BUY, "99"))
        await stage.feed(quote(98.0, 98.1))
        assert stage.gate.expect(Signal).side is None


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "99"), (Side.SELL, "98")])
async def test_brain_says_which_position_an_exit_is_about(
    mock_clock: MockClock, side: Side, stop: str
) -> None:
    """By the time that it is judged another one may be held."""
    async with open_stage() as stage:
        await stage.tell(opened(side, stop))
        await stage.feed(quote(98.5, 98.6))
        assert stage.gate.expect(Signal).closes is side


async def test_brain_lives_with_a_stop_that_nothing_can_reach(mock_clock: MockClock) -> None:
    """A journal of before such stops were refused may hold one: it guards nothing, and ends nothing."""
    async with open_stage() as stage:
        await stage.tell(opened(Side.BUY, "0.00"))
        await stage.feed(quote(0.1, 0.2))
        stage.gate.expect_none()
        assert stage.brain.alive


async def test_brain_forgets_the_stop_of_a_position_that_is_gone(mock_clock: MockClock) -> None:
    """A flat symbol has nothing to give up."""
    async with open_stage() as stage:
        await stage.tell(opened(Side.SELL, "101"))
        flat = OrderChanged("aegis-1-2", "BTCUSDT", Decimal(0), Position(), None)
        await stage.tell(flat)
        await stage.feed(quote(102.0, 102.1))
        stage.gate.expect_none()


async def test_brain_halted_proposes_nothing(mock_clock: MockClock) -> None:
    """After the halt the number of proposals is final."""
    async with open_stage() as stage:
        await stage.tell(Halt("test"))
        await stage.feed(trades(BREAKOUT))
        stage.gate.expect_none()
        assert (await stage.report()).proposed == 0


async def test_brain_knows_the_middle_of_the_last_quote(mock_clock: MockClock) -> None:
    """A symbol without a quote has no mark."""
    async with open_stage() as stage:
        await stage.feed(quote(99.0, 101.0))
        assert await stage.ask(QuoteOf()) == {"BTCUSDT": 100.0}


async def test_brain_counts_a_signal_that_found_the_gate_gone(mock_clock: MockClock) -> None:
    """No signal vanishes without being counted."""
    async with open_stage() as stage:
        stage.gate.end()
        await stage.feed(trades(BREAKOUT))
        report = await stage.report()
        assert (report.proposed, report.unsent) == (1, 1)
