"""Zones: price ranges that wait for the price to come back. Order blocks and imbalances live the same life.

A bullish zone lies below the price and is entered from above: it is TOUCHED when a low reaches its top, and done when the
price has gone through to its bottom. A bearish one is the mirror image, and is kept mirrored (negated): in here every price
comes from above, and `near` is the edge it meets first.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.events import Happening, write_event
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_KEPT
from aegis.market.recent import UP

__all__ = ["ZONES", "add_zone", "age_zones"]

_NEW: Final = constant(Happening.NEW)
_TOUCHED: Final = constant(Happening.TOUCHED)
_FILLED: Final = constant(Happening.FILLED)

ZONE: Final = np.dtype(
    [
        ("near", "<f8"),
        ("far", "<f8"),
        ("next", "<f8"),  # where the next thing happens to it: `near`, and once it is touched `far`
        ("drawn", "<i8"),
        ("touched", "<i8"),
    ],
    align=True,
)

ZONES: Final = np.dtype(
    [
        ("standing", "<i8"),  # zones that are not done
        ("overflowed", "<i8"),  # dropped while they stood: there was no room
        ("nearest", "<f8"),  # the highest `near`, -inf where none stands
        ("trigger", "<f8"),  # the highest `next`: a bar that stays above changes nothing
        ("zones", ZONE, (MAX_KEPT,)),  # the standing ones, oldest first
    ],
    align=True,
)


@inlined
def report_zone(events: Any, zone: Any, element: int, what: int, side: int) -> None:
    """Write what happened to a zone, in prices that are not mirrored."""
    top = zone.near if side == UP else -zone.far
    bottom = zone.far if side == UP else -zone.near
    write_event(events, element, what, 1 - 2 * side, zone.drawn, top, bottom)


@inlined
def drop_oldest_zone(zones: Any) -> None:
    """Make room for one more."""
    zones.overflowed += 1
    zones.standing -= 1
    zones.nearest = -np.inf
    zones.trigger = -np.inf
    for slot in range(zones.standing):
        zones.zones[slot] = zones.zones[slot + 1]
        zones.nearest = max(zones.nearest, zones.zones[slot].near)
        zones.trigger = max(zones.trigger, zones.zones[slot].next)


@inlined
def add_zone(
    zones: Any,
    events: Any,
    element: int,
    side: int,
    drawn: int,
    near: float,
    far: float,
    kept: int,
) -> None:
    """Add a zone, in place of the oldest one where `kept` of them stand."""
    if zones.standing == kept:
        drop_oldest_zone(zones)
    zone = zones.zones[zones.standing]
    zone.near = near
    zone.far = far
    zone.next = near
    zone.drawn = drawn
    zone.touched = 0
    zones.standing += 1
    zones.nearest = max(zones.nearest, near)
    zones.trigger = max(zones.trigger, near)
    report_zone(events, zone, element, _NEW, side)


@inlined
def meet_zone(zone: Any, events: Any, element: int, done: int, side: int, passed: float) -> bool:
    """Take a bar that reached what comes next for a zone; True where that was its end."""
    if not zone.touched:
        zone.touched = 1
        zone.next = zone.far
        report_zone(events, zone, element, _TOUCHED, side)
    ends = passed < zone.far or (passed == zone.far and done == _FILLED)
    if ends:
        report_zone(events, zone, element, done, side)
    return ends


@inlined
def age_zones(
    zones: Any,
    events: Any,
    element: int,
    done: int,
    side: int,
    reached: float,
    passed: float,
) -> None:
    """Take a bar into the life of the standing zones: TOUCHED at the near edge, done beyond the far one.

    Args:
        zones: the ZONES of this side.
        events: the EVENTS to write to.
        element: what these zones are.
        done: the Happening of their end. An imbalance is FILLED at its far edge already.
        side: UP for bullish zones.
        reached: the price nearest to the zones in this bar, mirrored for bearish ones.
        passed: the price that has to be beyond the far edge, likewise.
    """
    if reached > zones.trigger:
        return
    standing = 0
    nearest = -np.inf
    trigger = -np.inf
    for slot in range(zones.standing):
        zone = zones.zones[slot]
        if reached <= zone.next and meet_zone(zone, events, element, done, side, passed):
            continue
        nearest = max(nearest, zone.near)
        trigger = max(trigger, zone.next)
        if standing < slot:
            zones.zones[standing] = zone
        standing += 1
    zones.standing = standing
    zones.nearest = nearest
    zones.trigger = trigger
