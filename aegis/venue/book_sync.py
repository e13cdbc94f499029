"""How an order book is brought into step with its stream, and kept there (protocol §5): a table, and no input or output.

    UNSYNCED ──change──▶ BUFFERING ──turn──▶ ASKED ──snapshot──▶ JOINING ──change meets it──▶ LIVE
                                               ▲                    │ too old                  │ gap, fault
                                               └──────turn──── BROKEN ◀────────────────────────┘

Changes are kept from the first one on. A snapshot as of id L belongs before the first change with `pu <= L <= u`; what
is older is in it already. From there on a change follows if its `pu` is the `u` of the one before it, and in no other
way: `U` jumps, as ids are counted for all symbols together. A snapshot that is older than all that was kept is too old.

A live book that has become thin asks for another snapshot, and stays valid until it has one (RENEWING). When its
connection is lost it is not valid (PAUSED), but if the next change follows all the same, nothing was missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from aegis.venue.binance_market import DepthUpdate

__all__ = ["KEPT_MAX", "TABLE", "Action", "Happening", "Kept", "Phase"]

KEPT_MAX: Final = 128
"""Changes that are kept, of which the oldest go: many seconds' worth, and a snapshot is as new as its question."""


class Phase(Enum):
    """Where a book stands."""

    UNSYNCED = auto()
    """Nothing has come of its stream."""
    BUFFERING = auto()
    """Changes are kept; a snapshot is wanted."""
    ASKED = auto()
    """Changes are kept; a snapshot is on its way."""
    JOINING = auto()
    """The snapshot is there; the change that meets it has yet to come."""
    LIVE = auto()
    """In step."""
    RENEWING = auto()
    """In step; changes are kept as well, and a snapshot is on its way or waits for the change that meets it."""
    PAUSED = auto()
    """It was in step when its connection was lost."""
    BROKEN = auto()
    """Something is missing or wrong: changes are kept; another snapshot is wanted after a while."""


class Happening(Enum):
    """What can happen to a book."""

    FOLLOWS = auto()
    """A change came that is the next one."""
    REPEATED = auto()
    """A change came that is in the book already."""
    AHEAD = auto()
    """A change came that does not follow, or there is nothing to follow."""
    FAULT = auto()
    """The book is crossed, or differs from the quote with the same id."""
    TURN = auto()
    """It may ask for a snapshot now."""
    SNAPSHOT = auto()
    """The snapshot came."""
    FAILED = auto()
    """No snapshot came."""
    TOO_OLD = auto()
    """The snapshot ends before the first change that was kept."""
    MET = auto()
    """The snapshot meets a change that was kept."""
    CUT = auto()
    """The connection is lost."""


class Action(Enum):
    """What follows from it."""

    KEEP = auto()
    """Keep the change for the snapshot to come."""
    APPLY = auto()
    """Take the change into the book."""
    APPLY_AND_KEEP = auto()
    DROP = auto()
    """Nothing: it is known already, or means nothing now."""
    BREAK = auto()
    """The book is not valid; forget what was kept but the change that came, want another snapshot."""
    ASK = auto()
    """Ask for a snapshot."""
    JOIN = auto()
    """See whether the snapshot meets what was kept."""
    LOAD = auto()
    """Begin the book with the snapshot and the changes behind it."""
    WAIT = auto()
    """Want another snapshot after a while."""
    HIDE = auto()
    """The book is not valid; forget what was kept."""


