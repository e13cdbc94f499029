"""The lines of the report: a figure, its bound and where that comes from, and whether it holds. Pure.

The bounds are what a shared machine of two cores must keep, noise included, not what a quiet one reaches: for that
there is `bench/`. What could not be measured has failed.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from aegis.ops.verify.facts import (
    Allocations,
    Ending,
    Load,
    LoopShare,
    Orders,
    PoolUse,
    RingHop,
)

__all__ = [
    "Line",
    "ending",
    "engine_allocations",
    "loop_lateness",
    "path_allocations",
    "pools",
    "priority_order",
    "processes",
    "ring_hop",
    "structure_thread",
    "throughput",
    "tick_to_order",
    "tick_to_signal",
    "unmeasured",
]

_SEEDS: Final = "what the seeds ask for"
TICKS_A_SECOND: Final = 100_000
SYMBOLS: Final = 300
ORDER_P99_US: Final = 15_000
RING_P50_US: Final = 5.0
RING_P99_US: Final = 100.0
LATE_P99_US: Final = 5_000.0
SIGNAL_P50_US: Final = 1_000
SIGNAL_P99_US: Final = 10_000
ORDER_P50_US: Final = 7_500
POOL_RATIO: Final = 3.0
PATH_BLOCKS: Final = 0.2
ENGINE_BLOCKS: Final = 1.5


@attrs.frozen
class Line:
    """One promise."""

    name: str
    figure: str
    bound: str
    source: str
    holds: bool
    values: dict[str, Any] = attrs.Factory(dict)
    """The figures as numbers, for programs."""


def unmeasured(name: str, why: str) -> Line:
    """A promise that could not be looked at has not been kept."""
    return Line(name, f"not measured: {why}", "measured", "a line is never left out", holds=False)


def processes(load: Load) -> Line:
    """Feed and Brain live in processes of their own."""
    living = {name: pid for name, pid in load.pids.items() if pid in load.alive}
    apart = "main" in living and "feed" in living and len(set(living.values())) == len(living)
    return Line(
        "processes",
        ", ".join(f"{name} {pid}" for name, pid in living.items()) or "none",
        "main and feed, two at least",
        _SEEDS,
        holds=apart,
        values={"pids": living},
    )


def structure_thread(load: Load) -> Line:
    """Structure is computed beside the loop."""
    loop, structure = load.loop_thread, load.structure_thread
    return Line(
        "structure's thread",
        f"{structure or 'none'}, the loop's is {loop}",
        "another than the loop's",
        _SEEDS,
        holds=structure not in {0, loop},
        values={"loop": loop, "structure": structure},
    )


def priority_order(what: str, orders: Orders) -> Line:
    """What is urgent overtakes what waits."""
    in_order = list(orders.ran) == sorted(orders.ran)
    all_ran = len(orders.ran) == orders.submitted > 0
    ran = " ".join(str(int(priority)) for priority in dict.fromkeys(orders.ran))
    return Line(
        f"priority order, {what}",
        f"{len(orders.ran)} of {orders.submitted} ran, priorities {ran}",
        "all, the most urgent first",
        _SEEDS,
        holds=in_order and all_ran,
        values={"submitted": orders.submitted, "ran": [int(each) for each in orders.ran]},
    )


def ring_hop(hop: RingHop) -> Line:
    """A record crosses between two processes in microseconds, and none is lost."""
    whole = hop.lost == 0 and hop.in_order and hop.received == hop.sent > 0 and hop.calm > 0
    return Line(
        "ring, write to read",
        f"p50 {hop.p50_us:.2f} us, p99 {hop.p99_us:.2f} us in the {hop.calm:.0%} that were undisturbed;"
        f" {hop.received:,} of {hop.sent:,} records",
        f"p50 ≤ {RING_P50_US:g} us, p99 ≤ {RING_P99_US:g} us, none lost",
        "microseconds, as the seeds ask; ten times what bench/ring aims at",
        holds=whole and hop.p50_us <= RING_P50_US and hop.p99_us <= RING_P99_US,
        values=attrs.asdict(hop),
    )


def loop_lateness(share: LoopShare) -> Line:
    """The loop stays free while the Brain has more to do than it can."""
    ours, blocking = share.ours, share.blocking
    measured = ours.samples > 0 and blocking.samples > 0 and share.ticks_a_second > 0
    return Line(
        "loop lateness, Brain saturated",
        f"p50 {ours.p50_us:.0f} us, p99 {ours.p99_us:.0f} us at {share.ticks_a_second:,.0f} ticks/s;"
        f" awaited on the loop p50 {blocking.p50_us:.0f} us, p99 {blocking.p99_us:.0f} us",
        f"p99 ≤ {LATE_P99_US:g} us, and below the blocking form's",
        "a third of the seeds' 15 ms from tick to order",
        holds=measured and ours.p99_us <= LATE_P99_US and ours.p99_us < blocking.p99_us,
        values=attrs.asdict(share),
    )


def throughput(load: Load) -> Line:
    """The market's pace is kept, and nothing is lost."""
    rate = load.ticks / load.seconds if load.seconds else 0.0
    return Line(
        "ticks sustained",
        f"{rate:,.0f}/s over {load.symbols} symbols for {load.seconds:.0f} s, {load.lost} lost",
        f"≥ {TICKS_A_SECOND:,}/s over {SYMBOLS}, none lost",
        _SEEDS,
        holds=rate >= TICKS_A_SECOND and load.symbols >= SYMBOLS and load.lost == 0,
        values={"ticks_a_second": rate, "ticks": load.ticks, "lost": load.lost},
    )


