"""What ticks cost Python's allocator on their way through ring and step, and what a pool does."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from aegis.kernel.clock import SystemClock
from aegis.kernel.pool import Pool
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind
from aegis.ops.allocations import AllocationCounter
from aegis.ops.verify.facts import Allocations, PoolUse
from aegis.shm import Policy, Ring

__all__ = ["PooledCandle", "PooledSignal", "count_collections", "measure_path", "measure_pool"]

Records = npt.NDArray[np.void]
T = TypeVar("T")

_SYMBOLS: Final = 300
_BATCH: Final = 100
"""What a millisecond brings at 100,000 ticks a second."""
_TURNS: Final = 2_000
_POOL: Final = 10_000
_PART: Final = 1_000
_REPEATS: Final = 5


def measure_path(step: Callable[[Records], object] | None = None) -> Allocations:
    """Send ticks through a ring, batch by batch, and step them.

    Args:
        step: takes a batch; an analysis of 300 symbols unless told otherwise.
    """
    analysis = Analysis(_SYMBOLS, Parameters(interval_ms=1000))
    step = step or analysis.step
    sent, received = _ticks(), np.empty(_BATCH, TICK)
    with ExitStack() as opened:
        ring = opened.enter_context(Ring.create(TICK))
        reader = ring.reader("verify", policy=Policy.GATE)
        writer = ring.writer()
        step(sent)  # whatever is made once is made now
        taken = 0
        gc.collect()
        collections = count_collections()
        with AllocationCounter() as allocations:
            for _ in range(_TURNS):
                writer.write_batch(sent)
                count = reader.read_into(received)
                step(received[:count])
                taken += count
        return Allocations(taken, allocations.blocks, count_collections() - collections)


def _ticks() -> Records:
    ticks = np.zeros(_BATCH, TICK)
    ticks["symbol"] = np.arange(_BATCH) % _SYMBOLS
    ticks["event_ns"] = SystemClock.wall_ns()
    ticks["kind"] = TickKind.QUOTE
    ticks["bid"], ticks["ask"] = 100.0, 100.01
    ticks["bid_size"] = ticks["ask_size"] = 1.0
    return ticks


def count_collections() -> int:
    """How often the collector has run in this process."""
    return sum(generation["collections"] for generation in gc.get_stats())


@attrs.define
class PooledCandle:
    """Six numbers."""

    timestamp: float = 0.0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0


@attrs.define
class PooledSignal:
    """What a strategy says."""

    symbol: int = 0
    side: int = 0
    price: float = 0.0
    stop: float = 0.0


def measure_pool(make: Callable[[], T], pool: Pool[T] | None = None) -> PoolUse:
    """Lend a pool's objects down to the last one and give them all back, some times over."""
    pool = pool or Pool(make, size=_POOL)
    size = pool.stats().size
    first, last = [], []
    lent: list[T] = []
    for _ in range(_REPEATS):
        first.append(_turn_ns(pool))
        lent = [pool.acquire() for _ in range(size - _PART)]
        last.append(_turn_ns(pool))
        lent += [pool.acquire() for _ in range(_PART)]
        for item in lent:
            pool.release(item)
    stats = pool.stats()
    return PoolUse(size, len(lent), stats.free, stats.grown, min(first), min(last))


def _turn_ns(pool: Pool[T]) -> float:
    """An acquire and a release, in ns, with the objects at the top of the pool."""
    began_ns = SystemClock.monotonic_ns()
    some = [pool.acquire() for _ in range(_PART)]
    for item in some:
        pool.release(item)
    return (SystemClock.monotonic_ns() - began_ns) / _PART
