"""The last bars' prices, kept apart and side by side: what windows are computed from.

A bar is 80 bytes; a window over one of its fields would load one cache line a bar. Here four share one, in pairs of what is
read together.

Beside the extremes of the bars stand those of *runs*: of the 1, 2, 4, 8 ... bars that end with a bar, each of two runs of half its
length. Any window is two runs that overlap or touch, so its highest high is found in one comparison, however long it is.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_WINDOW, Parameters

__all__ = [
    "CLOSE",
    "DEPTH",
    "DOWN",
    "MASK",
    "RECENT",
    "RETURN",
    "RUNS",
    "UP",
    "highest",
    "remember_bar",
    "runs_of",
]

UP: Final = constant(0)
DOWN: Final = constant(1)

CLOSE: Final = constant(0)
RETURN: Final = constant(1)

DEPTH: Final = MAX_WINDOW
"""Values kept: rings, indexed by the bar's number modulo this."""

MASK: Final = DEPTH - 1

check(DEPTH & MASK == 0, "the rings are indexed by a mask")


def _level(bars: int) -> int:
    """Of the runs that a window is made of: they are of 2 ** level bars."""
    return max(0, (bars - 1).bit_length() - 1)


RUNS: Final = np.dtype([("kept", "<i8"), ("pivot", "<i8"), ("stochastic", "<i8")])
"""How many levels are kept, and the level of each window's runs."""


def runs_of(parameters: Parameters) -> tuple[int, ...]:
    """The values of a RUNS record."""
    levels = _level(2 * parameters.pivot_bars), _level(parameters.stochastic_period)
    return (max(levels) + 1, *levels)


RECENT: Final = np.dtype(
    [
        # CLOSE, and RETURN: the log of the close after it over this one.
        ("path", "<f8", (DEPTH, 2)),
        # UP the high, and DOWN the low in the mirror (negated): both have maxima.
        ("extremes", "<f8", (DEPTH, 2)),
        # The same of runs. Those of 2 ** n bars are a ring of twice as many, which begins at that number: nobody asks further back.
        ("runs", "<f8", (2 * DEPTH, 2)),
    ],
    align=True,
)


@inlined
def run_of(number: int, level: int) -> Any:
    """Where the run of 2 ** level bars up to `number` stands: unsigned, as numba looks for negative places among others."""
    ring = np.uint64(2) << np.uint64(level)
    return ring + (np.uint64(number) & (ring - np.uint64(1)))


@inlined
def remember_bar(recent: Any, bar: Any, number: int, levels: int) -> None:
    """Put the closed bar `number` (from 0) into the rings, and into so many levels of runs."""
    slot = number & MASK
    recent.path[slot, CLOSE] = bar.close
    up, down = bar.high, -bar.low
    recent.extremes[slot, UP] = up
    recent.extremes[slot, DOWN] = down
    runs, at = recent.runs, run_of(number, 0)
    runs[at, UP] = up
    runs[at, DOWN] = down
    for level in range(1, levels):
        before = run_of(number - (1 << level - 1), level - 1)
        up, down = max(up, runs[before, UP]), max(down, runs[before, DOWN])
        at = run_of(number, level)
        runs[at, UP] = up
        runs[at, DOWN] = down
    if number > 0:
        before = (number - 1) & MASK
        recent.path[before, RETURN] = math.log(bar.close / recent.path[before, CLOSE])


@inlined
def highest(recent: Any, number: int, bars: int, level: int) -> tuple[float, float]:
    """The highest high, and the highest mirrored low, of the last `bars` up to `number`: of the two runs that they are."""
    runs = recent.runs
    newer, older = run_of(number, level), run_of(number - bars + (1 << level), level)
    return max(runs[newer, UP], runs[older, UP]), max(runs[newer, DOWN], runs[older, DOWN])
