"""The Strategist on virtual time, beside a Brain where the claim is about both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import trio
from trio.testing import MockClock

from aegis.actors.brain import Brain
from aegis.actors.delivery import ask_again
from aegis.actors.strategist import (
    Strategist,
    StrategistRecord,
    StrategistReport,
    start_strategists,
    strategist_policy,
)
from aegis.kernel import ActorRef
from aegis.kernel.bus import Bus
from aegis.kernel.kit import Kit, Probe, open_kit
from aegis.market.analysis import Analysis
from aegis.market.bars import BAR, FLAG_BROKEN
from aegis.market.closings import CLOSING
from aegis.market.desk import Desk
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.records import TICK, TickKind
from aegis.market.strategy import Proposal, Strategy
from aegis.market.view import View
from aegis.messages import BarClosed, Halt, OrderChanged, PastBars, Report, Signal
from aegis.orders.instrument import Side
from aegis.orders.portfolio import Position
from aegis.topics import SignalGenerated

BASE = Parameters(interval_ms=1000)
START_NS = 1_700_000_000_000_000_000


@attrs.frozen
class Script:
    """What the strategy under test wants, by the close of the bar."""

    wants: dict[float, Any] = attrs.Factory(dict)
    """A Proposal, or an exception to fail with."""


class Scripted(Strategy[Script]):
    """Does as it is told, and shows the position that it sees."""

    def on_bar(self, view: View) -> Proposal | None:
        """Look the close up."""
        wanted = self.parameters.wants.get(view.close)
        if isinstance(wanted, Exception):
            # A new one each time: one that is raised again keeps its old frames, and logs them all.
            raise type(wanted)(*wanted.args)
        if wanted == "position":
            return Proposal.long(stop=1.0, reason=repr(view.position))
        assert wanted is None or isinstance(wanted, Proposal)
        return wanted


LONG = Proposal.long(stop=90.0, target=130.0, reason="why not")
WANTS = {
    101.0: LONG,
    102.0: Proposal.exit("enough"),
    103.0: Proposal.long(stop=float("nan")),
    104.0: ZeroDivisionError("by nothing"),
    105.0: "position",
}


@attrs.define
class Stage:
    """A Strategist under test."""

    kit: Kit
    gate: Probe
    bus: Bus
    strategist: ActorRef
    numbers: dict[str, int] = attrs.Factory(dict)

    async def close(self, price: float, symbol: str = "A", *, flags: int = 0) -> None:
        """Let a bar end at a price."""
        number = self.numbers.get(symbol, 0)
        self.numbers[symbol] = number + 1
        self.strategist.tell(BarClosed(symbol, closing(price, number, flags)))
        await self.kit.settle()

    async def tell(self, message: object) -> None:
        self.strategist.tell(message)
        await self.kit.settle()

    async def report(self) -> StrategistReport:
        answer = await ask(self.kit, self.strategist, Report())
        assert isinstance(answer, StrategistReport)
        return answer


async def ask(kit: Kit, ref: ActorRef, question: object) -> object:
    answers: list[object] = []

    async def put() -> None:
        answers.append(await ref.ask(question, timeout=5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        await trio.testing.wait_all_tasks_blocked()
        await kit.settle()
    return answers[0]


def closing(price: float, number: int, flags: int = 0) -> np.void:
    record = np.zeros(1, CLOSING)
    bar = record["bar"]
    for name in ("open", "high", "low", "close"):
        bar[name] = price
    bar["start_ns"] = START_NS + number * 1_000_000_000
    bar["known_ns"] = bar["start_ns"] + 1_000_000_000
    bar["flags"] = flags
    record["number"], record["recv_us"] = number, 77 + number
    closed: np.void = record[0]
    return closed


def plan(*symbols: str, name: str = "scripted") -> Plan:
    return Plan(name, Scripted, Script(WANTS), symbols, BASE)


@asynccontextmanager
async def open_stage(*symbols: str) -> AsyncIterator[Stage]:
    symbols = symbols or ("A", "B")
    record, bus = StrategistRecord(Desk(plan(*symbols), BASE)), Bus()
    async with open_kit() as kit:
        gate = kit.probe("gate")
        policy = strategist_policy(len(symbols))
        strategist = await kit.spawn(Strategist, record, gate.ref, count(7), bus, policy=policy)
        yield Stage(kit, gate, bus, strategist)


def opened(symbol: str, held: str, *, remaining: str = "0", client_id: str = "c") -> OrderChanged:
    position = Position(Decimal(held), Decimal(100))
    return OrderChanged(client_id, symbol, Decimal(remaining), position, Decimal(95), Decimal(120))


async def test_strategist_sends_what_the_strategy_wants(mock_clock: MockClock) -> None:
    """A proposal becomes a signal with its price, stop, target, reason, cause and the strategy's name."""
    async with open_stage() as stage:
        await stage.close(100.0)
        stage.gate.expect_none()
        await stage.close(101.0)
        signal = stage.gate.expect(Signal)
        assert (signal.signal_id, signal.symbol, signal.strategy) == (7, "A", "scripted")
        assert (signal.side, signal.price, signal.stop) == (Side.BUY, 101.0, 90.0)
        assert (signal.target, signal.reason, signal.caused_us) == (130.0, "why not", 78)
        assert signal.event_ns == START_NS + 2_000_000_000
        await stage.close(102.0)
        leave = stage.gate.expect(Signal)
        assert (leave.side, leave.reason, leave.signal_id) == (None, "enough", 8)
        report = await stage.report()
        assert (report.name, report.bars, report.proposed) == ("scripted", 3, 2)