def path_allocations(allocations: Allocations) -> Line:
    """A tick costs no Python object on its way through ring and step."""
    return _allocations(
        "objects a tick, ring and step",
        allocations,
        PATH_BLOCKS,
        "no object a tick; a call has some, and serves 100 ticks",
    )


def engine_allocations(load: Load) -> Line:
    """Neither does the whole main process allocate by the tick, with its orders, its journal and its figures."""
    return _allocations(
        "objects a tick, main process",
        load.allocations,
        ENGINE_BLOCKS,
        "wake-ups, orders and figures, shared by the ticks of a millisecond",
    )


def _allocations(name: str, allocations: Allocations, blocks_max: float, source: str) -> Line:
    ticks = allocations.ticks
    blocks = allocations.blocks / ticks if ticks else 0.0
    return Line(
        name,
        f"{blocks:.3f} in {ticks:,} ticks; {allocations.collections} collections while something"
        f" waited, {allocations.idle_collections} while nothing did",
        f"≤ {blocks_max:g}; none while something waits",
        source,
        holds=ticks > 0 and blocks <= blocks_max and allocations.collections == 0,
        values={"blocks_a_tick": blocks, **attrs.asdict(allocations)},
    )


def pools(name: str, use: PoolUse) -> Line:
    """A pool lends all it has, gets all of it back, and an object costs the same first and last."""
    ratio = use.last_ns / use.first_ns if use.first_ns else float("inf")
    whole = use.lent == use.size == use.free_after > 0 and use.grown == 0
    return Line(
        f"pool, {name}",
        f"{use.lent:,} lent, {use.free_after:,} back; {use.first_ns:.0f} ns first,"
        f" {use.last_ns:.0f} ns last",
        f"all {use.size:,} back, last ≤ {POOL_RATIO:g} x first",
        f"O(1), {_SEEDS}",
        holds=whole and ratio <= POOL_RATIO,
        values=attrs.asdict(use),
    )


def tick_to_signal(load: Load) -> Line:
    """From the bytes of a tick to the signal that it caused."""
    latency = load.tick_to_signal_us
    return Line(
        "tick to signal",
        f"p50 {latency.p50:,} us, p99 {latency.p99:,} us of {load.signals:,} signals",
        f"p50 ≤ {SIGNAL_P50_US:,} us, p99 ≤ {SIGNAL_P99_US:,} us",
        "bench/end_to_end aims at 200 us and 1 ms",
        holds=load.signals > 0 and latency.p50 <= SIGNAL_P50_US and latency.p99 <= SIGNAL_P99_US,
        values=attrs.asdict(latency),
    )


def tick_to_order(load: Load) -> Line:
    """From the bytes of a tick to those of its order, the intent on disk in between."""
    latency = load.tick_to_order_us
    hops = ", ".join(f"{hop} {each.p50:,}/{each.p99:,}" for hop, each in load.hops_us.items())
    return Line(
        "tick to order on the wire",
        f"p50 {latency.p50:,} us, p99 {latency.p99:,} us of {load.orders:,} orders; hops: {hops}",
        f"p50 ≤ {ORDER_P50_US:,} us, p99 ≤ {ORDER_P99_US:,} us",
        f"15 ms, {_SEEDS}, and half of it; bench/end_to_end aims at 1 ms and 5 ms",
        holds=load.orders > 0
        and load.reconciled
        and latency.p50 <= ORDER_P50_US
        and latency.p99 <= ORDER_P99_US,
        values={
            **attrs.asdict(latency),
            "reconciled": load.reconciled,
            "hops": {hop: attrs.asdict(each) for hop, each in load.hops_us.items()},
        },
    )


def ending(left: Ending) -> Line:
    """Whatever ends a run, nothing of it stays."""
    return Line(
        f"nothing left after {left.how}",
        f"{left.processes} processes, {left.segments} segments after {left.seconds:.1f} s"
        + ("" if left.ended else ", the run still there"),
        "0 and 0, the run over",
        "structured all the way down: ARCHITECTURE.md",
        holds=left.ended and left.processes == 0 and left.segments == 0,
        values=attrs.asdict(left),
    )
