"""Averages that move: exponential ones with TA-Lib's seed, and the mean and variance of a window."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.recent import MASK

__all__ = ["AVERAGE", "MOMENTS", "deviation", "update_average", "update_moments"]

AVERAGE: Final = np.dtype(
    [
        ("value", "<f8"),  # NaN until warm
        ("seed", "<f8"),  # sum of the values so far, until warm
    ],
    align=True,
)

MOMENTS: Final = np.dtype(
    [
        ("mean", "<f8"),  # NaN until warm
        ("variance", "<f8"),  # of the population, NaN until warm
        # Sums of (value - reference) and of its square over the window, and the most the latter was since it was
        # last counted afresh: rounding errors are as large as that, however small the sum is now.
        ("reference", "<f8"),
        ("offsets", "<f8"),
        ("squares", "<f8"),
        ("peak", "<f8"),
        ("age", "<i8"),
    ],
    align=True,
)

_DIGITS_AT_RISK: Final = 1e-4


@inlined
def update_average(average: Any, value: float, index: int, period: int, weight: float) -> None:
    """Take value `index` (from 0): the mean of the first `period` values, then `+= (value - average) * weight`.

    With weight 2 / (period + 1) it is TA-Lib's EMA, with 1 / period it is Wilder's average.
    """
    if index >= period:
        average.value += (value - average.value) * weight
        return
    average.seed += value
    if index == period - 1:
        average.value = average.seed / period


@inlined
def recount(moments: Any, path: Any, column: int, index: int, period: int) -> None:
    """Sum the window afresh, against its newest value."""
    reference = path[index & MASK, column]
    offsets = 0.0
    squares = 0.0
    for past in range(index - period + 1, index):
        offset = path[past & MASK, column] - reference
        offsets += offset
        squares += offset * offset
    moments.reference = reference
    moments.offsets = offsets
    moments.squares = squares
    moments.peak = squares
    moments.age = 0


@inlined
def spread(moments: Any, share: float) -> float:
    """The sum of squared deviations from the mean."""
    return moments.squares - moments.offsets * moments.offsets * share  # type: ignore[no-any-return]


@inlined
def update_moments(
    moments: Any, path: Any, column: int, index: int, period: int, share: float
) -> None:
    """Take value `index` (from 0), which stands in a column of the path, into the mean and variance of the last `period`.

    One addition and one subtraction, on offsets from a value of the window. It counts afresh once a window, and at once
    where the deviations have become small against what the sums have held: after a price collapse, or when the window
    has moved far from its reference. So the error is relative to the variance itself, whatever came before. `share` is
    1 / period.
    """
    if index == 0:
        moments.reference = path[0, column]
    offset = path[index & MASK, column] - moments.reference
    moments.offsets += offset
    moments.squares += offset * offset
    moments.peak = max(moments.peak, moments.squares)
    if index >= period:
        offset = path[(index - period) & MASK, column] - moments.reference
        moments.offsets -= offset
        moments.squares -= offset * offset
    if index < period - 1:
        return
    moments.age += 1
    if moments.age >= period or spread(moments, share) < _DIGITS_AT_RISK * moments.peak:
        recount(moments, path, column, index, period)
    moments.mean = moments.reference + moments.offsets * share
    moments.variance = max(0.0, spread(moments, share) * share)


@inlined
def deviation(moments: Any) -> float:
    """The standard deviation of the window (of the population, as TA-Lib's), NaN until warm."""
    return math.sqrt(moments.variance)
