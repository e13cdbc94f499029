"""How often something may be done: no window of a length holds more than so many."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Pace"]


class Pace:
    """Counts what was done, on the clock of whoever asks.

    Unlike a token bucket it never lets a burst follow another within one window, which is how exchanges count.

    Args:
        limit: how many a window holds.
        window_s: its length.
    """

    def __init__(self, limit: int, window_s: float) -> None:
        self._window_s: Final = window_s
        self._times: deque[float] = deque(maxlen=limit)

    def take(self, now_s: float) -> float:
        """Book the next one; returns how long to wait for its turn."""
        at_s = now_s
        if len(self._times) == self._times.maxlen:
            at_s = max(now_s, self._times[0] + self._window_s)
        self._times.append(at_s)
        return at_s - now_s
