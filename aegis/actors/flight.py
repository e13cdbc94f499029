"""What is remembered of an order beyond the order itself: when it left, and when it is asked for again."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["ASK_S", "ASK_S_MAX", "Flight"]

ASK_S: Final = 0.5
ASK_S_MAX: Final = 8.0
"""How long after an answer that settled nothing an order is asked for again: twice as long each time. The exchange counts
questions, and may stop to take orders over them.
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
    _next_s: float = ASK_S
    _rests_until_ns: int = 0

    def is_overdue(self, now_ns: int) -> bool:
        """Whether it is to be asked for without any other reason."""
        return self.sent_ns < now_ns - ANSWER_AGE_NS_MAX and self._rests_until_ns <= now_ns

    def rest_s(self, now_ns: int, *, within_s: float = ASK_S_MAX) -> float:
        """It was asked for in vain: in how long to ask again, which nobody does before without a reason."""
        wait_s = min(self._next_s, within_s)
        self._rests_until_ns = now_ns + round(wait_s * 1e9)
        self._next_s = min(2.0 * self._next_s, ASK_S_MAX)
        return wait_s

    def left_s(self, exchange_ms: int) -> float:
        """How long it may still be executed; for ever where its cut-off is not known."""
        return ASK_S_MAX if self.cutoff_ms is None else (self.cutoff_ms - exchange_ms) / 1000
