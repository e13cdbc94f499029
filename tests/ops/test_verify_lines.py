"""The lines of the execution report: each holds when its promise does, and fails when it does not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from aegis.actors.latency import LatencyReport
from aegis.kernel import Priority
from aegis.ops.verify import lines
from aegis.ops.verify.facts import (
    Allocations,
    Ending,
    Lateness,
    Load,
    LoopShare,
    Orders,
    PoolUse,
    RingHop,
)

GOOD_HOP = RingHop(
    writer_pid=11, sent=100, received=100, lost=0, in_order=True, calm=0.9, p50_us=0.6, p99_us=2.0
)
LATE = Lateness(samples=1000, p50_us=80.0, p99_us=900.0, max_us=3_000.0)
BLOCKED = Lateness(samples=300, p50_us=9_000.0, p99_us=16_000.0, max_us=20_000.0)
GOOD_SHARE = LoopShare(1e6, LATE, BLOCKED, 9e5)
GOOD_POOL = PoolUse(
    size=10_000, lent=10_000, free_after=10_000, grown=0, first_ns=150.0, last_ns=160.0
)
GOOD_PATH = Allocations(ticks=200_000, blocks=10_000, collections=0)
GOOD_ENDING = Ending("SIGINT", processes=0, segments=0, ended=True, seconds=1.2)
GOOD_ORDERS = Orders(3, (Priority.SYSTEM, Priority.EXECUTION, Priority.INGEST))


def test_lines_hold_for_an_engine_that_keeps_its_promises(good_load: Load) -> None:
    """What is promised and measured passes, with its figure and its bound in words."""
    found = [
        lines.processes(good_load),
        lines.structure_thread(good_load),
        lines.priority_order("mailbox", GOOD_ORDERS),
        lines.ring_hop(GOOD_HOP),
        lines.loop_lateness(GOOD_SHARE),
        lines.throughput(good_load),
        lines.path_allocations(GOOD_PATH),
        lines.engine_allocations(good_load),
        lines.pools("candles", GOOD_POOL),
        lines.tick_to_signal(good_load),
        lines.tick_to_order(good_load),
        lines.ending(GOOD_ENDING),
    ]
    assert [line.name for line in found if not line.holds] == []
    assert all(line.figure and line.bound and line.source for line in found)
    assert len({line.name for line in found}) == len(found)


@pytest.mark.parametrize(
    ("judge", "change"),
    [
        (lines.processes, {"pids": {"main": 10, "feed": 10}}),
        (lines.processes, {"alive": frozenset({10})}),
        (lines.structure_thread, {"structure_thread": 10}),
        (lines.structure_thread, {"structure_thread": 0}),
        (lines.throughput, {"ticks": 900_000}),
        (lines.throughput, {"lost": 1}),
        (lines.throughput, {"symbols": 299}),
        (lines.throughput, {"seconds": 0.0}),
        (lines.engine_allocations, {"allocations": Allocations(1000, 5000, 0)}),
        (lines.engine_allocations, {"allocations": Allocations(1_000_000, 10, 1)}),
        (lines.engine_allocations, {"allocations": Allocations(0, 0, 0)}),
        (lines.tick_to_signal, {"tick_to_signal_us": LatencyReport(2_000, 3_000, 3_000)}),
        (lines.tick_to_signal, {"tick_to_signal_us": LatencyReport(90, 11_000, 12_000)}),
        (lines.tick_to_signal, {"signals": 0}),
        (lines.tick_to_order, {"tick_to_order_us": LatencyReport(900, 15_001, 16_000)}),
        (lines.tick_to_order, {"orders": 0}),
        (lines.tick_to_order, {"reconciled": False}),
    ],
)
def test_lines_of_the_load_fail_one_by_one(
    good_load: Load, judge: Any, change: dict[str, Any]
) -> None:
    """Each promise of the engine under load has its own line to fail."""
    assert not judge(attrs.evolve(good_load, **change)).holds


@pytest.mark.parametrize(
    "change",
    [
        {"lost": 1},
        {"received": 99},
        {"in_order": False},
        {"p50_us": 6.0},
        {"p99_us": 101.0},
        {"calm": 0.0},
        {"sent": 0, "received": 0},
    ],
)
def test_ring_line_fails(change: dict[str, Any]) -> None:
    """A ring that loses, mixes up or dawdles fails, and so does one that was never watched undisturbed."""
    assert not lines.ring_hop(attrs.evolve(GOOD_HOP, **change)).holds


@pytest.mark.parametrize(
    "change",
    [
        {"ours": attrs.evolve(LATE, p99_us=5_001.0)},
        {"blocking": attrs.evolve(BLOCKED, p99_us=800.0)},
        {"ours": attrs.evolve(LATE, samples=0)},
        {"ticks_a_second": 0.0},
    ],
)
def test_loop_line_fails(change: dict[str, Any]) -> None:
    """A loop that is late, or no freer than a blocked one, fails; so does a Brain that had nothing to do."""
    assert not lines.loop_lateness(attrs.evolve(GOOD_SHARE, **change)).holds


@pytest.mark.parametrize(
    "orders",
    [
        Orders(2, (Priority.INGEST, Priority.EXECUTION)),
        Orders(3, (Priority.EXECUTION, Priority.INGEST)),
        Orders(0, ()),
    ],
)
def test_priority_line_fails(orders: Orders) -> None:
    """A lower priority first, a job that never ran, or no job at all."""
    assert not lines.priority_order("dispatcher", orders).holds


@pytest.mark.parametrize(
    "change",
    [{"free_after": 9_999}, {"lent": 9_999}, {"grown": 1}, {"last_ns": 451.0}, {"first_ns": 0.0}],
)
def test_pool_line_fails(change: dict[str, Any]) -> None:
    """An object that did not come back, a pool that grew, a cost that depends on how many are lent."""
    assert not lines.pools("candles", attrs.evolve(GOOD_POOL, **change)).holds


@pytest.mark.parametrize("change", [{"processes": 1}, {"segments": 1}, {"ended": False}])
def test_ending_line_fails(change: dict[str, Any]) -> None:
    """A process, a segment, or the run itself that stays."""
    assert not lines.ending(attrs.evolve(GOOD_ENDING, **change)).holds


def test_unmeasured_line_fails() -> None:
    """What could not be measured is a line of its own, and has failed."""
    line = lines.unmeasured("ring", "no writer")
    assert (line.holds, line.figure) == (False, "not measured: no writer")
