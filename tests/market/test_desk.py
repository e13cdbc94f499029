"""A desk: what a strategy sees is what the step saw at that bar, whatever the step has done since."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.errors import Broken
from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN
from aegis.market.book_top import BookTop, BookTops
from aegis.market.closings import CLOSING
from aegis.market.desk import Desk, decide
from aegis.market.parameters import BarKind, Parameters
from aegis.market.plan import Plan
from aegis.market.records import TickKind
from aegis.market.signals import MAX_CLOSINGS
from aegis.market.state import ROW
from aegis.market.strategy import NoParameters, Proposal, Strategy
from aegis.market.view import Mark, Quote, View

Records = NDArray[np.void]
SHARED = ("session", "indicators", "features", "recent", "structure", "history")
"""What a row keeps by bars; the rest is of ticks and of positions."""


class Watcher(Strategy[NoParameters]):
    """Wants nothing, and remembers what it saw."""

    def __init__(self, parameters: NoParameters) -> None:
        super().__init__(parameters)
        self.seen: list[str] = []

    def on_bar(self, view: View) -> Proposal | None:
        """Take everything that can be seen into a digest."""
        digest = hashlib.sha256()
        for part in (
            view.bars(),
            view.vector,
            view.structure.events(),
            view.structure.new_events(),
        ):
            digest.update(part.tobytes())
        structure = view.structure
        seen = (
            [view.bar, view.indicators, view.features, view.raw_features, view.session],
            [view.number, view.close, view.is_broken, view.quote, view.position, view.symbol],
            [view.mark],
            [structure.trend, structure.broke, structure.changed, structure.place],
            [(structure.swing(s), structure.blocks(s), structure.pools(s)) for s in (1, -1)],
            [structure.imbalances(side) for side in (1, -1)],
        )
        digest.update(repr(seen).encode())
        self.seen.append(digest.hexdigest())
        return None


def plan_of(kind: type[Strategy[Any]], parameters: Parameters, *symbols: str) -> Plan:
    return Plan("test", kind, NoParameters(), symbols or ("A",), parameters)


@pytest.fixture
def market(make_tape: Any) -> Callable[..., Records]:
    """Quotes and trades of two symbols by turns, with pauses, a gap, and trades out of order."""

    def write(seed: int = 0, count: int = 6000) -> Records:
        rng, tape, price, at_ms = np.random.default_rng(seed), make_tape(), [100.0, 50.0], 0
        for index in range(count):
            symbol = int(rng.integers(0, 2))
            at_ms += int(rng.integers(0, 40)) if rng.random() > 0.01 else 4000
            price[symbol] += rng.normal(0, 0.02)
            if rng.random() < 0.1:
                tape.write(at_ms, TickKind.MARK, symbol, bid=price[symbol], ask=50.0, ask_size=9e11)
            if rng.random() < 0.4:
                sizes = tuple(rng.integers(1, 9, 2).tolist())
                tape.quote(at_ms, price[symbol] - 0.01, price[symbol] + 0.01, symbol, sizes)
            else:
                late_ms = int(rng.integers(0, 30)) if rng.random() < 0.02 else 0
                quantity = float(rng.integers(1, 5) * rng.choice((-1, 1)))
                tape.trade(max(0, at_ms - late_ms), price[symbol], quantity, symbol)
            if index == count // 2:
                tape.gap(at_ms, 0)
        return tape.ticks()  # type: ignore[no-any-return]

    return write


def closings_of(analysis: Analysis, ticks: Records, batch: int) -> Records:
    """All that a step says of the bars that close, with so many ticks in a call."""
    analysis.follow(range(len(analysis.state)))
    found = []
    for first in range(0, len(ticks), batch):
        analysis.step(ticks[first : first + batch])
        found.append(analysis.closings())
    return np.concatenate(found)


def same_row(one: np.void, other: np.void, names: tuple[str, ...] = SHARED) -> None:
    for name in (*names, "bars", "broken_bars"):
        assert one[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("batch", [1, 97, 6000])
def test_row_of_a_desk_is_the_row_of_the_step(market: Any, batch: int) -> None:
    """After the same closings a desk's numbers are the step's, byte for byte, however the ticks were cut."""
    parameters, ticks = Parameters(interval_ms=500, pivot_bars=2, atr_period=4), market()
    analysis = Analysis(2, parameters, rules=())
    desk = Desk(plan_of(Watcher, parameters, "A", "B"), parameters)
    for closing in closings_of(analysis, ticks, batch):
        (view,) = desk.views("AB"[closing["symbol"]], closing)
        desk.ask(view)
    for symbol in range(2):
        assert analysis.row(symbol)["bars"] > 60
        same_row(analysis.row(symbol), desk._analysis.row(symbol))
        for name in ("order_flow", "queue"):
            assert analysis.row(symbol)["flow"][name] == desk._analysis.row(symbol)["flow"][name]


def test_late_strategy_sees_no_later_bar(market: Any) -> None:
    """Asked about each bar at once, or about all of them when the market has long gone on, a strategy sees the same."""
    parameters, ticks = Parameters(interval_ms=500, pivot_bars=2, atr_period=4), market()
    seen = []
    for batch in (1, len(ticks)):
        desk = Desk(plan_of(Watcher, parameters, "A", "B"), parameters)
        for closing in closings_of(Analysis(2, parameters, rules=()), ticks, batch):
            for view in desk.views("AB"[closing["symbol"]], closing):
                desk.ask(view)
        seen.append([desk._strategies[symbol].seen for symbol in "AB"])  # type: ignore[attr-defined]
    assert seen[0] == seen[1]
    assert len(set(seen[0][0])) == len(seen[0][0]) > 60


@pytest.mark.parametrize("cut", [5, 60, 200])
def test_view_depends_on_no_later_bar(walk_bars: Any, cut: int) -> None:
    """All that a strategy can see at a bar is the same whatever comes after it."""
    bars = walk_bars(7, 300)
    poison = bars.copy()
    for name in ("open", "high", "low", "close", "volume", "value"):
        poison[name][cut:] *= 1000.0
    seen: list[list[str]] = []

    class Shared(Watcher):
        """Gives its digests away."""

        def __init__(self, parameters: NoParameters) -> None:
            super().__init__(parameters)
            seen.append(self.seen)

    for each in (bars, bars[:cut], poison):
        decide(plan_of(Shared, Parameters(pivot_bars=2)), {"A": each})
    whole, prefix, poisoned = seen
    assert whole[:cut] == prefix == poisoned[:cut]
    assert whole[cut] != poisoned[cut]


def test_closing_says_what_the_bar_was(tape: Any, make_analysis: Any) -> None:
    """A closing has the bar, its number, the quote and the mark of that moment, its order flow and the tick's receive stamp."""
    tape.trade(0, 10.0, symbol=1).quote(1, 9.0, 11.0, 1, (1.0, 1.0)).quote(
        2, 9.5, 11.0, 1, (3.0, 2.0)
    )
    tape.write(3, TickKind.MARK, 1, bid=10.2, ask=10.1, bid_size=1e-4, ask_size=1.7e12)
    tape.trade(1000, 10.5, symbol=1).quote(1001, 8.0, 12.0, 1).trade(1500, 1.0, symbol=0)
    tape.write(1600, TickKind.MARK, 1, bid=77.0, ask=77.0, bid_size=1e-4, ask_size=1.7e12)
    analysis = make_analysis(symbols=2)
    analysis.follow([1])
    analysis.step(tape.ticks())
    (closing,) = analysis.closings()
    assert closing["bar"] == analysis.bars(1)[0]
    assert (closing["number"], closing["symbol"], closing["recv_us"]) == (0, 1, 4)
    assert [closing[name] for name in ("bid", "ask", "bid_size", "ask_size")] == [
        9.5,
        11.0,
        3.0,
        2.0,
    ]
    assert closing["order_flow"] == 3.0 - 1.0
    desk = Desk(plan_of(Watcher, analysis.parameters), analysis.parameters)
    (view,) = desk.views("A", closing)
    assert view.mark == Mark(10.2, 10.1, 1e-4, 1_700_000_000_000)
    assert view.quote == Quote(9.5, 11.0, 3.0, 2.0)
    analysis.step(tape.ticks()[:0])
    assert len(analysis.closings()) == 0