@pytest.mark.parametrize(("held", "closes"), [("1", Side.BUY), ("-1", Side.SELL), ("0", None)])
async def test_strategist_says_which_position_an_exit_is_about(
    mock_clock: MockClock, held: str, closes: Side | None
) -> None:
    """The one that the strategy saw: by the time that it is judged another one may be held."""
    async with open_stage() as stage:
        await stage.tell(opened("A", held))
        await stage.close(102.0)
        assert stage.gate.expect(Signal).closes is closes


async def test_strategist_tells_the_bus(mock_clock: MockClock) -> None:
    """Whoever listens to signals hears those of a strategy as well."""
    async with open_stage() as stage:
        with stage.bus.subscribe(SignalGenerated) as heard:
            await stage.close(101.0)
            signal = (await anext(heard)).signal
        assert signal == stage.gate.expect(Signal)


async def test_strategist_withholds_what_could_not_be_guarded(mock_clock: MockClock) -> None:
    """An entry without a stop, or on a bar that may miss trades, is counted and not sent; an exit is."""
    async with open_stage() as stage:
        await stage.close(103.0)
        await stage.close(101.0, flags=FLAG_BROKEN)
        stage.gate.expect_none()
        await stage.close(102.0, flags=FLAG_BROKEN)
        assert stage.gate.expect(Signal).side is None
        report = await stage.report()
        assert (report.withheld, report.proposed, report.quarantined) == (2, 1, {})


async def test_failing_strategy_is_quarantined_for_its_symbol(mock_clock: MockClock) -> None:
    """The symbol that was in hand is asked about no more; the others go on, with all that the strategy knew of them."""
    async with open_stage() as stage:
        await stage.close(100.0, "B")
        await stage.close(104.0, "A")
        await stage.close(101.0, "A")
        stage.gate.expect_none()
        await stage.close(101.0, "B")
        assert stage.gate.expect(Signal).symbol == "B"
        report = await stage.report()
        assert report.quarantined == {"A": "ZeroDivisionError: by nothing"}
        assert (report.bars, stage.strategist.stats().restarts) == (2, 1)


