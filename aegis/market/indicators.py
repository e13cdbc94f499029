"""Indicators, updated once a closed bar: the conventions and the seeds of TA-Lib.

Bars are counted from 0. Each value is NaN until it is warm, as TA-Lib leaves it, and is never NaN afterwards.

| value | first at bar | seed | then |
|---|---|---|---|
| `atr` | n (14) | mean of the true ranges 1..n; bar 0 has none | `((n - 1) * atr + range) / n` (Wilder) |
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined

__all__ = ["INDICATORS", "update_indicators"]

INDICATORS: Final = np.dtype(
    [
        ("atr", "<f8"),
        ("range_sum", "<f8"),  # of the true ranges, until the ATR is warm
        ("previous_close", "<f8"),
    ],
    align=True,
)


@inlined
def update_atr(indicators: Any, high: float, low: float, number: int, period: int) -> None:
    """Average true range of the bar `number`, by Wilder's recurrence with TA-Lib's seed."""
    if number == 0:
        indicators.atr = math.nan
        indicators.range_sum = 0.0
        return
    previous = indicators.previous_close
    true_range = max(high, previous) - min(low, previous)
    if number > period:
        indicators.atr = (indicators.atr * (period - 1) + true_range) / period
        return
    indicators.range_sum += true_range
    if number == period:
        indicators.atr = indicators.range_sum / period


@inlined
def update_indicators(indicators: Any, bar: Any, number: int, parameters: Any) -> None:
    """Take the closed bar `number` (from 0) into every indicator."""
    update_atr(indicators, bar.high, bar.low, number, parameters.atr_period)
    indicators.previous_close = bar.close
