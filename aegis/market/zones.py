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

__all__ = ["ROOM", "ZONES", "add_zone", "age_zones"]

_NEW: Final = constant(Happening.NEW)
_TOUCHED: Final = constant(Happening.TOUCHED)
_FILLED: Final = constant(Happening.FILLED)

ZONE: Final = np.dtype(
    [
        ("near", "<f8"),
        ("far", "<f8"),
        ("next", "<f8"),  # where the next thing happens to it: `near`, and once it is touched `far`
        ("nearest", "<f8"),  # the highest `near` of this one and all older ones
        ("trigger", "<f8"),  # the highest `next` of these: above it a bar changes none
        ("drawn", "<i4"),
        ("touched", "<i4"),
    ],
    align=True,
)

ZONES: Final = np.dtype(
    [
        ("nearest", "<f8"),  # the newest one's, which is that of all; -inf where none stands
        ("trigger", "<f8"),  # likewise
        ("standing", "<i4"),  # zones that are not done
        ("overflowed", "<i4"),  # dropped while they stood: there was no room
    ],
    align=True,
)
"""What every bar asks of the zones of a side. They themselves, which most bars leave alone, lie elsewhere: in a ROOM."""

ROOM: Final = np.dtype((ZONE, (MAX_KEPT,)))
"""The standing zones of a side, oldest first."""


@inlined
def report_zone(events: Any, zone: Any, element: int, what: int, side: int) -> None:
    """Write what happened to a zone, in prices that are not mirrored."""
    sign = 1 - 2 * side
    near, far = sign * zone.near, sign * zone.far
    write_event(events, element, what, sign, zone.drawn, max(near, far), min(near, far))


@inlined
def put_on_top(zones: Any, zone: Any) -> None:
    """Take a zone, newer than all there are, into what is known of all of them."""
    zones.nearest = max(zones.nearest, zone.near)
    zones.trigger = max(zones.trigger, zone.next)
    zone.nearest = zones.nearest
    zone.trigger = zones.trigger


@inlined
def drop_oldest_zone(zones: Any, room: Any) -> None:
    """Make room for one more."""
    zones.overflowed += 1
    zones.standing -= 1
    zones.nearest = -np.inf
    zones.trigger = -np.inf
    for slot in range(zones.standing):
        room[slot] = room[slot + 1]
        put_on_top(zones, room[slot])


@inlined
def add_zone(
    zones: Any,
    room: Any,
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
        drop_oldest_zone(zones, room)
    zone = room[zones.standing]
    zone.near = near
    zone.far = far
    zone.next = near
    zone.drawn = drawn
    zone.touched = 0
    zones.standing += 1
    put_on_top(zones, zone)
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
    room: Any,
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
        room: its ROOM.
        events: the EVENTS to write to.
        element: what these zones are.
        done: the Happening of their end. An imbalance is FILLED at its far edge already.
        side: UP for bullish zones.
        reached: the price nearest to the zones in this bar, mirrored for bearish ones.
        passed: the price that has to be beyond the far edge, likewise.
    """
    if reached > zones.trigger:
        return
    # Most often it is the newest one alone: what is older lies further away.
    first = zones.standing - 1
    while first > 0 and reached <= room[first - 1].trigger:
        first -= 1
    zones.nearest = room[first - 1].nearest if first > 0 else -np.inf
    zones.trigger = room[first - 1].trigger if first > 0 else -np.inf
    standing = first
    for slot in range(first, zones.standing):
        zone = room[slot]
        if reached <= zone.next and meet_zone(zone, events, element, done, side, passed):
            continue
        if standing < slot:
            room[standing] = zone
        put_on_top(zones, room[standing])
        standing += 1
    zones.standing = standing
