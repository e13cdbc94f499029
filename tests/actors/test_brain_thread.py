"""The Brain on a thread of its own: a real ring, the machine's clock, and a loop that does other things meanwhile."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import trio

from aegis.actors import brain_thread
from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.actors.brain_thread import BrainThread
from aegis.kernel import Actor, ActorRef, Level, Priority, on, open_system
from aegis.kernel.bus import Bus
from aegis.market.analysis import Analysis
from aegis.market.conflate import Conflation
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind
from aegis.messages import OrderChanged, QuoteOf, Report, Signal
from aegis.orders.instrument import Side
from aegis.orders.portfolio import Position
from aegis.shm import Policy, Ring
from aegis.shm.writer import Writer
from aegis.topics import TickUpdate

SYMBOLS = tuple(f"COIN{number}USDT" for number in range(20))
PARAMETERS = Parameters(interval_ms=100, pivot_bars=1, atr_period=2)
PATIENCE_S = 20.0
LOOKS = 50_000
"""Of a loop that waits without giving way: some seconds."""


class Gate(Actor):
    """Keeps the signals it is sent."""

    mailbox = {Priority.ANALYSIS: Level.block(1 << 16)}

    def __init__(self, signals: list[Signal]) -> None:
        self._signals = signals

    @on(Signal)
    def keep(self, signal: Signal) -> None:
        self._signals.append(signal)


@attrs.define
class Stage:
    """A Brain that lives, and what it reads from."""

    brain: ActorRef
    analysis: Analysis
    writer: Writer
    signals: list[Signal]
    bus: Bus

    @property
    def stepped(self) -> int:
        return self.analysis.counts()["ticks"]

    async def report(self) -> BrainReport:
        report: BrainReport = await self.brain.ask(Report(), timeout=PATIENCE_S)
        return report

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not holds():
                await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_stage(capacity: int = 1 << 15) -> AsyncIterator[Stage]:
    signals: list[Signal] = []
    analysis = Analysis(len(SYMBOLS), PARAMETERS)
    bus = Bus()
    with (
        Ring.create(TICK, capacity) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
        ring.writer() as writer,
    ):
        async with open_system("thread") as system:
            gate = await system.spawn(Gate, signals)
            brain = await system.spawn(Brain, reader, analysis, SYMBOLS, gate, bus, name="brain")
            yield Stage(brain, analysis, writer, signals, bus)


def market(count: int, seed: int = 3) -> npt.NDArray[np.void]:
    """A random walk of each symbol: trades, and now and then a quote."""
    rng = np.random.default_rng(seed)
    ticks = np.zeros(count, TICK)
    ticks["symbol"] = np.arange(count) % len(SYMBOLS)
    ticks["kind"] = np.where(rng.random(count) < 0.2, TickKind.QUOTE, TickKind.TRADE)
    ticks["event_ns"] = 10**18 + np.arange(count) * 1_000_000
    steps = rng.normal(0, 0.1, (count // len(SYMBOLS) + 1, len(SYMBOLS)))
    ticks["bid"] = ticks["ask"] = 100.0 + np.cumsum(steps, axis=0).ravel()[:count]
    ticks["ask_size"] = 1.0
    ticks["bid_size"] = ticks["kind"] == TickKind.QUOTE
    return ticks


def quotes(count: int, price: float) -> npt.NDArray[np.void]:
    """The same quote of the first symbol again and again."""
    ticks = np.zeros(count, TICK)
    ticks["kind"] = TickKind.QUOTE
    ticks["event_ns"] = 10**18
    ticks["bid"], ticks["ask"] = price, price + 1.0
    ticks["bid_size"] = ticks["ask_size"] = 1.0
    return ticks


def more_than(signals: list[Signal], count: int) -> bool:
    return len(signals) > count


def held(stop: float | None) -> OrderChanged:
    """A long position of the first symbol, with its stop."""
    position = Position(Decimal(Side.BUY.sign), Decimal(100))
    price = None if stop is None else Decimal(str(stop))
    return OrderChanged("aegis-1-1", SYMBOLS[0], Decimal(0), position, price)


async def test_thread_of_the_step_is_not_the_loops() -> None:
    """The report names both, and both are threads of this process."""
    async with open_stage() as stage:
        await stage.writer.write_all(market(100))
        await stage.until(lambda: stage.stepped == 100)
        report = await stage.report()
        assert report.loop_thread == threading.get_native_id()
        assert report.step_thread != report.loop_thread
        assert report.step_thread in {thread.native_id for thread in threading.enumerate()}


async def test_thread_steps_while_the_loop_does_something_else() -> None:
    """The loop does not give way once between the writing of the ticks and their being in the bars."""
    ticks = market(20_000)
    async with open_stage() as stage:
        await stage.writer.write_all(ticks[:1])
        await stage.until(lambda: stage.stepped == 1)  # it has begun
        assert stage.writer.write_batch(ticks[1:]) == len(ticks) - 1
        for _ in range(LOOKS):
            if stage.stepped == len(ticks):
                break
        else:
            pytest.fail("nothing was stepped while the loop was busy")
        assert stage.analysis.counts()["bars"] > 0


async def test_loop_goes_round_while_the_thread_steps() -> None:
    """Millions of ticks wait for the thread; the loop does not wait for them."""
    ticks = market(20_000)
    passes: list[int] = []
    async with open_stage() as stage, trio.open_nursery() as nursery:

        async def flood() -> None:
            for _ in range(200):
                await stage.writer.write_all(ticks)
            nursery.cancel_scope.cancel()

        async def go_round() -> None:
            while True:
                await trio.lowlevel.checkpoint()
                passes.append(stage.stepped)

        nursery.start_soon(flood)
        nursery.start_soon(go_round)
    assert len(set(passes)) > 50  # in between, and not once before and once after


async def test_thread_makes_of_ticks_what_the_step_makes_inline() -> None:
    """Every number of every symbol, and every signal, whatever the batches were."""
    ticks = market(30_000)
    inline = Analysis(len(SYMBOLS), PARAMETERS)
    expected = np.concatenate([inline.step(part).copy() for part in np.split(ticks, 30)])
    async with open_stage() as stage:
        await stage.writer.write_all(ticks)
        await stage.until(lambda: stage.stepped == len(ticks))
        await stage.until(lambda: len(stage.signals) == len(expected))
        assert stage.analysis.state.tobytes() == inline.state.tobytes()
        report = await stage.report()
    assert len(expected) > 1000
    assert [signal.price for signal in stage.signals] == expected["price"].tolist()
    assert (report.ticks_lost, report.lost, report.unsent) == (0, 0, 0)


async def step_unheard(stage: Stage, ticks: npt.NDArray[np.void]) -> None:
    """Have ticks stepped while the loop does not give way once: nobody takes a signal meanwhile."""
    due = stage.stepped + len(ticks)
    assert stage.writer.write_batch(ticks) == len(ticks)
    for _ in range(LOOKS):
        if stage.stepped == due:
            return
    pytest.fail("nothing was stepped while the loop was busy")


async def test_bars_that_miss_overwritten_ticks_are_broken() -> None:
    """Nobody knows whose they were: no entry is decided on any bar that forms then, or next."""
    analysis, ticks = Analysis(len(SYMBOLS), PARAMETERS), market(20_000)
    analysis.step(ticks[:10_000])  # the first bar of each symbol, of which nobody saw the beginning
    before = analysis.state["broken_bars"].copy()
    assert not analysis.state["forming"]["flags"].any()
    with (
        Ring.create(TICK, 4096) as ring,
        ring.reader("brain", policy=Policy.LOSSY) as reader,
        ring.writer() as writer,
    ):
        for piece in np.split(ticks[10_000:], 10):
            assert writer.write_batch(piece) == len(piece)
        async with open_system("overrun") as system:
            gate = await system.spawn(Gate, [])
            brain = await system.spawn(Brain, reader, analysis, SYMBOLS, gate, name="brain")
            with trio.fail_after(PATIENCE_S):
                while analysis.state["event_ns"].max() < ticks["event_ns"].max():
                    await trio.lowlevel.checkpoint()
            report = await brain.ask(Report(), timeout=PATIENCE_S)
    assert report.ticks_lost > 0
    broken = analysis.state["broken_bars"] - before
    assert ((broken >= 1) & (broken <= 2)).all()


async def test_signals_that_find_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that is away for too long misses some; each that the step made was handed on, or is told of."""
    monkeypatch.setattr(brain_thread, "_OUTPUTS", 64)
    ticks = market(20_000)
    inline = Analysis(len(SYMBOLS), PARAMETERS)
    made = sum(len(inline.step(part)) for part in np.split(ticks, 20))
    async with open_stage() as stage:
        await stage.writer.write_all(ticks[:1])
        await stage.until(lambda: stage.stepped == 1)  # it has begun
        await step_unheard(stage, ticks[1:])
        await stage.until(lambda: len(stage.signals) >= 64)
        report = await stage.report()
    assert report.proposed == len(stage.signals)
    assert report.signals_lost == made - report.proposed
    assert report.signals_lost > 0


