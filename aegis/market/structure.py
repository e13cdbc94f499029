"""Market structure (Smart Money Concepts), causal: what is known at the close of a bar, and nothing that is known later.

Inside a bar the order is fixed. First the bar is *consumed* by what was known before it: it may touch or end zones, take
pools, break swings. Then it *confirms*: an imbalance, a pivot. So nothing is ever touched by the bar that made it known.

**Break.** The first close beyond the newest confirmed pivot of a side. It goes with the trend (a *break of structure*, BOS),
or against it (a *change of character*, CHoCH), and it sets the trend. A pivot breaks once; the next confirmed one replaces it.

**Order block.** At a break, the deepest bar strictly between the pivot and the break, the latest on ties, from its low to its
high. It is touched when the price reaches its near edge; it fails when the price (the wick, or with `block_by_close` the body)
goes beyond the far one.

**Imbalance** (fair value gap). At bar t, bullish: the low of t is above the high of t-2, and bar t-1 closed above its open.
Drawn at t-1, from that high to that low.

**Place.** Where the close lies between the newest confirmed pivot low (0, discount) and high (1, premium); NaN where that low
is not below that high.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.events import EVENTS, Element, Happening, write_event
from aegis.market.kernel import constant
from aegis.market.pools import POOLS, join_pool, take_pools
from aegis.market.recent import DOWN, MASK, UP
from aegis.market.swings import LEG, SWING, confirm_pivot, deepen
from aegis.market.zones import ZONES, add_zone, age_zones

__all__ = ["STRUCTURE", "update_structure"]

_SWING: Final = constant(Element.SWING)
_BLOCK: Final = constant(Element.BLOCK)
_IMBALANCE: Final = constant(Element.IMBALANCE)
_BOS: Final = constant(Happening.BOS)
_CHOCH: Final = constant(Happening.CHOCH)
_FAILED: Final = constant(Happening.FAILED)
_FILLED: Final = constant(Happening.FILLED)

STRUCTURE: Final = np.dtype(
    [
        ("trend", "<i8"),  # side of the last break: +1, -1, 0 before the first
        # What the last closed bar did, +1 upwards or bullish, -1 downwards or bearish, 0 not:
        ("broke", "<i8"),  # a swing
        ("changed", "<i8"),  # 1 where that was a change of character
        ("confirmed", "<i8"),  # a pivot high or low
        ("opened", "<i8"),  # an imbalance
        ("swept", "<i8"),  # pools of lows less pools of highs
        ("place", "<f8"),
        ("body", "<f8"),  # of the last closed bar, its close less its open
        ("swings", SWING, (2,)),  # the newest confirmed pivot high (UP) and low (DOWN)
        ("leg", LEG),
        ("blocks", ZONES, (2,)),  # bullish (UP) and bearish (DOWN)
        ("imbalances", ZONES, (2,)),
        ("pools", POOLS, (2,)),  # above highs (UP) and below lows (DOWN)
        ("events", EVENTS),
    ],
    align=True,
)


@inlined
def break_swing(
    structure: Any, extremes: Any, side: int, number: int, close: float, kept: int
) -> None:
    """Test the close against the swing of `side`; where it breaks, its deepest bar becomes an order block."""
    swing = structure.swings[side]
    sign = 1 - 2 * side
    if swing.stands == 0:
        return
    if sign * close <= sign * swing.level:
        deepen(swing, extremes, side, number)
        return
    swing.stands = 0
    structure.broke = sign
    structure.changed = structure.trend == -sign
    structure.trend = sign
    events = structure.events
    what = _CHOCH if structure.changed else _BOS
    write_event(events, _SWING, what, sign, swing.bar, swing.level, swing.level)
    near, far, blocks = swing.deep_back, -swing.deep, structure.blocks[side]
    add_zone(blocks, events, _BLOCK, side, swing.deep_bar, near, far, kept)


@inlined
def consume_bar(
    structure: Any, extremes: Any, side: int, bar: Any, number: int, parameters: Any
) -> None:
    """Take a bar into what was known of one side before it."""
    sign = 1 - 2 * side
    kept = parameters.kept
    events = structure.events
    reached = -extremes[1 - side, number & MASK]  # the low, or in the mirror the high
    body = min(sign * bar.open, sign * bar.close)
    passed = body if parameters.block_by_close else reached
    blocks, imbalances = structure.blocks[side], structure.imbalances[side]
    age_zones(blocks, events, _BLOCK, _FAILED, side, reached, passed)
    age_zones(imbalances, events, _IMBALANCE, _FILLED, side, reached, reached)
    highest = extremes[side, number & MASK]
    structure.swept -= sign * take_pools(
        structure.pools[side], events, sign, highest, sign * bar.close
    )
    break_swing(structure, extremes, side, number, bar.close, kept)


@inlined
def open_imbalance(structure: Any, extremes: Any, side: int, number: int, kept: int) -> None:
    """Find the imbalance of `side` that bar `number` completes."""
    sign = 1 - 2 * side
    far = extremes[side, (number - 2) & MASK]
    near = -extremes[1 - side, number & MASK]
    if number < 2 or far >= near or sign * structure.body <= 0.0:
        return
    structure.opened = sign
    zones, events = structure.imbalances[side], structure.events
    add_zone(zones, events, _IMBALANCE, side, number - 1, near, far, kept)


@inlined
def confirm_side(
    structure: Any, extremes: Any, side: int, number: int, atr: float, parameters: Any
) -> bool:
    """Confirm the pivot of `side`, if there is one, and let it join a pool."""
    swing = structure.swings[side]
    events = structure.events
    reach = parameters.pivot_bars
    if number < 3 * reach - 1:
        return False
    if not confirm_pivot(swing, structure.leg, extremes, events, side, number, reach):
        return False
    sign = 1 - 2 * side
    structure.confirmed = sign
    price = sign * swing.level
    within = parameters.pool_atr * atr
    join_pool(structure.pools[side], events, sign, swing.bar, price, within, parameters.kept)
    return True


@inlined
def place_between(low: float, high: float, close: float) -> float:
    """Where the close lies between two levels, NaN where they are not in order."""
    return (close - low) / (high - low) if low < high else math.nan


@inlined
def update_structure(
    structure: Any, recent: Any, bar: Any, number: int, atr: float, parameters: Any
) -> None:
    """Take the closed bar `number` (from 0), which `recent` holds.

    Args:
        structure: the STRUCTURE.
        recent: the RECENT prices, this bar included.
        bar: the closed BAR.
        number: of the bar.
        atr: at the close of the bar.
        parameters: the PARAMETERS.
    """
    extremes = recent.extremes
    structure.events.known = number
    structure.events.known_ns = bar.known_ns
    structure.broke = 0
    structure.changed = 0
    structure.confirmed = 0
    structure.opened = 0
    structure.swept = 0
    for side in range(2):
        consume_bar(structure, extremes, side, bar, number, parameters)
    for side in range(2):
        open_imbalance(structure, extremes, side, number, parameters.kept)
    structure.body = bar.close - bar.open
    for side in range(2):
        if confirm_side(structure, extremes, side, number, atr, parameters):
            break  # a bar that is both is a high
    high, low = structure.swings[UP].level, structure.swings[DOWN].level
    structure.place = place_between(low, high, bar.close) if low > 0.0 else math.nan
