"""How long to wait before the next attempt: doubling, bounded, and jittered so that a crowd does not return as one."""

from __future__ import annotations

from random import Random

import attrs

__all__ = ["Backoff"]


@attrs.define
class Backoff:
    """Delays of one connection. `rng` comes from whoever owns randomness."""

    rng: Random
    first_s: float = 0.1
    most_s: float = 30.0
    failures: int = 0

    def next_s(self) -> float:
        """The delay before the next attempt: between half of the doubled step and all of it."""
        step_s = min(self.most_s, self.first_s * 2.0 ** min(self.failures, 20))
        self.failures += 1
        return step_s * (0.5 + 0.5 * self.rng.random())

    def succeeded(self) -> None:
        """Begin anew after a connection that worked."""
        self.failures = 0
