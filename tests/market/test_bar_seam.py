"""The seam between the exchange's own candles and the bars made here."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind

SECOND_NS = 1_000_000_000
START_NS = 1_700_006_400 * SECOND_NS
NEVER_NS = 1 << 61
BARS = 12


def trades_of(times_ms: list[int]) -> NDArray[np.void]:
    ticks = np.zeros(len(times_ms), TICK)
    ticks["kind"] = TickKind.TRADE
    ticks["event_ns"] = START_NS + np.array(sorted(times_ms), np.int64) * 1_000_000
    ticks["bid"] = ticks["ask"] = 100.0 + np.arange(len(times_ms)) % 7
    ticks["ask_size"] = 1.0
    return ticks


def candles_of(ticks: NDArray[np.void]) -> NDArray[np.void]:
    """What the exchange itself makes of all trades: whole, each known at its end."""
    whole = analysis()
    whole.begin_bars_at(0, 1)
    whole.step(ticks)
    beyond = ticks[-1:].copy()
    beyond["event_ns"] += 1000 * SECOND_NS
    whole.step(beyond)
    candles = whole.bars(0)
    candles["known_ns"] = candles["start_ns"] + SECOND_NS
    return candles


def analysis() -> Analysis:
    return Analysis(1, Parameters(interval_ms=1000, atr_period=3))


def take(known: Analysis, candles: NDArray[np.void]) -> None:
    known.take_bars(np.zeros(len(candles), np.uint16), candles)


@settings(max_examples=200, deadline=None)
@given(
    times_ms=st.lists(st.integers(0, BARS * 1000 - 1), min_size=3, max_size=120),
    asked=st.integers(0, BARS - 3),
    wait=st.integers(1, 2),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_seam_misses_and_doubles_no_bar(
    times_ms: list[int], asked: int, wait: int, cuts: tuple[float, float]
) -> None:
    """Candles, bars made here, and the candles between the two that came later are together what all trades make."""
    ticks = trades_of(times_ms)
    candles = candles_of(ticks)
    begin_ns = START_NS + (asked + wait) * SECOND_NS
    known = analysis()
    known.begin_bars_at(0, NEVER_NS)
    live = ticks[
        int(cuts[0] * np.searchsorted(ticks["event_ns"], begin_ns)) :
    ]  # heard from here on
    take(known, candles[candles["known_ns"] <= START_NS + asked * SECOND_NS])
    heard = int(np.searchsorted(live["event_ns"], START_NS + asked * SECOND_NS))
    known.step(live[:heard])
    known.begin_bars_at(0, begin_ns)
    first, last = np.searchsorted(live["event_ns"], (begin_ns, begin_ns + SECOND_NS))
    late = int(first + cuts[1] * (last - first))  # somewhere in the first bar that is made here
    known.step(live[heard:late])
    between = (candles["known_ns"] > START_NS + asked * SECOND_NS) & (
        candles["known_ns"] <= begin_ns
    )
    take(known, candles[between])
    known.step(live[late:])
    beyond = ticks[-1:].copy()
    beyond["event_ns"] += 1000 * SECOND_NS
    known.step(beyond)
    made = known.bars(0)
    for name in ("start_ns", "open", "high", "low", "close", "volume", "trades", "flags"):
        assert made[name].tolist() == candles[name].tolist(), name
    assert known.counts()["bars_refused"] == known.counts()["late"] == 0


def test_trade_before_the_first_bar_is_early(tape: Any, make_analysis: Any) -> None:
    """It makes no bar, but it is the price, and it can hit a stop."""
    known = make_analysis()
    known.begin_bars_at(0, NEVER_NS)
    known.arm_stop(0, 1, 9.0)
    signals = known.step(tape.trade(0, 10.0).trade(5000, 8.5).ticks())
    assert len(signals) == 1
    assert float(known.row(0)["price"]) == 8.5
    counts = known.counts()
    assert (counts["early"], counts["trades"], counts["bars"]) == (2, 0, 0)


def test_gap_before_the_first_bar_marks_it(tape: Any, make_analysis: Any) -> None:
    """A stream that broke after bars were promised from a time on may have cost that bar a trade."""
    known = make_analysis()
    known.begin_bars_at(0, tape.trade(0, 1.0).ticks()[0]["event_ns"] + SECOND_NS)
    known.step(tape.gap(500).trade(1000, 10.0).trade(2000, 11.0).trade(3000, 11.0).ticks())
    assert known.bars(0)["flags"].tolist() == [FLAG_BROKEN, 0]


def test_candle_behind_the_forming_bar_is_refused(tape: Any, make_analysis: Any) -> None:
    """One that would stand in the way of what is forming, or has been there, is counted and dropped."""
    known, other = make_analysis(), make_analysis()
    other.step(tape.trade(0, 10.0).trade(1000, 10.0).trade(2000, 11.0).trade(3000, 12.0).ticks())
    candles = other.bars(0)
    known.begin_bars_at(0, int(candles["start_ns"][1]))
    known.step(tape.ticks()[1:2])
    take(known, candles)
    take(known, candles[:1])
    assert known.bars(0)["start_ns"].tolist() == candles["start_ns"][:1].tolist()
    assert known.counts()["bars_refused"] == 3
