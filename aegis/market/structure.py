"""Market structure, causal: what is known at the close of a bar, and nothing that is known later.

Inside a bar the order is fixed: first the bar is *consumed* by what was known before it (it may break a swing),
then it *confirms* (it may make a pivot known). So nothing can be touched by the bar that made it known.

**Pivot.** With L bars on the right, bar i = t - L is a pivot high at the close of t when its high is the highest of the
bars i-L+1..i+L, and a pivot low when its low is the lowest of them. Ties count; a bar that is both is a high. The first
candidate is i = 2L-1, at t = 3L-1.

**Break.** The first close beyond the newest confirmed pivot of a side. It goes with the trend (a *break of structure*, BOS),
or against it (a *change of character*, CHoCH), and it sets the trend. A pivot breaks once; the next confirmed one replaces it.

Both sides run through the same lines: a low is a high of the mirrored price, `-low`, and mirroring a float is exact.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.parameters import MAX_PIVOT_BARS

__all__ = ["BOS", "CHOCH", "DEPTH", "DOWN", "STRUCTURE", "UP", "update_structure"]

UP: Final = 0
DOWN: Final = 1
BOS: Final = 1
CHOCH: Final = 2

DEPTH: Final = 64
"""Extremes kept a side, a ring indexed by the bar's number modulo this."""

check(MAX_PIVOT_BARS <= DEPTH // 2 - 1, "the rings hold the bars around the longest pivot")

check(DEPTH & (DEPTH - 1) == 0, "the ring of extremes is indexed by a mask")

SWING: Final = np.dtype(
    [
        ("level", "<f8"),  # the pivot's price
        ("bar", "<i8"),  # the number of its bar
        ("stands", "<i8"),  # 1 until a close beyond it
    ],
    align=True,
)

STRUCTURE: Final = np.dtype(
    [
        ("trend", "<i8"),  # side of the last break: +1, -1, 0 before the first
        ("swings", SWING, (2,)),  # the newest confirmed pivot high (UP) and low (DOWN)
        ("extremes", "<f8", (2, DEPTH)),  # highs, and mirrored lows, of the last bars
    ],
    align=True,
)


@inlined
def is_pivot(extremes: Any, number: int, reach: int) -> bool:
    """True when bar `number - reach` has the highest extreme of the `2 * reach` bars up to `number`."""
    candidate = extremes[(number - reach) & (DEPTH - 1)]
    for bar in range(number - 2 * reach + 1, number + 1):
        if extremes[bar & (DEPTH - 1)] > candidate:
            return False
    return True


@inlined
def confirm_pivot(structure: Any, side: int, number: int, reach: int) -> bool:
    """Make the pivot of `side` at bar `number - reach` known, if there is one."""
    extremes = structure.extremes[side]
    if not is_pivot(extremes, number, reach):
        return False
    swing = structure.swings[side]
    level = extremes[(number - reach) & (DEPTH - 1)]
    swing.level = level if side == UP else -level
    swing.bar = number - reach
    swing.stands = 1
    return True


@inlined
def break_swing(structure: Any, side: int, close: float) -> int:
    """Test the close against the swing of `side`; return BOS, CHOCH, or 0 where it does not break."""
    swing = structure.swings[side]
    sign = 1 - 2 * side
    if swing.stands == 0 or sign * close <= sign * swing.level:
        return 0
    swing.stands = 0
    against = structure.trend == -sign
    structure.trend = sign
    return CHOCH if against else BOS


@inlined
def update_structure(structure: Any, bar: Any, number: int, parameters: Any) -> int:
    """Take the closed bar `number` (from 0).

    Returns:
        BOS or CHOCH where the bar broke a high, the same negated where it broke a low, else 0. It cannot break both:
        with L >= 1 no swing high that stands lies below a swing low that stands.
    """
    reach = parameters.pivot_bars
    broke = break_swing(structure, UP, bar.close) - break_swing(structure, DOWN, bar.close)
    structure.extremes[UP, number & (DEPTH - 1)] = bar.high
    structure.extremes[DOWN, number & (DEPTH - 1)] = -bar.low
    if number >= 3 * reach - 1 and not confirm_pivot(structure, UP, number, reach):
        confirm_pivot(structure, DOWN, number, reach)
    return broke