class Wordless(Exception):  # named as a user might
    """A failure that fails once more when it is asked what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("why", "said"),
    [(Wordless(), "Wordless: it cannot say"), (ValueError("\ud800"), r"ValueError: \ud800")],
)
async def test_a_failure_that_cannot_be_written_down_is_one_all_the_same(
    mock_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: Exception,
    said: str,
) -> None:
    """The strategy is asked no more about the symbol, and the others go on."""
    caplog.set_level(
        "CRITICAL", "aegis.kernel"
    )  # whoever gathers what tests log cannot hold it either

    def fail(_: object, view: View) -> None:
        if view.symbol == "A":
            raise why

    async with open_stage() as stage:
        monkeypatch.setattr(Scripted, "on_bar", fail)
        for symbol in ("A", "A", "B"):
            await stage.close(100.0, symbol)
        report = await stage.report()
        assert (report.quarantined, report.bars) == ({"A": said}, 1)


async def test_who_asks_for_the_end_does_not_wait_for_bars(mock_clock: MockClock) -> None:
    """Those that are behind are not looked at any more: a slow strategy may have hundreds."""
    async with open_stage() as stage:
        for number in range(100):
            stage.strategist.tell(BarClosed("A", closing(101.0, number)))
        stage.strategist.tell(Halt("test"))
        assert (await stage.report()).bars == 0
        stage.gate.expect_none()


@pytest.mark.parametrize("why", [SystemExit(3), SystemExit(), GeneratorExit()])
async def test_a_strategy_that_would_end_the_program_is_quarantined(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch, why: BaseException
) -> None:
    """As for any other failure: the engine has positions to close, and a strategy does not decide that it ends."""

    def leave(_: object, view: View) -> None:
        raise why

    async with open_stage() as stage:
        monkeypatch.setattr(Scripted, "on_bar", leave)
        await stage.close(100.0, "A")
        assert list((await stage.report()).quarantined) == ["A"]


async def test_failure_is_logged_with_strategy_symbol_and_exception(
    mock_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which strategy failed on what, and how."""
    async with open_stage() as stage:
        await stage.close(104.0, "B")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "quarantined" in line]
    assert all(word in line for word in ("scripted", "B", "ZeroDivisionError: by nothing"))


async def test_many_symbols_can_be_quarantined(mock_clock: MockClock) -> None:
    """A strategy that fails on each of 300 symbols within a second leaves all of them alone, and ends nothing."""
    symbols = [f"S{number}" for number in range(300)]
    async with open_stage(*symbols) as stage:
        for symbol in symbols:
            stage.strategist.tell(BarClosed(symbol, closing(104.0, 0)))
        await stage.kit.advance(1.0)
        assert stage.strategist.alive
        assert sorted((await stage.report()).quarantined) == sorted(symbols)


async def test_question_behind_a_failing_bar_is_answered(mock_clock: MockClock) -> None:
    """Whoever asks how it goes while the strategy fails is told by the next incarnation, and hears no error."""
    async with open_stage() as stage:
        answers: list[StrategistReport] = []

        async def put() -> None:
            answers.append(await ask_again(stage.strategist, Report(), timeout=5))

        async with trio.open_nursery() as nursery:
            stage.strategist.tell(BarClosed("A", closing(104.0, 0)))
            stage.strategist.tell(BarClosed("B", closing(104.0, 0)))
            nursery.start_soon(put)
            await trio.testing.wait_all_tasks_blocked()
            await stage.kit.advance(0.1)
        assert sorted(answers[0].quarantined) == ["A", "B"]


async def test_bars_that_wait_survive_a_failure(mock_clock: MockClock) -> None:
    """What was in the mailbox when the strategy failed is looked at by the next incarnation, in order."""
    async with open_stage() as stage:
        for number, (symbol, price) in enumerate((("A", 104.0), ("B", 101.0), ("B", 102.0))):
            stage.strategist.tell(BarClosed(symbol, closing(price, max(0, number - 1))))
        await stage.kit.advance(1.0)
        assert [stage.gate.expect(Signal).side for _ in range(2)] == [Side.BUY, None]


