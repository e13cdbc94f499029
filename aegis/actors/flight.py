"""What is remembered of an order beyond the order itself: when it left, and when it is asked for again."""

from __future__ import annotations

from typing import Final

import attrs

from aegis.errors import check

__all__ = ["ASK_S", "ASK_S_MAX", "Flight"]

ASK_S: Final = 0.5
ASK_S_MAX: Final = 8.0
"""How long after an answer that settled nothing an order is asked for again: twice as long each time. The exchange counts
questions, and may stop to take orders over them.
"""
VANISHED_NS: Final = 60_000_000_000
"""An order that was taken, and that the exchange has not shown for so long, is over: it forgets those that never filled after
three days, while what it shows of others may lag by many seconds.
"""
ANSWER_AGE_NS_MAX: Final = 3_000_000_000
"""A market order that is open for longer than this has lost an event: ask."""


@attrs.define
class Flight:
    """An order on its way."""

    sent_ns: int
    cutoff_ms: int | None = None
    """Exchange time after which a request that was not seen can no longer be executed."""
    asking: bool = False
    missing_since_ns: int | None = None
    """Since when the exchange shows nothing of it, or not what it did; None while it does."""
    _next_s: float = ASK_S
    _rests_until_ns: int = 0

    def is_overdue(self, now_ns: int) -> bool:
        """Whether it is to be asked for without any other reason."""
        return self.sent_ns < now_ns - ANSWER_AGE_NS_MAX and self._rests_until_ns <= now_ns

    def rest_s(self, now_ns: int, *, within_s: float = ASK_S_MAX) -> float:
        """It was asked for in vain: in how long to ask again, which nobody does before without a reason."""
        check(within_s > 0.0, "time passes before it is asked for again")
        wait_s = min(self._next_s, within_s)
        self._rests_until_ns = now_ns + round(wait_s * 1e9)
        self._next_s = min(2.0 * self._next_s, ASK_S_MAX)
        return wait_s

    def has_vanished(self, now_ns: int) -> bool:
        """It, or what it did, was not found once more; whether that has been so for long enough."""
        if self.missing_since_ns is None:
            self.missing_since_ns = now_ns
        return now_ns - self.missing_since_ns >= VANISHED_NS

    def left_s(self, exchange_ms: int) -> float:
        """How long it may still be executed; for ever where its cut-off is not known."""
        return ASK_S_MAX if self.cutoff_ms is None else (self.cutoff_ms - exchange_ms) / 1000
