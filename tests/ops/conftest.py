from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command

from aegis.actors.latency import LatencyReport
from aegis.ops.verify.facts import Allocations, Load


@pytest.fixture
def good_load() -> Load:
    """An engine under load that keeps all its promises."""
    return Load(
        symbols=300,
        offered_a_second=105_000,
        seconds=10.0,
        ticks=1_040_000,
        lost=0,
        pids={"main": 10, "feed": 11, "exchange": 12},
        alive=frozenset({10, 11, 12}),
        loop_thread=10,
        structure_thread=17,
        allocations=Allocations(ticks=1_040_000, blocks=300_000, collections=0, idle_collections=9),
        signals=400,
        orders=90,
        reconciled=True,
        tick_to_signal_us=LatencyReport(p50=90, p99=800, max=2_000),
        tick_to_order_us=LatencyReport(p50=900, p99=4_000, max=9_000),
        hops_us={"judged": LatencyReport(p50=60, p99=200, max=300)},
    )


@pytest.fixture
def no_segment_is_left() -> Iterator[None]:
    """Nothing of ours has a name in the system afterwards that had none before."""
    before = set(Path("/dev/shm").glob("aegis*"))
    yield
    assert set(Path("/dev/shm").glob("aegis*")) <= before


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)
