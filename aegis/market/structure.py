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
from aegis.errors import check
from aegis.market.events import EVENTS, Element, Happening, write_event
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_KEPT
from aegis.market.pools import BASIN, POOLS, join_pool, take_pools
from aegis.market.recent import DOWN, MASK, UP
from aegis.market.swings import LEG, SWING, confirm_pivot, deepen, find_pivots
from aegis.market.zones import ROOM, ZONES, add_zone, age_zones

__all__ = ["STRUCTURE", "update_structure"]

check(MAX_KEPT < 128, "as many pools as are swept at once fit into `swept`")

_SWING: Final = constant(Element.SWING)
_BLOCK: Final = constant(Element.BLOCK)
_IMBALANCE: Final = constant(Element.IMBALANCE)
_BOS: Final = constant(Happening.BOS)
_CHOCH: Final = constant(Happening.CHOCH)
_FAILED: Final = constant(Happening.FAILED)
_FILLED: Final = constant(Happening.FILLED)

STRUCTURE: Final = np.dtype(
    [
        # What every bar reads, in as few cache lines as it fits into.
        ("trend", "i1"),  # side of the last break: +1, -1, 0 before the first
        # What the last closed bar did, +1 upwards or bullish, -1 downwards or bearish, 0 not:
        ("broke", "i1"),  # a swing
        ("changed", "i1"),  # 1 where that was a change of character
        ("confirmed", "i1"),  # a pivot high or low
        ("opened", "i1"),  # an imbalance
        ("swept", "i1"),  # pools of lows less pools of highs
        ("place", "<f8"),
        ("body", "<f8"),  # of the last closed bar, its close less its open
        ("swings", SWING, (2,)),  # the newest confirmed pivot high (UP) and low (DOWN)
        ("leg", LEG),
        ("blocks", ZONES, (2,)),  # bullish (UP) and bearish (DOWN)
        ("imbalances", ZONES, (2,)),
        ("pools", POOLS, (2,)),  # above highs (UP) and below lows (DOWN)
        ("events", EVENTS),  # its counts are read by every bar, its ring by few
        # What few bars read.
        ("block_room", ROOM, (2,)),
        ("imbalance_room", ROOM, (2,)),
        ("pool_basin", BASIN, (2,)),
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
    if sign * close <= swing.edge:
        deepen(swing, extremes, side, number)
        return
    swing.edge = np.inf
    structure.broke = sign
    structure.changed = structure.trend == -sign
    structure.trend = sign
    events = structure.events
    what = _CHOCH if structure.changed else _BOS
    write_event(events, _SWING, what, sign, swing.bar, swing.level, swing.level)
    near, far, drawn = swing.deep_backs[swing.deep_at], -swing.deep, swing.deep_bars[swing.deep_at]
    blocks, room = structure.blocks[side], structure.block_room[side]
    add_zone(blocks, room, events, _BLOCK, side, drawn, near, far, kept)


@inlined
def consume_bar(
    structure: Any, extremes: Any, side: int, bar: Any, number: int, parameters: Any
) -> None:
    """Take a bar into what was known of one side before it."""
    sign = 1 - 2 * side
    kept = parameters.kept
    events = structure.events
    reached = -extremes[number & MASK, 1 - side]  # the low, or in the mirror the high
    body = min(sign * bar.open, sign * bar.close)
    passed = body if parameters.block_by_close else reached
    blocks, room = structure.blocks[side], structure.block_room[side]
    age_zones(blocks, room, events, _BLOCK, _FAILED, side, reached, passed)
    imbalances, room = structure.imbalances[side], structure.imbalance_room[side]
    age_zones(imbalances, room, events, _IMBALANCE, _FILLED, side, reached, reached)
    highest = extremes[number & MASK, side]
    pools, basin = structure.pools[side], structure.pool_basin[side]
    structure.swept -= sign * take_pools(pools, basin, events, sign, highest, sign * bar.close)
    break_swing(structure, extremes, side, number, bar.close, kept)


@inlined
def open_imbalance(structure: Any, extremes: Any, number: int, kept: int) -> None:
    """Find the imbalance that bar `number` completes."""
    before, now = (number - 2) & MASK, number & MASK
    is_bullish = (extremes[before, UP] < -extremes[now, DOWN]) & (structure.body > 0.0)
    is_bearish = (extremes[before, DOWN] < -extremes[now, UP]) & (structure.body < 0.0)
    if number < 2 or not is_bullish | is_bearish:  # one branch for both: nobody can foresee it
        return
    side = UP if is_bullish else DOWN
    sign = 1 - 2 * side
    structure.opened = sign
    far, near = extremes[before, side], -extremes[now, 1 - side]
    zones, room = structure.imbalances[side], structure.imbalance_room[side]
    add_zone(zones, room, structure.events, _IMBALANCE, side, number - 1, near, far, kept)


@inlined
def confirm_side(
    structure: Any, extremes: Any, side: int, number: int, atr: float, parameters: Any
) -> None:
    """Confirm the pivot of `side`, and let it join a pool."""
    swing = structure.swings[side]
    events = structure.events
    reach = parameters.pivot_bars
    confirm_pivot(swing, structure.leg, extremes, events, side, number, reach)
    sign = 1 - 2 * side
    structure.confirmed = sign
    price = sign * swing.level
    pools, basin = structure.pools[side], structure.pool_basin[side]
    within, drawn = parameters.pool_atr * atr, swing.bar
    join_pool(pools, basin, events, sign, drawn, price, within, parameters.kept)


@inlined
def place_between(low: float, high: float, close: float) -> float:
    """Where the close lies between two levels, NaN where they are not in order."""
    return (close - low) / (high - low) if low < high else math.nan


@inlined
def update_structure(
    structure: Any, recent: Any, bar: Any, number: int, atr: float, window: Any, parameters: Any
) -> None:
    """Take the closed bar `number` (from 0), which `recent` holds.

    Args:
        structure: the STRUCTURE.
        recent: the RECENT prices, this bar included.
        bar: the closed BAR.
        number: of the bar.
        atr: at the close of the bar.
        window: in which pivots are sought, as `search_windows` found it.
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
    open_imbalance(structure, extremes, number, parameters.kept)
    structure.body = bar.close - bar.open
    reach = parameters.pivot_bars
    is_high, is_low = find_pivots(extremes, number, reach, window)
    if number >= 3 * reach - 1 and (is_high | is_low):
        side = UP if is_high else DOWN  # a bar that is both is a high
        confirm_side(structure, extremes, side, number, atr, parameters)
    high, low = structure.swings[UP].level, structure.swings[DOWN].level
    structure.place = place_between(low, high, bar.close) if low > 0.0 else math.nan
