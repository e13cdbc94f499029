"""What is timed under load is timed before allocations are counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aegis.ops.verify.load import LoadWatch


def report(ticks: int) -> Any:
    """As much of an engine's report as the watch looks at."""
    counts = {"ticks": ticks, "gaps": 0, "marks": 0}
    return SimpleNamespace(
        brain=SimpleNamespace(counts=counts), garbage=SimpleNamespace(busy=(0,), idle=(0,))
    )


def test_load_is_timed_first_and_its_allocations_are_counted_afterwards() -> None:
    """Two seconds to get warm; then what is timed; then, with another second to begin, what is counted."""
    reports = [report(number * 1000) for number in range(12)]
    with LoadWatch(timed_s=7.0) as watch:
        for number, each in enumerate(reports):
            watch.show(each, number + 0.1)
            kept = [object() for _ in range(100)]
            assert len(kept) == 100
    assert watch.warm is not None
    assert watch.timed is not None
    assert (watch.warm.ticks, watch.timed.ticks) == (2000, 6000)
    assert watch.report is reports[6]
    assert watch.timed.blocks == 0
    assert watch.counting is not None
    assert watch.counted is not None
    assert (watch.counting.ticks, watch.counted.ticks) == (7000, 11_000)
    assert watch.counted.blocks - watch.counting.blocks >= 300


def test_a_load_that_was_too_short_has_not_been_counted() -> None:
    """It is for the caller to say so."""
    with LoadWatch(timed_s=7.0) as watch:
        for number in range(8):
            watch.show(report(number), number + 0.1)
    assert watch.counting is not None
    assert watch.counted is None
