"""Pivots and breaks: known at the close that makes them known, and equal to their definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.records import TICK, TickKind
from aegis.market.signals import Reason, SignalKind

START_NS = 1_700_000_000_000 * 1_000_000
Bars = NDArray[np.float64]  # n rows of open, high, low, close


def walk_bars(seed: int, count: int) -> Bars:
    """Bars of a random walk on a grid of 0.5, so that ties are frequent."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-2, 3, (count, 8)) * 0.5
    prices = 1000.0 + np.cumsum(steps.ravel()).reshape(count, 8)
    return np.column_stack((prices[:, 0], prices.max(1), prices.min(1), prices[:, -1]))


def bars_as_ticks(bars: Bars) -> NDArray[np.void]:
    """Four trades a bar, which make exactly this bar, and one trade that closes the last."""
    ticks = np.zeros(4 * len(bars) + 1, TICK)
    ticks["kind"] = TickKind.TRADE
    ticks["ask_size"] = 1.0
    ticks["event_ns"] = START_NS + np.arange(len(ticks)) * 250_000_000
    ticks["bid"] = ticks["ask"] = np.append(bars.ravel(), bars[-1, 3])
    return ticks


def pivots_by_definition(bars: Bars, reach: int) -> list[tuple[int, int, float]]:
    """(bar it is confirmed at, side, level) by a plain look at each window."""
    found = []
    for number in range(3 * reach - 1, len(bars)):
        at = number - reach
        window = slice(number - 2 * reach + 1, number + 1)
        if bars[at, 1] == bars[window, 1].max():
            found.append((number, 1, float(bars[at, 1])))
        elif bars[at, 2] == bars[window, 2].min():
            found.append((number, -1, float(bars[at, 2])))
    return found


def breaks_by_definition(bars: Bars, reach: int) -> list[tuple[int, int, str]]:
    """(bar, side, reason) from the list of pivots: for each bar, the newest pivot confirmed before it."""
    pivots = pivots_by_definition(bars, reach)
    broken: set[tuple[int, int, float]] = set()
    trend, found = 0, []
    for number in range(len(bars)):
        for side in (1, -1):
            known = [pivot for pivot in pivots if pivot[0] < number and pivot[1] == side]
            if not known or known[-1] in broken:
                continue
            if side * bars[number, 3] > side * known[-1][2]:
                broken.add(known[-1])
                found.append((number, side, "CHOCH" if trend == -side else "BOS"))
                trend = side
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [1, 2, 5, 11])
def test_breaks_equal_their_definition(make_analysis: Any, seed: int, reach: int) -> None:
    """Every break of a random walk is the one a brute-force search over the past finds, and no other."""
    bars = walk_bars(seed, 600)
    analysis = make_analysis(signal_capacity=600, pivot_bars=reach, atr_period=1)
    signals = analysis.step(bars_as_ticks(bars))
    found = [
        (
            (int(signal["bar_ns"]) - START_NS) // 1_000_000_000,
            int(signal["side"]),
            Reason(int(signal["reason"])).name,
        )
        for signal in signals
    ]
    assert found == breaks_by_definition(bars, reach)
    assert reach > 5 or len(found) > 20


def test_pivot_is_known_only_when_confirmed(tape: Any, make_analysis: Any) -> None:
    """A swing high appears with the close of the L-th bar after it, not before."""
    closes = [10.0, 11.0, 12.0, 15.0, 12.0, 11.0, 10.0]
    analysis = make_analysis(pivot_bars=2)
    seen = []
    for number, close in enumerate(closes):
        tape.records.clear()
        analysis.step(tape.bar(number, (close,)).ticks())
        swing = analysis.row(0)["structure"]["swings"][0]
        seen.append((int(analysis.row(0)["bars"]), float(swing["level"]), int(swing["bar"])))
    assert seen[5] == (5, 0.0, 0)  # bars 0..4 are closed: bar 5 has not confirmed anything yet
    assert seen[6] == (6, 15.0, 3)


def test_pivot_breaks_once(make_analysis: Any) -> None:
    """After a break no further close beyond the same swing signals again."""
    closes = np.array([10, 11, 12, 15, 12, 11, 12, 13, 16, 17, 18, 19, 20], float)
    analysis = make_analysis(pivot_bars=2, atr_period=1)
    signals = analysis.step(bars_as_ticks(np.column_stack([closes] * 4)))
    assert [int(kind) for kind in signals["kind"]] == [SignalKind.ENTRY_LONG]
    assert signals["price"].tolist() == [16.0]


def test_constant_prices_break_nothing(make_analysis: Any) -> None:
    """In a market that does not move every bar ties, so pivots are confirmed, and nothing breaks them."""
    analysis = make_analysis(pivot_bars=3, atr_period=1)
    assert len(analysis.step(bars_as_ticks(np.full((100, 4), 7.0)))) == 0
    assert analysis.row(0)["structure"]["swings"][0]["level"] == 7.0
