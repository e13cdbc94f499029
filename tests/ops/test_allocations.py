from __future__ import annotations

import threading

import pytest

from aegis.errors import Broken
from aegis.ops.allocations import AllocationCounter


class Thing:
    """An object of no free list."""

    __slots__ = ("field",)


def test_counter_sees_every_object_that_is_made() -> None:
    """Objects that are kept and objects that die at once are counted alike."""
    with AllocationCounter() as kept:
        things = [Thing() for _ in range(1_000)]
    with AllocationCounter() as dropped:
        for _ in range(1_000):
            Thing()
    assert len(things) == 1_000
    assert kept.blocks >= 1_000
    assert dropped.blocks >= 1_000


def test_counter_sees_nothing_where_nothing_is_made() -> None:
    """A loop over what is there asks for next to nothing."""
    things = [Thing()] * 1_000
    with AllocationCounter() as counter:
        for _ in things:
            pass
    assert counter.blocks < 50


def test_counter_ends_with_its_block() -> None:
    """What comes later is not counted, and the objects made meanwhile live on and die as ever."""
    with AllocationCounter() as counter:
        things = [Thing() for _ in range(100)]
    counted = counter.blocks
    things += [Thing() for _ in range(1_000)]
    del things
    assert counter.blocks == counted


def test_counter_counts_all_threads() -> None:
    """Whichever thread makes an object."""

    def make() -> None:
        for _ in range(1_000):
            Thing()

    threads = [threading.Thread(target=make) for _ in range(3)]
    with AllocationCounter() as counter:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counter.blocks >= 3_000


def test_counter_within_a_counter_is_refused() -> None:
    """Two would restore each other's allocator in the wrong order."""
    with AllocationCounter(), pytest.raises(Broken), AllocationCounter():
        pass