def test_symbol_that_nobody_follows_writes_nothing(market: Any) -> None:
    """Without a follower a close costs no record."""
    analysis = Analysis(2, Parameters(interval_ms=500))
    analysis.follow([])
    analysis.step(market())
    assert len(analysis.closings()) == 0


def test_closings_without_room_are_counted(walk_bars: Any) -> None:
    """More closes in one call than fit are counted, and the desk's next bar is broken."""
    bars = walk_bars(1, MAX_CLOSINGS + 2)
    parameters = Parameters()
    analysis = Analysis(1, parameters, rules=())
    analysis.follow([0])
    analysis.take_bars(np.zeros(len(bars), np.uint16), bars)
    assert len(analysis.closings()) == MAX_CLOSINGS
    assert analysis.counts()["closings_lost"] == 2


def test_bar_after_missing_ones_is_broken(walk_bars: Any) -> None:
    """A desk that missed closings says so of the next bar, and of that one alone."""
    bars, parameters = walk_bars(1, 6), Parameters()
    analysis = Analysis(1, parameters, rules=())
    analysis.follow([0])
    analysis.take_bars(np.zeros(6, np.uint16), bars)
    desk = Desk(plan_of(Watcher, parameters), parameters)
    closings = analysis.closings()[[0, 1, 4, 5]]
    broken = [view.is_broken for closing in closings for view in desk.views("A", closing)]
    assert broken == [False, False, True, False]
    assert analysis.closings()["bar"]["flags"].tolist() == [0] * 6


