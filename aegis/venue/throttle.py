"""A token bucket: the client's own side of the exchange's limits, so that a ban never comes as a surprise."""

from __future__ import annotations

import attrs

from aegis.errors import check

__all__ = ["Throttle"]


@attrs.define
class Throttle:
    """At most `limit` units in any `window_ms`, refilled evenly. A share is kept back for what reduces risk."""

    limit: int
    window_ms: int
    reserved: int = 0
    """Units that only an urgent taker may use: cancels and closing orders."""
    tokens: float = attrs.field(
        default=attrs.Factory(lambda self: float(self.limit), takes_self=True)
    )
    updated_ms: int = 0

    def __attrs_post_init__(self) -> None:
        check(0 <= self.reserved < self.limit, "a throttle keeps back less than it has")

    def take(self, now_ms: int, units: int = 1, *, urgent: bool = False) -> bool:
        """Take units if there are enough; False leaves the bucket as it is."""
        self._refill(now_ms)
        floor = 0 if urgent else self.reserved
        if self.tokens - units < floor:
            return False
        self.tokens -= units
        return True

    def correct(self, used: int) -> None:
        """Follow the exchange's own count where it says that more was used than we believe."""
        if used >= 0:  # order replies were seen with -1
            self.tokens = min(self.tokens, float(self.limit - used))

    def _refill(self, now_ms: int) -> None:
        passed_ms = max(0, now_ms - self.updated_ms)
        self.tokens = min(self.limit, self.tokens + passed_ms * self.limit / self.window_ms)
        self.updated_ms = now_ms
