"""The last bars' prices, kept apart and side by side: what windows are computed from.

A bar is 80 bytes; a window over one of its fields would load one cache line a bar. Here eight share one.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_WINDOW

__all__ = ["DEPTH", "DOWN", "MASK", "RECENT", "UP", "remember_bar"]

UP: Final = constant(0)
DOWN: Final = constant(1)

DEPTH: Final = MAX_WINDOW
"""Values kept: rings, indexed by the bar's number modulo this."""

MASK: Final = DEPTH - 1

check(DEPTH & MASK == 0, "the rings are indexed by a mask")

RECENT: Final = np.dtype(
    [
        ("closes", "<f8", (DEPTH,)),
        (
            "returns",
            "<f8",
            (DEPTH,),
        ),  # at the number of a bar: log of the close after it over its own
        (
            "extremes",
            "<f8",
            (2, DEPTH),
        ),  # highs, and lows in the mirror (negated): both have maxima
    ],
    align=True,
)


@inlined
def remember_bar(recent: Any, bar: Any, number: int) -> None:
    """Put the closed bar `number` (from 0) into the rings."""
    slot = number & MASK
    recent.closes[slot] = bar.close
    recent.extremes[UP, slot] = bar.high
    recent.extremes[DOWN, slot] = -bar.low
    if number > 0:
        before = (number - 1) & MASK
        recent.returns[before] = math.log(bar.close / recent.closes[before])
