"""Structure events: what was seen, the bar it is drawn at, and the bar at whose close it became known.

The log is append-only. Nothing in it is changed or taken back: a swing that a later one outdoes is REVISED by a second
event, a block that fails becomes INVALID by a second event. Read up to any bar, it is what was known at that bar.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.lines import claim

__all__ = ["EVENT", "EVENTS", "LOG", "Element", "Happening", "claim_events", "write_event"]


class Element(IntEnum):
    """What an event is about."""

    PIVOT = 1
    """A confirmed swing high or low."""
    LEG = 2
    """The end of the current leg: pivots in which highs and lows alternate."""
    SWING = 3
    """The newest confirmed pivot of a side, that a close may break."""
    BLOCK = 4
    """An order block: the last deep bar before a break."""
    IMBALANCE = 5
    """A fair value gap: the space between the wicks of two bars that the bar between them ran through."""
    POOL = 6
    """Liquidity: one pivot, or several at nearly the same price, beyond which stops may rest."""


class Happening(IntEnum):
    """What happened to it."""

    NEW = 1
    REVISED = 2
    """A LEG's end moved to a more extreme pivot; a POOL gained one."""
    FINAL = 3
    """A LEG's end can move no more: the opposite pivot is confirmed."""
    BOS = 4
    """A SWING was broken with the trend (break of structure)."""
    CHOCH = 5
    """A SWING was broken against the trend (change of character)."""
    TOUCHED = 6
    """The price came into a BLOCK (it is mitigated) or an IMBALANCE, for the first time."""
    FAILED = 7
    """The price went through a BLOCK: it is invalid."""
    FILLED = 8
    """The price came through to the far edge of an IMBALANCE."""
    SWEPT = 9
    """The price went beyond a POOL and closed back inside."""
    RUN = 10
    """The price went beyond a POOL and closed there."""


EVENT: Final = np.dtype(
    [
        ("drawn", "<i8"),  # number of the bar it is drawn at
        ("known", "<i8"),  # number of the bar at whose close it became known
        ("known_ns", "<i8"),  # event time of the tick that closed that bar
        ("top", "<f8"),
        ("bottom", "<f8"),  # equal to `top` where the element is a level
        ("count", "<u4"),  # pivots in a POOL, else 1
        ("side", "<i2"),  # +1: a high, a break upwards, a bullish zone; -1 the mirror
        ("element", "u1"),  # an Element
        ("what", "u1"),  # a Happening
    ],
    align=True,
)

LOG: Final = 128
"""Events kept a symbol: a ring, indexed by the event's number modulo this."""

check(EVENT.itemsize == 48, "an EVENT has no padding: logs are compared byte by byte")
check(LOG & (LOG - 1) == 0, "the ring of events is indexed by a mask")

EVENTS: Final = np.dtype(
    [
        ("written", "<i8"),  # ever: less LOG, the number of the oldest one that is still here
        ("known", "<i8"),  # the bar that is being taken
        ("known_ns", "<i8"),
        ("ring", EVENT, (LOG,)),
    ],
    align=True,
)


@inlined
def claim_events(events: Any) -> None:
    """Ask for the places of the next two events: most bars make as many."""
    claim(events.ring[events.written & (LOG - 1)])
    claim(events.ring[(events.written + 1) & (LOG - 1)])


@inlined
def write_event(
    events: Any,
    element: int,
    what: int,
    side: int,
    drawn: int,
    top: float,
    bottom: float,
) -> Any:
    """Append an event that the current bar makes known, and return it."""
    event = events.ring[events.written & (LOG - 1)]
    event.drawn = drawn
    event.known = events.known
    event.known_ns = events.known_ns
    event.top = top
    event.bottom = bottom
    event.count = 1
    event.element = element
    event.what = what
    event.side = side
    events.written += 1
    return event