@pytest.mark.parametrize("factor", [2, 5, 60])
def test_longer_bars_are_those_of_the_ticks(market: Any, factor: int) -> None:
    """Bars made of the step's bars equal those made of the ticks, and are known by the same tick."""
    short, long = Parameters(interval_ms=100), Parameters(interval_ms=100 * factor)
    ticks = market(seed=factor)
    ticks = ticks[
        np.argsort(ticks["event_ns"], kind="stable")
    ]  # late for short bars is late for long ones
    direct, base = Analysis(2, long, rules=()), Analysis(2, short, rules=())
    expected = closings_of(direct, ticks, 500)
    desk = Desk(plan_of(Watcher, long, "A", "B"), short)
    views = [[], []]  # type: list[list[Any]]
    for closing in closings_of(base, ticks, 500):
        for view in desk.views("AB"[closing["symbol"]], closing):
            views["AB".index(view.symbol)].append((view.bar.tolist(), view.number, view.quote))
    for symbol in range(2):
        wanted = expected[expected["symbol"] == symbol]
        got = [bar for bar, _, _ in views[symbol]]
        assert len(got) == len(wanted) > 5
        same = np.array(got, wanted["bar"].dtype)
        for name in wanted["bar"].dtype.names or ():
            if name in ("volume", "signed_volume", "value"):  # sums in another order
                assert np.allclose(same[name], wanted["bar"][name], rtol=1e-12)
            else:
                assert same[name].tolist() == wanted["bar"][name].tolist(), name
        assert [number for _, number, _ in views[symbol]] == list(range(len(wanted)))
        assert [quote.bid for _, _, quote in views[symbol]] == wanted["bid"].tolist()


