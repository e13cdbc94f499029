"""Indicators: equal to their textbook definitions, computed the long way."""

from __future__ import annotations

import math
from typing import Any

import pytest


def test_atr_has_the_seed_of_ta_lib(tape: Any, make_analysis: Any) -> None:
    """The ATR is NaN up to bar n-1, the mean of the true ranges 1..n at bar n, and Wilder's average after it."""
    bars = [(10.0 + i % 3, 12.0 + i % 5, 9.0 - i % 4, 10.0 + (i * 7) % 3) for i in range(30)]
    analysis = make_analysis(atr_period=14)
    values = []
    for number, prices in enumerate(bars):
        tape.records.clear()
        analysis.step(tape.bar(number, prices).trade(number * 1000 + 999, prices[-1]).ticks())
        values.append(float(analysis.row(0)["indicators"]["atr"]))
    ranges = [
        max(high, bars[i][3]) - min(low, bars[i][3]) for i, (_, high, low, _) in enumerate(bars[1:])
    ]
    expected = sum(ranges[:14]) / 14
    assert all(math.isnan(value) for value in values[:15])  # values[k] has seen bars 0..k-1
    for number in range(14, 29):
        assert values[number + 1] == pytest.approx(expected, rel=1e-12)
        expected = (13 * expected + ranges[number]) / 14
