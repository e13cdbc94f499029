"""The last bars' prices, kept apart and side by side: what windows are computed from.

A bar is 80 bytes; a window over one of its fields would load one cache line a bar. Here four share one, in pairs of what is
read together.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_WINDOW

__all__ = [
    "CLOSE",
    "DEPTH",
    "DOWN",
    "MASK",
    "RECENT",
    "RETURN",
    "UP",
    "remember_bar",
    "search_windows",
]

UP: Final = constant(0)
DOWN: Final = constant(1)

CLOSE: Final = constant(0)
RETURN: Final = constant(1)

DEPTH: Final = MAX_WINDOW
"""Values kept: rings, indexed by the bar's number modulo this."""

MASK: Final = DEPTH - 1

check(DEPTH & MASK == 0, "the rings are indexed by a mask")

RECENT: Final = np.dtype(
    [
        # CLOSE, and RETURN: the log of the close after it over this one.
        ("path", "<f8", (DEPTH, 2)),
        # UP the high, and DOWN the low in the mirror (negated): both have maxima.
        ("extremes", "<f8", (DEPTH, 2)),
    ],
    align=True,
)


@inlined
def remember_bar(recent: Any, bar: Any, number: int) -> None:
    """Put the closed bar `number` (from 0) into the rings."""
    slot = number & MASK
    recent.path[slot, CLOSE] = bar.close
    recent.extremes[slot, UP] = bar.high
    recent.extremes[slot, DOWN] = -bar.low
    if number > 0:
        before = (number - 1) & MASK
        recent.path[before, RETURN] = math.log(bar.close / recent.path[before, CLOSE])


@inlined
def search_windows(
    recent: Any, number: int, parameters: Any
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What is highest in the windows that end with bar `number`: the one that pivots are sought in, and the stochastic's.

    One pass from the newest bar back: the longer window begins with the shorter one. No branch depends on a price. What is found
    means nothing while there are fewer bars than the window has.
    """
    extremes = recent.extremes
    pivot, stochastic = 2 * parameters.pivot_bars, parameters.stochastic_period
    up, down = extremes[number & MASK, UP], extremes[number & MASK, DOWN]
    for back in range(1, min(pivot, stochastic)):
        slot = (number - back) & MASK
        up, down = max(up, extremes[slot, UP]), max(down, extremes[slot, DOWN])
    shorter = up, down
    for back in range(min(pivot, stochastic), max(pivot, stochastic)):
        slot = (number - back) & MASK
        up, down = max(up, extremes[slot, UP]), max(down, extremes[slot, DOWN])
    longer = up, down
    return (shorter, longer) if pivot < stochastic else (longer, shorter)