def test_longer_bar_closes_at_its_end_by_candles(make_bars: Any) -> None:
    """Of an exchange's candles, known at their ends, a longer bar is known at its own; after a hole, with the next candle."""
    short, long = Parameters(interval_ms=60_000), Parameters(interval_ms=180_000)
    minutes = [0, 1, 2, 3, 4, 9, 10, 11]
    bars = make_bars([(m, m + 0.5, m - 0.5, m) for m in np.arange(8) + 10.0])
    origin = bars["start_ns"][0] - bars["start_ns"][0] % 180_000_000_000
    bars["start_ns"] = origin + np.array(minutes) * 60_000_000_000
    bars["known_ns"] = bars["start_ns"] + 60_000_000_000
    desk, seen = Desk(plan_of(Watcher, long), short), []
    for number, bar in enumerate(bars):
        closing = np.zeros(1, CLOSING)[0]
        closing["bar"], closing["number"] = bar, number
        for view in desk.views("A", closing):
            start, known = view.bar["start_ns"] - origin, view.bar["known_ns"] - origin
            seen.append((start // 60_000_000_000, known // 60_000_000_000, float(view.close)))
    assert seen == [(0, 3, 12.0), (3, 10, 14.0), (9, 12, 17.0)]


def test_longer_bar_that_was_begun_without_us_is_broken(walk_bars: Any) -> None:
    """Bars that begin in the middle of a longer one make a first one that misses the rest; the second is whole."""
    bars, long = walk_bars(1, 20), Parameters(interval_ms=300_000)
    bars["start_ns"] += 120_000_000_000 - bars["start_ns"][0] % 300_000_000_000
    bars["known_ns"] = bars["start_ns"] + 60_000_000_000
    desk, flags = Desk(plan_of(Watcher, long), Parameters()), []
    for number, bar in enumerate(bars):
        closing = np.zeros(1, CLOSING)[0]
        closing["bar"], closing["number"] = bar, number
        flags += [int(view.bar["flags"]) for view in desk.views("A", closing)]
    assert flags == [FLAG_BROKEN, 0, 0, 0]


def test_longer_bar_with_missing_shorter_ones_is_broken(walk_bars: Any) -> None:
    """A shorter bar that never came breaks the longer one that it belonged to, and no other."""
    bars, short = walk_bars(1, 30), Parameters()
    bars["start_ns"] -= bars["start_ns"][0] % 300_000_000_000
    desk = Desk(plan_of(Watcher, Parameters(interval_ms=300_000)), short)
    flags = []
    for number, bar in enumerate(bars):
        closing = np.zeros(1, CLOSING)[0]
        closing["bar"], closing["number"] = bar, number
        if number not in (12, 13):
            flags += [view.bar["flags"] for view in desk.views("A", closing)]
    assert flags == [0, 0, FLAG_BROKEN, 0, 0, 0]


def test_bars_that_do_not_fit_together_are_a_bug() -> None:
    """A desk's bars are whole numbers of the engine's, and of one kind: whoever reads the configuration has seen to it."""
    for own, base in (
        (Parameters(interval_ms=1500), Parameters(interval_ms=1000)),
        (Parameters(bar_kind=BarKind.VOLUME), Parameters()),
    ):
        with pytest.raises(Broken):
            Desk(plan_of(Watcher, own), base)


def test_bars_by_volume_reach_a_strategy(market: Any) -> None:
    """A strategy follows the engine's own bars of whatever kind."""
    parameters = Parameters(bar_kind=BarKind.VOLUME, bar_size=40.0)
    analysis = Analysis(2, parameters, rules=())
    desk = Desk(plan_of(Watcher, parameters, "A", "B"), parameters)
    closings = closings_of(analysis, market(), 300)
    views = [v.number for c in closings for v in desk.views("AB"[c["symbol"]], c)]
    assert len(views) == len(closings) > 100
    same_row(analysis.row(1), desk._analysis.row(1))


def test_row_holds_nothing_that_a_closing_forgets() -> None:
    """A field that is added to a row is either kept by bars, and then a desk has it, or it is named here."""
    of_ticks = {"event_ns", "trade_ns", "start_ns", "end_ns", "begin_ns", "closed_ns", "recv_us"}
    of_ticks |= {"bid", "ask", "bid_size", "ask_size", "price", "flow", "forming"}
    of_ticks |= {"mark", "index", "funding_rate", "funding_ms"}
    counts = {"quotes", "trades", "early", "late", "gaps", "marks", "bad"}
    counts |= {"bars", "broken_bars"}
    settings = {"symbol", "gap", "rules", "followed"}
    of_positions = {"stop_long", "stop_short", "target_long", "target_short"}
    assert set(ROW.names or ()) == {*SHARED} | of_ticks | counts | settings | of_positions


class Reader(Strategy[NoParameters]):
    """Remembers the book that it was shown."""

    def __init__(self, parameters: NoParameters) -> None:
        super().__init__(parameters)
        self.books: list[BookTop] = []

    def on_bar(self, view: View) -> Proposal | None:
        """Look at the book."""
        self.books.append(view.book)
        return None


class Rows:
    """A table of two books, of which the second is valid."""

    has_writer = True

    def read_into(self, row: int, out: Records) -> bool:
        """Give the row's number as the id."""
        out["update_id"], out["valid"] = row, row == 1
        return True


def test_strategy_reads_the_book_of_its_symbol(market: Any) -> None:
    """By the place that the symbol has in the run, not in the plan; without books there is one that is not valid."""
    parameters = Parameters(interval_ms=500, pivot_bars=2, atr_period=4)
    closings = closings_of(Analysis(2, parameters, rules=()), market(count=600), 600)
    plan = plan_of(Reader, parameters, "B")
    for books, expected in ((BookTops(Rows(), ("A", "B")), (1, True)), (None, (0, False))):
        desk = Desk(plan, parameters, books)
        for view in desk.views("B", closings[closings["symbol"] == 1][0]):
            desk.ask(view)
        (seen,) = desk._strategies["B"].books  # type: ignore[attr-defined]
        assert (seen.update_id, seen.valid) == expected
