"""What is measured: plain figures, from which `lines` makes its judgements."""

from __future__ import annotations

import attrs

from aegis.actors.latency import LatencyReport
from aegis.kernel import Priority

__all__ = [
    "Allocations",
    "Ending",
    "Lateness",
    "Load",
    "LoopShare",
    "Orders",
    "PoolUse",
    "RingHop",
]


@attrs.frozen
class Orders:
    """Jobs of all priorities that were queued, the least urgent first, and the order in which they ran."""

    submitted: int
    ran: tuple[Priority, ...]


@attrs.frozen
class PoolUse:
    """What happened to a pool that was lent empty and filled again."""

    size: int
    lent: int
    free_after: int
    grown: int
    first_ns: float
    """An acquire and a release while nearly all objects are there."""
    last_ns: float
    """And while nearly all are lent."""


@attrs.frozen
class Allocations:
    """What Python's allocator and its collector did while ticks went through."""

    ticks: int
    blocks: int
    """Blocks of memory that objects asked for; those that came out of a free list are not among them."""
    collections: int
    """While something waited to be done."""
    idle_collections: int = 0
    """While nothing did."""


@attrs.frozen
class RingHop:
    """Records between two processes, from just before the write to just after the read, Python to Python."""

    writer_pid: int
    sent: int
    received: int
    lost: int
    in_order: bool
    calm: float
    """The share of the time in which neither process lost its core; the quantiles are of that."""
    p50_us: float
    p99_us: float


@attrs.frozen
class Lateness:
    """How late a task of the loop came back from its sleeps of a millisecond, in us."""

    samples: int
    p50_us: float
    p99_us: float
    max_us: float


@attrs.frozen
class LoopShare:
    """The loop's lateness while ticks come as fast as they are taken, and the same step awaited on the loop."""

    ticks_a_second: float
    ours: Lateness
    blocking: Lateness
    blocking_ticks_a_second: float


@attrs.frozen
class Load:
    """The engine under an even load, from the exchange's sockets to its orders."""

    symbols: int
    offered_a_second: int
    seconds: float
    ticks: int
    lost: int
    """Ticks that were overwritten, had no room, or fell into a hole of the feed (at least one a hole)."""
    pids: dict[str, int]
    alive: frozenset[int]
    """Which of these were living processes while the engine traded."""
    loop_thread: int
    structure_thread: int
    """Native ids; 0 before it runs."""
    allocations: Allocations
    signals: int
    orders: int
    reconciled: bool
    tick_to_signal_us: LatencyReport
    tick_to_order_us: LatencyReport
    hops_us: dict[str, LatencyReport]


@attrs.frozen
class Ending:
    """What a run that was ended in some way left behind, once its time was over."""

    how: str
    processes: int
    segments: int
    ended: bool
    """Whether the run itself came to its end in that time."""
    seconds: float
