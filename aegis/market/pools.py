"""Liquidity pools: highs (or lows) at nearly the same price, beyond which stops may rest.

A confirmed pivot joins the nearest pool of its side whose mean price is within `pool_atr` ATR of it, the newest among equally
near ones; else it opens one, as it does before the ATR is warm. A pool of two or more is announced as NEW, and REVISED with each one after that. The first bar
that goes beyond the pool's most extreme pivot takes it: it was SWEPT where the close is back inside, RUN where it is not.

Prices of pools below lows are mirrored (negated): in here every pool is taken from below.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.events import Element, Happening, write_event
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_KEPT

__all__ = ["BASIN", "POOLS", "join_pool", "take_pools"]

_POOL: Final = constant(Element.POOL)
_NEW: Final = constant(Happening.NEW)
_REVISED: Final = constant(Happening.REVISED)
_SWEPT: Final = constant(Happening.SWEPT)
_RUN: Final = constant(Happening.RUN)

POOL: Final = np.dtype(
    [
        ("mean", "<f8"),  # of its pivots
        ("extreme", "<f8"),  # the highest of them
        ("drawn", "<i4"),  # bar of the first of them
        ("count", "<i4"),  # of them
    ],
    align=True,
)

POOLS: Final = np.dtype(
    [
        ("trigger", "<f8"),  # the lowest extreme: a bar that stays below takes none
        ("standing", "<i4"),  # pools that are not taken
        ("overflowed", "<i4"),  # dropped while they stood: there was no room
    ],
    align=True,
)
"""What every bar asks of the pools of a side; they themselves lie in a BASIN."""

BASIN: Final = np.dtype((POOL, (MAX_KEPT,)))
"""The standing pools of a side, oldest first."""


@inlined
def report_pool(events: Any, pool: Any, what: int, sign: int) -> None:
    """Write what happened to a pool, in prices that are not mirrored."""
    level = sign * pool.extreme
    event = write_event(events, _POOL, what, sign, pool.drawn, level, level)
    event.count = pool.count


@inlined
def nearest_pool(pools: Any, basin: Any, price: float, reach: float) -> int:
    """The pool whose mean is nearest to `price` and within `reach` of it, or -1."""
    found = -1
    best = reach  # NaN before the ATR is warm: nothing is within it
    for slot in range(pools.standing):
        distance = abs(basin[slot].mean - price)
        if distance <= best:
            found = slot
            best = distance
    return found


@inlined
def open_pool(pools: Any, basin: Any, drawn: int, price: float, kept: int) -> None:
    """Open a pool with its first pivot, in place of the oldest one where `kept` of them stand."""
    if pools.standing == kept:
        pools.overflowed += 1
        pools.standing -= 1
        for slot in range(pools.standing):
            basin[slot] = basin[slot + 1]
    pool = basin[pools.standing]
    pool.mean = price
    pool.extreme = price
    pool.drawn = drawn
    pool.count = 1
    pools.standing += 1


@inlined
def join_pool(
    pools: Any,
    basin: Any,
    events: Any,
    sign: int,
    drawn: int,
    price: float,
    reach: float,
    kept: int,
) -> None:
    """Take a confirmed pivot (its price mirrored for a low) into a pool."""
    slot = nearest_pool(pools, basin, price, reach)
    if slot < 0:
        open_pool(pools, basin, drawn, price, kept)
    else:
        pool = basin[slot]
        pool.mean = (pool.mean * pool.count + price) / (pool.count + 1)
        pool.count += 1
        pool.extreme = max(pool.extreme, price)
        report_pool(events, pool, _NEW if pool.count == 2 else _REVISED, sign)
    trigger = np.inf
    for standing in range(pools.standing):
        trigger = min(trigger, basin[standing].extreme)
    pools.trigger = trigger


@inlined
def take_pools(pools: Any, basin: Any, events: Any, sign: int, high: float, close: float) -> int:
    """Take the pools that a bar went beyond (its prices mirrored for lows); return how many it swept."""
    if high <= pools.trigger:
        return 0
    swept = 0
    standing = 0
    trigger = np.inf
    for slot in range(pools.standing):
        pool = basin[slot]
        if high > pool.extreme:
            back = close <= pool.extreme
            swept += back
            report_pool(events, pool, _SWEPT if back else _RUN, sign)
            continue
        trigger = min(trigger, pool.extreme)
        if standing < slot:
            basin[standing] = pool
        standing += 1
    pools.standing = standing
    pools.trigger = trigger
    return swept