async def test_strategy_sees_its_position(mock_clock: MockClock) -> None:
    """What is held, since what price, guarded where, and whether an order may still fill."""
    async with open_stage() as stage:
        await stage.close(105.0)
        assert "quantity=0.0" in stage.gate.expect(Signal).reason
        await stage.tell(opened("A", "-2", remaining="1"))
        await stage.close(105.0)
        assert stage.gate.expect(Signal).reason == (
            "Holding(quantity=-2.0, entry_price=100.0, stop=95.0, target=120.0, is_working=True)"
        )
        await stage.tell(opened("A", "-3"))
        await stage.close(105.0)
        seen = stage.gate.expect(Signal).reason
        assert "quantity=-3.0" in seen
        assert "is_working=False" in seen


async def test_position_survives_a_failure(mock_clock: MockClock) -> None:
    """The next incarnation knows what is held as well as the one that failed."""
    async with open_stage() as stage:
        await stage.tell(opened("B", "2", remaining="1", client_id="x"))
        await stage.close(104.0, "A")
        await stage.close(105.0, "B")
        assert "quantity=2.0" in stage.gate.expect(Signal).reason
        await stage.tell(opened("B", "3", client_id="y"))
        await stage.close(105.0, "B")
        assert "is_working=True" in stage.gate.expect(Signal).reason


async def test_halted_strategist_proposes_nothing(mock_clock: MockClock) -> None:
    """After the halt no bar is looked at, so the number of proposals is final; in the next incarnation as well."""
    async with open_stage() as stage:
        stage.strategist.tell(BarClosed("B", closing(104.0, 0)))
        await stage.tell(Halt("test"))
        for symbol in ("A", "B"):
            await stage.close(101.0, symbol)
        stage.gate.expect_none()
        report = await stage.report()
        assert (report.bars, report.proposed) == (0, 0)


async def test_strategist_counts_a_signal_that_found_the_gate_gone(mock_clock: MockClock) -> None:
    """No signal vanishes without being counted."""
    async with open_stage() as stage:
        stage.gate.end()
        await stage.close(101.0)
        report = await stage.report()
        assert (report.proposed, report.unsent) == (1, 1)


# ── beside a Brain ───────────────────────────────────────────────────────────────────────────────────────────────


class TickReader:
    """A ring reader whose records the test puts in."""

    def __init__(self) -> None:
        self.lost = 0
        self._records: list[npt.NDArray[np.void]] = []
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
        records = self._records.pop(0)
        out[: len(records)] = records
        return len(records)


def tick(second: float, price: float, symbol: int = 0) -> npt.NDArray[np.void]:
    record = np.zeros(1, TICK)
    record["symbol"], record["kind"] = symbol, TickKind.TRADE
    record["event_ns"] = START_NS + int(second * 1e9)
    record["bid"] = record["ask"] = price
    record["ask_size"] = 1.0
    return record


@attrs.define
class Floor:
    """A Brain with two Strategists."""

    kit: Kit
    gate: Probe
    brain: ActorRef
    strategists: list[ActorRef]
    reader: TickReader

    async def feed(self, *ticks: npt.NDArray[np.void]) -> None:
        self.reader.put(np.concatenate(ticks))
        await self.kit.settle()


@asynccontextmanager
async def open_floor() -> AsyncIterator[Floor]:
    symbols, reader, ids = ("A", "B"), TickReader(), count(1)
    plans = [plan("A", "B", name="wide"), plan("B", name="narrow")]
    plans[1] = attrs.evolve(plans[1], analysis=Parameters(interval_ms=2000))
    async with open_kit() as kit:
        gate = kit.probe("gate")
        desks = [Desk(each, BASE) for each in plans]
        started = await start_strategists(kit.system, desks, gate.ref, ids, Bus())
        strategists = [ref for _, ref in started]
        brain = await kit.spawn(
            Brain,
            reader,
            Analysis(2, BASE, rules=()),
            symbols,
            gate.ref,
            strategists={"A": strategists[:1], "B": strategists},
            ids=ids,
        )
        await kit.settle()
        yield Floor(kit, gate, brain, strategists, reader)


