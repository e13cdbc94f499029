"""The life of an order, as a table.

Replies and stream events reach us in any order, late, and twice. So the table is total: every event has a meaning
in every state, and folding the same events in another order ends in the same place. What is final stays final but
for one thing, a fill: money that moved has moved, whatever was believed before.

    INTENDED ──accepted──▶ LIVE ──fill──▶ PARTIAL ──last fill──▶ FILLED
       │  └──lost──▶ UNKNOWN ──(any proof)──▶ …          cancelled ▶ CANCELLED
       └──rejected──▶ REJECTED       └──absent──▶ ABSENT expired   ▶ EXPIRED
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = ["OPEN", "TRANSITIONS", "UNSETTLED", "Happening", "OrderState"]


class OrderState(Enum):
    """Where an order stands."""

    INTENDED = "intended"
    """Durable in the journal, perhaps already on the wire; no answer yet."""
    LIVE = "live"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    """The answer was lost: it may be live, filled or never placed. Its exposure stays reserved."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    ABSENT = "absent"
    """Proved never placed; a fill would still be booked."""


class Happening(Enum):
    """What can happen to an order."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    LOST = "lost"
    FILL = "fill"
    LAST_FILL = "last_fill"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    ABSENT = "absent"


S, H = OrderState, Happening

OPEN: Final = frozenset({S.INTENDED, S.LIVE, S.PARTIAL, S.UNKNOWN})
"""States in which the order may still fill: its exposure counts."""

UNSETTLED: Final = frozenset({S.INTENDED, S.UNKNOWN})
"""Of these, the ones in which nobody has said that the exchange has it."""

_ROWS: Final = {
    #            ACCEPTED     REJECTED    LOST        FILL         LAST_FILL  CANCELLED    EXPIRED      ABSENT
    S.INTENDED:  (S.LIVE,      S.REJECTED,  S.UNKNOWN,   S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.ABSENT),
    S.LIVE:      (S.LIVE,      S.LIVE,      S.LIVE,      S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.LIVE),
    S.PARTIAL:   (S.PARTIAL,   S.PARTIAL,   S.PARTIAL,   S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.PARTIAL),
    S.UNKNOWN:   (S.LIVE,      S.REJECTED,  S.UNKNOWN,   S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.ABSENT),
    S.FILLED:    (S.FILLED,    S.FILLED,    S.FILLED,    S.FILLED,    S.FILLED,  S.FILLED,    S.FILLED,    S.FILLED),
    S.CANCELLED: (S.CANCELLED, S.CANCELLED, S.CANCELLED, S.CANCELLED, S.FILLED,  S.CANCELLED, S.CANCELLED, S.CANCELLED),
    S.EXPIRED:   (S.EXPIRED,   S.EXPIRED,   S.EXPIRED,   S.EXPIRED,   S.FILLED,  S.EXPIRED,   S.EXPIRED,   S.EXPIRED),
    S.REJECTED:  (S.LIVE,      S.REJECTED,  S.REJECTED,  S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.REJECTED),
    S.ABSENT:    (S.LIVE,      S.ABSENT,    S.ABSENT,    S.PARTIAL,   S.FILLED,  S.CANCELLED, S.EXPIRED,   S.ABSENT),
}  # fmt: skip

TRANSITIONS: Final = MappingProxyType(
    {
        (state, happening): target
        for state, row in _ROWS.items()
        for happening, target in zip(Happening, row, strict=True)
    }
)
