"""A throttle: the client's own side of the exchange's limits, so that a ban never comes as a surprise."""

from __future__ import annotations

from collections import deque

import attrs

from aegis.errors import check

__all__ = ["Throttle"]


@attrs.define
class Throttle:
    """At most `limit` units in any `window_ms`, wherever it begins. A share is kept back for what reduces risk.

    The exchange counts in windows that begin at multiples of their length. Whoever keeps to any window keeps to those.
    """

    limit: int
    window_ms: int
    reserved: int = 0
    """Units that only an urgent taker may use: cancels and closing orders."""
    _taken: deque[tuple[int, int]] = attrs.field(factory=deque, init=False)
    """When, and how many units; oldest first."""
    _used: int = attrs.field(default=0, init=False)
    """The sum of these."""
    _unheard: int = attrs.field(default=0, init=False)
    """Units that the exchange has counted beyond ours, another program's perhaps,"""
    _unheard_until_ms: int = attrs.field(default=0, init=False)
    """and when it begins to count anew."""

    def __attrs_post_init__(self) -> None:
        check(0 <= self.reserved < self.limit, "a throttle keeps back less than it has")

    def has(self, now_ms: int, units: int = 1, *, urgent: bool = False) -> bool:
        """Whether there are so many units."""
        floor = 0 if urgent else self.reserved
        return self.limit - self._used_at(now_ms) - units >= floor

    def take(self, now_ms: int, units: int = 1, *, urgent: bool = False) -> bool:
        """Take units if there are enough; False leaves all as it is."""
        if not self.has(now_ms, units, urgent=urgent):
            return False
        self._taken.append((now_ms, units))
        self._used += units
        return True

    def give_back(self, taken_ms: int, units: int = 1) -> None:
        """Units that were taken at a moment were not used."""
        if (
            taken_ms,
            units,
        ) in self._taken:  # otherwise they are back already, by the time that has passed
            self._taken.remove((taken_ms, units))
            self._used -= units

    def correct(self, now_ms: int, used: int) -> None:
        """Follow the exchange's own count where it says that more was used than we believe."""
        beyond = used - self._used_at(now_ms)
        if beyond > 0:  # order replies were seen with -1
            self._unheard += beyond
            self._unheard_until_ms = now_ms - now_ms % self.window_ms + self.window_ms

    def _used_at(self, now_ms: int) -> int:
        while self._taken and self._taken[0][0] <= now_ms - self.window_ms:
            self._used -= self._taken.popleft()[1]
        if now_ms >= self._unheard_until_ms:
            self._unheard = 0
        return self._used + self._unheard
