"""Candles of before the start, through a Brain on a thread of its own, to strategists who are slower than it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import numpy as np
import numpy.typing as npt
import trio

from aegis.actors.brain import Brain, BrainReport
from aegis.kernel import Actor, ActorRef, on, open_system
from aegis.market.analysis import Analysis
from aegis.market.bars import BAR
from aegis.market.parameters import Parameters
from aegis.market.records import TICK
from aegis.messages import BarClosed, PastBars, Report, Signal
from aegis.shm import Policy, Ring

MINUTE_NS = 60_000_000_000
FIRST_NS = 1_700_000_000_000_000_000 - 1_700_000_000_000_000_000 % MINUTE_NS
PARAMETERS = Parameters(interval_ms=60_000)
PATIENCE_S = 30.0


def candles(count: int, first: int = 0) -> npt.NDArray[np.void]:
    """One a minute, all at the same price."""
    bars = np.zeros(count, BAR)
    bars["start_ns"] = FIRST_NS + (first + np.arange(count)) * MINUTE_NS
    bars["known_ns"] = bars["start_ns"] + MINUTE_NS
    for name in ("open", "high", "low", "close"):
        bars[name] = 100.0
    return bars


class Gate(Actor):
    """Takes what it is told."""

    @on(Signal)
    def ignore(self, _: Signal) -> None:
        """Take it."""


class Follower(Actor):
    """Stands for a Strategist: looks at nothing before it is let."""

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
    numbers: list[int]
    """Of the bars that the follower has looked at."""
    may_look: trio.Event

    async def report(self) -> BrainReport:
        report: BrainReport = await self.brain.ask(Report(), timeout=PATIENCE_S)
        return report


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not holds():
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_stage(symbols: Sequence[str] = ("A",)) -> AsyncIterator[Stage]:
    analysis = Analysis(len(symbols), PARAMETERS, rules=())
    numbers: list[int] = []
    may_look = trio.Event()
    with (
        Ring.create(TICK, 1 << 10) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
        ring.writer(),
    ):
        async with open_system() as system:
            gate = await system.spawn(Gate)
            follower = await system.spawn(Follower, numbers, may_look)
            brain = await system.spawn(
                Brain, reader, analysis, symbols, gate, strategists={symbols[0]: [follower]}
            )
            yield Stage(brain, analysis, numbers, may_look)


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
