"""What can be seen of a running system."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from aegis.kernel import Actor, Latency, Priority, Restart, message, on
from aegis.kernel.kit import open_kit
from aegis.kernel.stats import BUCKETS


@message(Priority.EXECUTION)
class Work:
    seconds: float


@message(Priority.EXECUTION)
class Crash:
    pass


class Worker(Actor):
    async def started(self) -> None:
        self.ctx.every("beat", 100.0, Work(0))

    @on(Work)
    async def work(self, work: Work) -> None:
        await trio.sleep(work.seconds)

    @on(Crash)
    async def crash(self, crash: Crash) -> None:
        raise ValueError


def latency(durations_ns: list[int]) -> Latency:
    """The histogram of some durations."""
    counts = [0] * BUCKETS
    for duration_ns in durations_ns:
        counts[duration_ns.bit_length()] += 1
    return Latency.of(counts)


@given(
    durations_ns=st.lists(st.integers(0, 2**63), min_size=1),
    share=st.floats(0, 1),
)
def test_latency_percentile_is_right_to_a_factor_of_two(
    durations_ns: list[int], share: float
) -> None:
    """A percentile is not below the true one, and less than twice as much."""
    ordered = sorted(durations_ns)
    rank = max(1, -(-share * len(ordered) // 1))
    true_ns = ordered[int(rank) - 1]
    found_ns = latency(durations_ns).percentile_ns(share)
    assert true_ns <= found_ns <= max(2 * true_ns - 1, 0) or true_ns == found_ns


def test_latency_adds_up() -> None:
    """Histograms of several actors can be added; an empty one says 0."""
    assert latency([1, 2]) + latency([1000]) == latency([1, 2, 1000])
    assert (latency([1, 2]).count, latency([]).percentile_ns(0.99)) == (2, 0)


@pytest.mark.trio
async def test_stats_measure_queue_and_handler(mock_clock: MockClock) -> None:
    """The two histograms tell how long messages waited and how long they took."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker)
        for _ in range(4):
            worker.tell(Work(1.0))
        await kit.advance(10)
        stats = worker.stats()
        second = (1_000_000_000).bit_length()
        assert stats.handler.counts[second] == 4
        # The first waited 0 s, the others 1, 2 and 3 s, of which the last two share a bucket.
        assert stats.queue.counts[0] == 1
        assert stats.queue.counts[second : second + 3] == (1, 1, 1)
        assert stats.peak[Priority.EXECUTION] == 4


@pytest.mark.trio
async def test_system_stats_cover_the_living_and_the_dead(mock_clock: MockClock) -> None:
    """Restarts and dead letters of actors that have ended still count."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, name="w", policy=Restart())
        worker.tell(Crash())
        await kit.advance(1)
        stats = kit.system.stats()
        assert [(actor.name, actor.restarts) for actor in stats.actors] == [("w", 1)]
        assert (stats.restarts, stats.dead_letters, stats.timers) == (1, 0, 1)
        await worker.stop()
        worker.tell(Crash())
        stats = kit.system.stats()
        assert stats.actors == ()
        assert (stats.restarts, stats.dead_letters, stats.timers) == (1, 1, 0)


@pytest.mark.trio
async def test_tree_shows_states(mock_clock: MockClock) -> None:
    """The tree says who waits for a restart, and how often each was restarted."""
    async with open_kit("sys") as kit:
        group = await kit.system.group("workers")
        worker = await group.spawn(Worker, name="w", policy=Restart(backoff=5))
        assert kit.system.tree() == "sys\n└── workers (one for one)\n    └── w (running)"
        worker.tell(Crash())
        await kit.settle()
        assert "w (waiting, restarted 1 times)" in kit.system.tree()
        await kit.advance(5)
        assert "w (running, restarted 1 times)" in kit.system.tree()