async def test_stop_whose_signal_found_no_room_is_watched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was disarmed as it fired, and nobody heard of it: the position would have had no stop any more."""
    monkeypatch.setattr(brain_thread, "_OUTPUTS", 64)
    ticks = market(20_000)
    ticks = ticks[ticks["symbol"] != 0]
    async with open_stage() as stage:
        await stage.writer.write_all(quotes(1, 100.0))
        stage.brain.tell(held(90.0))
        row = stage.analysis.state[0]
        await stage.until(lambda: row["stop_long"] == 90.0)
        await step_unheard(stage, np.concatenate([ticks, quotes(1, 80.0)]))
        assert row["stop_long"] == -np.inf
        await stage.until(lambda: row["stop_long"] == 90.0)
        assert not any(signal.side is None for signal in stage.signals)
        await stage.writer.write_all(quotes(1, 80.0))
        await stage.until(lambda: any(signal.side is None for signal in stage.signals))
        stage.brain.tell(held(None))
        await stage.until(lambda: row["stop_long"] == -np.inf)
        assert stage.analysis.counts()["strays"] == 0


async def test_what_is_watched_again_is_what_was_told_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that comes while all is armed once more is obeyed after it: of two commands for a row the last one counts."""
    monkeypatch.setattr(brain_thread, "_OUTPUTS", 64)
    obey, begun, done = BrainThread.obey, list[int](), list[int]()

    async def obey_the_first_slowly(thread: BrainThread, orders: npt.NDArray[np.void]) -> None:
        begun.append(len(orders))
        for _ in range(1000 if len(begun) == 1 else 0):
            await trio.lowlevel.checkpoint()
        await obey(thread, orders)
        done.append(len(orders))

    ticks = market(20_000)
    ticks = ticks[ticks["symbol"] != 0]
    async with open_stage() as stage:
        await stage.writer.write_all(quotes(1, 100.0))
        stage.brain.tell(held(90.0))
        row = stage.analysis.state[0]
        await stage.until(lambda: row["stop_long"] == 90.0)
        monkeypatch.setattr(BrainThread, "obey", obey_the_first_slowly)
        await step_unheard(stage, ticks)
        await stage.until(lambda: len(begun) > 0)
        stage.brain.tell(held(95.0))
        await stage.until(lambda: len(done) > 1)
        due = stage.stepped + 1
        await stage.writer.write_all(quotes(1, 100.0))
        await stage.until(lambda: stage.stepped >= due)
        assert row["stop_long"] == 95.0