P, H, A = Phase, Happening, Action
TABLE: Final = MappingProxyType(
    {
        (P.UNSYNCED, H.AHEAD): (P.BUFFERING, A.KEEP),
        (P.UNSYNCED, H.CUT): (P.UNSYNCED, A.DROP),
        (P.BUFFERING, H.AHEAD): (P.BUFFERING, A.KEEP),
        (P.BUFFERING, H.TURN): (P.ASKED, A.ASK),
        (P.BUFFERING, H.CUT): (P.UNSYNCED, A.HIDE),
        (P.ASKED, H.AHEAD): (P.ASKED, A.KEEP),
        (P.ASKED, H.SNAPSHOT): (P.JOINING, A.JOIN),
        (P.ASKED, H.FAILED): (P.BROKEN, A.WAIT),
        (P.ASKED, H.CUT): (P.ASKED, A.HIDE),
        (P.JOINING, H.AHEAD): (P.JOINING, A.KEEP),
        (P.JOINING, H.MET): (P.LIVE, A.LOAD),
        (P.JOINING, H.TOO_OLD): (P.BROKEN, A.WAIT),
        (P.JOINING, H.CUT): (P.JOINING, A.HIDE),
        (P.LIVE, H.FOLLOWS): (P.LIVE, A.APPLY),
        (P.LIVE, H.REPEATED): (P.LIVE, A.DROP),
        (P.LIVE, H.AHEAD): (P.BROKEN, A.BREAK),
        (P.LIVE, H.FAULT): (P.BROKEN, A.BREAK),
        (P.LIVE, H.TURN): (P.RENEWING, A.ASK),
        (P.LIVE, H.CUT): (P.PAUSED, A.HIDE),
        (P.RENEWING, H.FOLLOWS): (P.RENEWING, A.APPLY_AND_KEEP),
        (P.RENEWING, H.REPEATED): (P.RENEWING, A.DROP),
        (P.RENEWING, H.AHEAD): (P.BROKEN, A.BREAK),
        (P.RENEWING, H.FAULT): (P.BROKEN, A.BREAK),
        (P.RENEWING, H.SNAPSHOT): (P.RENEWING, A.JOIN),
        (P.RENEWING, H.FAILED): (P.LIVE, A.WAIT),
        (P.RENEWING, H.TOO_OLD): (P.LIVE, A.WAIT),
        (P.RENEWING, H.MET): (P.LIVE, A.LOAD),
        (P.RENEWING, H.CUT): (P.PAUSED, A.HIDE),
        (P.PAUSED, H.FOLLOWS): (P.LIVE, A.APPLY),
        (P.PAUSED, H.REPEATED): (P.PAUSED, A.DROP),
        (P.PAUSED, H.AHEAD): (P.BROKEN, A.BREAK),
        (P.PAUSED, H.FAULT): (P.BROKEN, A.BREAK),
        (P.PAUSED, H.SNAPSHOT): (P.PAUSED, A.DROP),
        (P.PAUSED, H.FAILED): (P.PAUSED, A.DROP),
        (P.PAUSED, H.CUT): (P.PAUSED, A.DROP),
        (P.BROKEN, H.AHEAD): (P.BROKEN, A.KEEP),
        (P.BROKEN, H.TURN): (P.ASKED, A.ASK),
        (P.BROKEN, H.SNAPSHOT): (P.JOINING, A.JOIN),
        (P.BROKEN, H.FAILED): (P.BROKEN, A.DROP),
        (P.BROKEN, H.CUT): (P.BROKEN, A.HIDE),
    }
)
"""What becomes of a book in a phase when something happens, and what is to be done. What is not here cannot happen."""


class Kept:
    """The changes that wait for a snapshot: each follows the one before it. Their levels stay text until then."""

    def __init__(self) -> None:
        self._changes: Final[deque[DepthUpdate]] = deque(maxlen=KEPT_MAX)

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[DepthUpdate]:
        return iter(self._changes)

    def add(self, change: DepthUpdate) -> None:
        """Keep a change; what it does not follow is of no use any more, and a repetition of none."""
        if self._changes:
            newest = self._changes[-1]
            if change.u <= newest.u and change.T <= newest.T:
                return
            if change.pu != newest.u:
                self._changes.clear()
        self._changes.append(change)

    def forget(self) -> None:
        """Keep nothing."""
        self._changes.clear()

    def forget_through(self, last_id: int) -> None:
        """Forget what ends no later than an id."""
        while self._changes and self._changes[0].u <= last_id:
            self._changes.popleft()

    def meeting(self, update_id: int) -> Happening | None:
        """How a snapshot as of an id stands to what is kept: MET, TOO_OLD, or None where more has to come first.

        Changes that are older than the snapshot are forgotten.
        """
        while self._changes and self._changes[0].u < update_id:
            self._changes.popleft()
        if not self._changes:
            return None
        return Happening.MET if self._changes[0].pu <= update_id else Happening.TOO_OLD
