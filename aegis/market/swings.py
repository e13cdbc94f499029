"""Swings: confirmed pivots, the legs between them, and the deep bar of a pullback.

**Pivot.** With L bars on the right, bar i = t - L is a pivot high at the close of t when its high is the highest of the
bars i-L+1..i+L, and a pivot low when its low is the lowest of them. Ties count; a bar that is both is a high. The first
candidate is i = 2L-1, at t = 3L-1.

**Leg.** Pivots in which highs and lows alternate. A pivot on the side of the current end replaces it where it is more
extreme (REVISED), and is passed over where it is not; one on the other side makes the end FINAL.

Both sides run through the same lines: a low is a high of the mirrored price, `-low`, and mirroring a float is exact.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.events import Element, Happening, write_event
from aegis.market.kernel import constant
from aegis.market.recent import DOWN, MASK, UP

__all__ = ["LEG", "SWING", "confirm_pivot", "deepen", "find_pivots"]

_PIVOT: Final = constant(Element.PIVOT)
_LEG: Final = constant(Element.LEG)
_NEW: Final = constant(Happening.NEW)
_REVISED: Final = constant(Happening.REVISED)
_FINAL: Final = constant(Happening.FINAL)

SWING: Final = np.dtype(
    [
        ("level", "<f8"),  # the pivot's price
        # The same, mirrored as its side is, until a close beyond it; inf then and before the first.
        ("edge", "<f8"),
        ("bar", "<i4"),  # the number of its bar
        # The deepest bar since the pivot: the order block, should it break. Means nothing while none stands.
        ("deep_at", "<i4"),  # which of the two it is in; the other one is spare
        ("deep", "<f8"),  # its extreme on the other side, mirrored as that side is: deeper is more
        ("deep_bars", "<i4", (2,)),
        ("deep_backs", "<f8", (2,)),  # its extreme on this side, mirrored as this side is
    ],
    align=True,
)

LEG: Final = np.dtype(
    [
        ("side", "<i4"),  # of its end: +1 a high, -1 a low, 0 before the first pivot
        ("bar", "<i4"),
        ("level", "<f8"),
    ],
    align=True,
)


@inlined
def find_pivots(extremes: Any, number: int, reach: int, window: Any) -> tuple[bool, bool]:
    """Whether bar `number - reach` has the highest high, and the lowest low, of the `2 * reach` bars up to `number`."""
    up, down = window
    middle = (number - reach) & MASK
    return extremes[middle, UP] >= up, extremes[middle, DOWN] >= down


@inlined
def deepen(swing: Any, extremes: Any, side: int, bar: int) -> None:
    """Let `bar` be the deepest since the pivot where it is as deep as the one before: the latest on ties."""
    # Nobody can foresee it, so it is no branch: each is written down where it spoils nothing, and then it counts or does not.
    slot, spare = bar & MASK, 1 - swing.deep_at
    swing.deep_bars[spare] = bar
    swing.deep_backs[spare] = extremes[slot, side]
    depth, deep = extremes[slot, 1 - side], swing.deep
    swing.deep = max(depth, deep)
    swing.deep_at ^= depth >= deep


@inlined
def extend_leg(leg: Any, events: Any, sign: int, bar: int, level: float) -> None:
    """Take a confirmed pivot into the current leg."""
    if leg.side == sign and sign * level <= sign * leg.level:
        return
    if leg.side == -sign:
        write_event(events, _LEG, _FINAL, -sign, leg.bar, leg.level, leg.level)
    what = _REVISED if leg.side == sign else _NEW
    leg.side = sign
    leg.bar = bar
    leg.level = level
    write_event(events, _LEG, what, sign, bar, level, level)


@inlined
def confirm_pivot(
    swing: Any, leg: Any, extremes: Any, events: Any, side: int, number: int, reach: int
) -> None:
    """Make the pivot of `side` at bar `number - reach` known: it is the new swing of its side."""
    sign = 1 - 2 * side
    pivot = number - reach
    edge = extremes[pivot & MASK, side]
    level = sign * edge
    swing.level = level
    swing.edge = edge
    swing.bar = pivot
    swing.deep = -np.inf
    for bar in range(pivot + 1, number + 1):
        deepen(swing, extremes, side, bar)
    write_event(events, _PIVOT, _NEW, sign, pivot, level, level)
    extend_leg(leg, events, sign, pivot, level)
