"""Averages that move: exponential ones with TA-Lib's seed, and the mean and variance of a window."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.recent import MASK

__all__ = ["MOMENTS", "averaged", "update_moments"]

MOMENTS: Final = np.dtype(
    [
        # Sums of (value - reference) and of its square over the window, and the most the latter was since it was
        # last counted afresh: rounding errors are as large as that, however small the sum is now.
        ("reference", "<f8"),
        ("offsets", "<f8"),
        ("squares", "<f8"),
        ("peak", "<f8"),
        # The same over the window that is being counted afresh, and how many of its values are in.
        ("fresh_reference", "<f8"),
        ("fresh_offsets", "<f8"),
        ("fresh_squares", "<f8"),
        ("fresh", "<i8"),
    ],
    align=True,
)

_DIGITS_AT_RISK: Final = 1e-4


@inlined
def averaged(
    average: float, seeds: Any, place: int, value: float, index: int, period: int, weight: float
) -> float:
    """An average that has taken value `index` (from 0): the mean of the first `period`, then `+= (value - average) * weight`.

    NaN before that, while their sum is kept in a place of the seeds. With weight 2 / (period + 1) it is TA-Lib's EMA, with
    1 / period it is Wilder's average.
    """
    if index >= period:
        return average + (value - average) * weight
    seeds[place] += value
    return seeds[place] / period if index == period - 1 else math.nan


@inlined
def count_afresh(moments: Any, value: float, period: int) -> None:
    """Take a value into the fresh sums, which take the place of the running ones once they are of a whole window."""
    if moments.fresh == 0:
        moments.fresh_reference = value
    offset = value - moments.fresh_reference
    moments.fresh_offsets += offset
    moments.fresh_squares += offset * offset
    moments.fresh += 1
    if moments.fresh == period:
        moments.reference = moments.fresh_reference
        moments.offsets = moments.fresh_offsets
        moments.squares = moments.fresh_squares
        moments.peak = moments.fresh_squares
        moments.fresh_offsets = 0.0
        moments.fresh_squares = 0.0
        moments.fresh = 0


@inlined
def recount(moments: Any, path: Any, column: int, index: int, period: int) -> None:
    """Sum the window at once, against its newest value."""
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


@inlined
def spread(moments: Any, share: float) -> float:
    """The sum of squared deviations from the mean."""
    return moments.squares - moments.offsets * moments.offsets * share  # type: ignore[no-any-return]


@inlined
def update_moments(
    moments: Any, path: Any, column: int, index: int, period: int, share: float
) -> tuple[float, float]:
    """Take value `index` (from 0), which stands in a column of the path; mean and variance (of the population) of the last `period`.

    NaN until there are as many. One addition and one subtraction, on offsets from a value of the window. Beside them runs a
    second sum that is only added to and replaces the first once a window: no rounding error lives longer than two of them, and no
    bar costs more than another. Where the deviations have become small against what the sums have held, after a price collapse or
    when the window has moved far from its reference, it counts again at once. So the error is relative to the variance itself,
    whatever came before. `share` is 1 / period.
    """
    value = path[index & MASK, column]
    if index >= period:
        offset = value - moments.reference
        moments.offsets += offset
        moments.squares += offset * offset
        moments.peak = max(moments.peak, moments.squares)
        offset = path[(index - period) & MASK, column] - moments.reference
        moments.offsets -= offset
        moments.squares -= offset * offset
    count_afresh(moments, value, period)
    if index < period - 1:
        return math.nan, math.nan
    if spread(moments, share) < _DIGITS_AT_RISK * moments.peak:
        recount(moments, path, column, index, period)
    mean = moments.reference + moments.offsets * share
    return mean, max(0.0, spread(moments, share) * share)
