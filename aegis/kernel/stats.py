"""What can be seen of a running system: counts and latencies, as values."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

__all__ = ["BUCKETS", "ActorStats", "Latency", "SystemStats"]

# Bucket n of a histogram counts durations of n bits: 2**(n-1) to 2**n - 1 nanoseconds. 64 bits are 584 years.
BUCKETS = 65


@attrs.frozen
class Latency:
    """A histogram with one bucket for each power of two nanoseconds: cheap to take, right to a factor of two."""

    counts: tuple[int, ...]

    @classmethod
    def of(cls, counts: Sequence[int]) -> Latency:
        """Freeze a list of counts."""
        return cls(tuple(counts))

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self.counts)

    def percentile_ns(self, share: float) -> int:
        """The nanoseconds that `share` (0 to 1) of the durations do not exceed, rounded up to the bucket's end."""
        rank = share * self.count
        seen = 0
        for bits, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return (1 << bits) - 1
        return 0

    def __add__(self, other: Latency) -> Latency:
        return Latency(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))


@attrs.frozen
class ActorStats:
    """One actor's figures since it was spawned, over all its incarnations. Tuples have one entry a level.

    Every message that `tell` or `send` reported as accepted, and every ask, is in exactly one place:
    `handled`, `failed`, `expired`, `recalled`, `conflated`, `dropped`, `depth`, or in the handler at work.
    """

    name: str
    state: str
    depth: tuple[int, ...]
    peak: tuple[int, ...]
    conflated: tuple[int, ...]
    dropped: tuple[int, ...]
    rejected: tuple[int, ...]
    handled: int
    failed: int  # handlers that raised or were cancelled, with the message they were on
    expired: int  # outlived their ttl, or nobody waited for them any more
    recalled: int  # taken out because of a crash, their askers told
    unhandled: int  # no handler: never accepted
    restarts: int
    queue: Latency  # from `tell` to the handler
    handler: Latency  # in the handler


@attrs.frozen
class SystemStats:
    """A system's figures: its living actors, and what was sent to those that have ended."""

    name: str
    actors: tuple[ActorStats, ...]
    dead_letters: int
    restarts: int
    timers: int