async def test_thread_hands_on_the_signals_of_small_batches_in_their_order() -> None:
    """Piece by piece, and nothing twice: as many ticks at a time as a thread finds that keeps up."""
    ticks = market(12_000)
    inline = Analysis(len(SYMBOLS), PARAMETERS)
    expected = inline.step(ticks).copy()
    async with open_stage() as stage:
        for first in range(0, len(ticks), 300):
            await stage.writer.write_all(ticks[first : first + 300])
            await stage.until(partial(_has_stepped, stage, first + 300))
        await stage.until(lambda: len(stage.signals) == len(expected))
        assert stage.analysis.state.tobytes() == inline.state.tobytes()
    assert len(expected) > 300
    assert [signal.price for signal in stage.signals] == expected["price"].tolist()


def _has_stepped(stage: Stage, count: int) -> bool:
    return stage.stepped == count


async def test_thread_obeys_each_stop_once_under_a_flood_of_ticks() -> None:
    """A stop that is armed while ticks rush by is hit by the next of them, exactly once, and at its own price."""
    tick_flood = quotes(4096, 100.0)
    async with open_stage() as stage, trio.open_nursery() as nursery:

        async def flood() -> None:
            while True:
                await stage.writer.write_all(tick_flood)
                await trio.lowlevel.checkpoint()

        nursery.start_soon(flood)
        stops = [101.0 + number / 10 for number in range(50)]
        for stop in stops:
            exits = len(stage.signals)
            await stage.brain.send(held(stop))
            await stage.until(partial(more_than, stage.signals, exits))
        stepped = stage.stepped
        await stage.until(lambda: stage.stepped > stepped + 2 * len(tick_flood))
        nursery.cancel_scope.cancel()
    assert [signal.stop for signal in stage.signals] == stops
    assert all(signal.side is None for signal in stage.signals)


