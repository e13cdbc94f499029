"""Strategists beside a Brain that steps on a thread of its own, through a real ring: what they see is of their bar."""

from __future__ import annotations

from hashlib import sha256
from itertools import count

import numpy as np
import numpy.typing as npt
import trio

from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.actors.delivery import ask_again
from aegis.actors.strategist import StrategistReport, start_strategists
from aegis.kernel import Actor, on, open_system
from aegis.kernel.bus import Bus
from aegis.market.analysis import Analysis
from aegis.market.desk import Desk
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.records import TICK, TickKind
from aegis.market.strategy import NoParameters, Proposal, Strategy
from aegis.market.view import View
from aegis.messages import OrderChanged, Report, Signal
from aegis.shm import Policy, Ring

SYMBOLS = ("A", "B", "C")
BASE = Parameters(interval_ms=100, pivot_bars=2, atr_period=4)
START_NS = 1_700_006_400_000_000_000


class Watcher(Strategy[NoParameters]):
    """Notes what it sees, and fails at one bar of one symbol."""

    def __init__(self, parameters: NoParameters) -> None:
        super().__init__(parameters)
        self.seen: list[bytes] = []

    def on_bar(self, view: View) -> Proposal | None:
        """Note the bars, the numbers and the structure."""
        if view.symbol == "C" and view.number == 20:
            raise ValueError("enough")
        parts = (view.bars(), view.vector, view.structure.events(), np.array(view.quote.bid))
        self.seen.append(sha256(b"".join(part.tobytes() for part in parts)).digest())
        return None


class Deaf(Actor):
    """Stands in for the Gate."""

    @on(Signal)
    def ignore(self, signal: Signal) -> None:
        """Take it."""

    @on(OrderChanged)
    def miss(self, changed: OrderChanged) -> None:
        """Take that."""


def market(ticks: int) -> npt.NDArray[np.void]:
    """Quotes and trades of all symbols by turns."""
    rng = np.random.default_rng(4)
    records = np.zeros(ticks, TICK)
    records["symbol"] = rng.integers(0, len(SYMBOLS), ticks)
    records["event_ns"] = START_NS + np.cumsum(rng.integers(1, 20, ticks)) * 1_000_000
    records["kind"] = np.where(rng.random(ticks) < 0.4, TickKind.QUOTE, TickKind.TRADE)
    price = 100.0 + np.cumsum(rng.normal(0, 0.02, ticks))
    records["bid"] = records["ask"] = price
    records["ask"] += 0.01 * (records["kind"] == TickKind.QUOTE)
    records["ask_size"] = 1.0
    records["bid_size"] = 1.0 * (records["kind"] == TickKind.QUOTE)
    return records


def plans() -> list[Plan]:
    longer = Parameters(interval_ms=300, pivot_bars=2, atr_period=4)
    return [
        Plan("own", Watcher, NoParameters(), SYMBOLS, BASE),
        Plan("longer", Watcher, NoParameters(), SYMBOLS[:1], longer),
    ]


def seen_by(desk: Desk) -> dict[str, list[bytes]]:
    return {symbol: desk._strategies[symbol].seen for symbol in desk.plan.symbols}  # type: ignore[attr-defined]


def seen_in_order(ticks: npt.NDArray[np.void]) -> list[dict[str, list[bytes]]]:
    """What strategies see where each is asked at once, one tick at a time."""
    analysis, desks = Analysis(len(SYMBOLS), BASE, rules=()), [Desk(p, BASE) for p in plans()]
    analysis.follow(range(len(SYMBOLS)))
    for index in range(len(ticks)):
        analysis.step(ticks[index : index + 1])
        for closing in analysis.closings():
            for desk in desks:
                symbol = SYMBOLS[closing["symbol"]]
                if symbol in desk.plan.symbols:
                    for view in desk.views(symbol, closing):
                        if (symbol, desk.plan.name) != ("C", "own") or view.number < 20:
                            desk.ask(view)
    return [seen_by(desk) for desk in desks]


async def test_strategies_see_the_same_however_fast_the_thread_goes() -> None:
    """The thread takes all ticks as fast as it can, the strategies come after, one fails: each saw, bar by bar, what there was."""
    ticks = market(10_000)
    desks, bus = [Desk(plan, BASE) for plan in plans()], Bus()
    with (
        trio.fail_after(60),
        Ring.create(TICK, 1 << 15) as ring,
        ring.reader("brain", policy=Policy.GATE) as reader,
        ring.writer() as writer,
    ):
        async with open_system() as system:
            gate = await system.spawn(Deaf)
            started = await start_strategists(system, desks, gate, count(1), bus)
            asked = {s: [ref for d, ref in started if s in d.plan.symbols] for s in SYMBOLS}
            analysis = Analysis(len(SYMBOLS), BASE, rules=())
            brain = await system.spawn(
                Brain, reader, analysis, SYMBOLS, gate, bus, strategists=asked
            )
            await writer.write_all(ticks)
            report: BrainReport = await brain.ask(Report(), timeout=5)
            while report.counts["ticks"] < len(ticks):
                await trio.sleep(0.01)
                report = await brain.ask(Report(), timeout=5)
            assert report.step_thread != report.loop_thread
            expected = seen_in_order(ticks)
            due = sum(len(seen) for seen in expected[0].values())
            watched: StrategistReport = await ask_again(started[0][1], Report(), timeout=30)
            while watched.bars < due:
                await trio.sleep(0.01)
                watched = await ask_again(started[0][1], Report(), timeout=30)
            assert watched.quarantined == {"C": "ValueError: enough"}
            report = await brain.ask(Report(), timeout=5)
            assert (report.lost, report.bars_unsent) == (0, 0)
    for got, wanted in zip(map(seen_by, desks), expected, strict=True):
        for symbol, seen in wanted.items():
            assert got[symbol] == seen
            assert len(seen) > 15