async def test_each_strategy_gets_the_bars_of_its_symbols_and_interval(
    mock_clock: MockClock,
) -> None:
    """Two strategies on one Brain: one on every bar of both symbols, one on the double bars of the second."""
    async with open_floor() as floor:
        ticks = [tick(second, 100.0, symbol) for second in range(9) for symbol in (0, 1)]
        await floor.feed(*ticks[:4])
        await floor.feed(*ticks[4:])
        reports = [await ask(floor.kit, ref, Report()) for ref in floor.strategists]
        assert [(r.name, r.bars) for r in reports] == [("wide", 16), ("narrow", 4)]  # type: ignore[attr-defined]


async def test_several_strategies_have_signals_of_their_own(mock_clock: MockClock) -> None:
    """On one bar both want the same, each under its name and with a number of its own."""
    async with open_floor() as floor:
        # The first bar of a run is broken: nothing is entered on it, nor on a longer one that holds it.
        await floor.feed(
            *[tick(s, 100.0, 1) for s in range(3)], tick(3, 101.0, 1), tick(4, 99.0, 1)
        )
        signals = [floor.gate.expect(Signal) for _ in range(2)]
        floor.gate.expect_none()
        assert sorted(signal.strategy for signal in signals) == ["narrow", "wide"]
        assert {signal.symbol for signal in signals} == {"B"}
        assert len({signal.signal_id for signal in signals}) == 2


async def test_stop_stays_armed_when_the_strategy_is_quarantined(mock_clock: MockClock) -> None:
    """What guards a position is the Brain's: the strategy that opened it may fail, and the stop is taken all the same."""
    async with open_floor() as floor:
        await floor.feed(tick(0, 100.0))
        held = opened("A", "1")
        for ref in (floor.brain, *floor.strategists):
            ref.tell(held)
        await floor.feed(tick(1, 104.0), tick(2, 104.0))
        report = await ask(floor.kit, floor.strategists[0], Report())
        assert report.quarantined == {"A": "ZeroDivisionError: by nothing"}  # type: ignore[attr-defined]
        floor.gate.expect_none()
        await floor.feed(tick(2.5, 95.0))
        leave = floor.gate.expect(Signal)
        assert (leave.symbol, leave.side, leave.reason) == ("A", None, "stop")


async def test_past_bars_are_looked_at_and_not_traded_on(mock_clock: MockClock) -> None:
    """Candles of before the start bring a strategy up to date; what it wants then is not sent."""
    async with open_floor() as floor:
        bars = np.zeros(3, BAR)
        for name in ("open", "high", "low", "close"):
            bars[name] = [100.0, 101.0, 105.0]
        bars["start_ns"] = START_NS + np.arange(3) * 1_000_000_000
        bars["known_ns"] = bars["start_ns"] + 1_000_000_000
        floor.brain.tell(PastBars("A", bars, complete=True))
        await floor.kit.settle()
        report = await ask(floor.kit, floor.strategists[0], Report())
        assert (report.bars, report.proposed) == (3, 0)  # type: ignore[attr-defined]
        floor.gate.expect_none()
        await floor.feed(tick(3, 101.0), tick(4, 100.0))
        floor.gate.expect_none()  # the first bar of ticks is broken: it began before anybody listened
        await floor.feed(tick(5, 101.0), tick(6, 100.0))
        assert floor.gate.expect(Signal).strategy == "wide"


async def test_target_is_armed_and_taken(mock_clock: MockClock) -> None:
    """The target of a position ends it as its stop would."""
    async with open_floor() as floor:
        floor.brain.tell(opened("A", "1"))
        quote = tick(1, 120.0)
        quote["kind"], quote["bid_size"] = TickKind.QUOTE, 1.0
        await floor.feed(quote)
        leave = floor.gate.expect(Signal)
        assert (leave.side, leave.reason, leave.target, leave.strategy) == (
            None,
            "target",
            120.0,
            "",
        )