async def test_thread_forgets_a_stop_that_was_disarmed() -> None:
    """What comes after the command finds no stop, though it is beyond it."""
    async with open_stage() as stage:
        await stage.brain.send(held(99.0))
        await stage.brain.send(held(None))
        await stage.brain.send(held(98.0))
        await stage.until(lambda: float(stage.analysis.row(0)["stop_long"]) == 98.0)
        await stage.brain.send(held(None))
        await stage.until(lambda: float(stage.analysis.row(0)["stop_long"]) < 0)
        await stage.writer.write_all(quotes(10, 90.0))
        await stage.until(lambda: stage.stepped == 10)
        report = await stage.report()
        assert (report.proposed, stage.signals) == (0, [])
        assert await stage.brain.ask(QuoteOf(), timeout=PATIENCE_S) == {SYMBOLS[0]: 90.5}


async def test_thread_publishes_windows_of_ticks_where_somebody_listens() -> None:
    """What is told on the bus has all that the trades say to a bar, and nothing twice."""
    ticks = market(10_000)
    async with open_stage() as stage:
        with stage.bus.subscribe(TickUpdate, Level.block(1 << 16)) as updates:
            await trio.sleep(0.2)  # it looks for listeners now and then
            await stage.writer.write_all(ticks)
            volume = 0.0
            is_trade = ticks["kind"] == TickKind.TRADE
            last = ticks["event_ns"][-1] - 300_000_000  # the last windows are not over
            due = float(
                (ticks["ask_size"] + ticks["bid_size"])[is_trade & (ticks["event_ns"] < last)].sum()
            )
            with trio.fail_after(PATIENCE_S):
                async for update in updates:
                    volume += update.volume
                    if volume >= due:
                        break
    every = float((ticks["ask_size"] + ticks["bid_size"])[is_trade].sum())
    assert due <= volume <= every


@pytest.mark.parametrize("flooded", [False, True], ids=["asleep", "flooded"])
async def test_thread_ends_when_the_brain_is_cancelled(flooded: bool) -> None:
    """Whether it sleeps or has more to do than it can: nothing is read after the end."""
    ticks = market(20_000)
    with trio.fail_after(PATIENCE_S):
        async with open_stage() as stage:
            if flooded:
                stage.writer.write_batch(ticks)
            else:
                await stage.writer.write_all(ticks[:10])
                await stage.until(lambda: stage.stepped == 10)
    stepped = stage.stepped
    assert stepped <= len(ticks)
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    assert stage.stepped == stepped


async def test_what_fails_with_a_signal_ends_the_thread() -> None:
    """The error comes out of `run`, after the thread has ended and before its rings are gone."""

    def fail(_: npt.NDArray[np.void]) -> None:
        raise ArithmeticError

    analysis = Analysis(len(SYMBOLS), PARAMETERS)
    with (
        Ring.create(TICK, 1 << 15) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
        ring.writer() as writer,
    ):
        thread = BrainThread(reader, analysis, Conflation(len(SYMBOLS), 0))
        with (
            trio.fail_after(PATIENCE_S),
            pytest.RaisesGroup(ArithmeticError, flatten_subgroups=True),
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.write_all, market(20_000))
                await thread.run(fail)
        stepped = analysis.counts()["ticks"]
        writer.write_batch(quotes(10, 100.0))
        assert analysis.counts()["ticks"] == stepped
