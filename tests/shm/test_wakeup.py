from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import trio
import trio.testing

from aegis.market.records import TICK
from aegis.shm import ADAPTIVE, BLOCK, RUNG, SPIN, YIELD, Policy, Ring, Waiting
from aegis.shm.wakeup import Bell, SpinBudget


@pytest.fixture
def bell_fd() -> int:
    return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)


@pytest.mark.parametrize(
    "waiting",
    [SPIN, YIELD, BLOCK, ADAPTIVE, RUNG],
    ids=["spin", "yield", "block", "adaptive", "rung"],
)
def test_every_way_of_waiting_finds_records(waiting: Waiting) -> None:
    """Whatever a reader does while it waits, it gets every record and comes to the end."""
    with Ring.create(TICK, 64) as ring, ring.reader("r", waiting=waiting) as reader:
        out = np.empty(64, TICK)
        with ring.writer() as writer:
            assert reader.wait_blocking(0.0) == 0
            for number in range(10):
                writer.write(number, 0, 0.0, 0.0, 0.0, 0.0)
                assert reader.wait_blocking() == 1
                assert reader.read_into(out) == 1
                assert out["event_ns"][0] == number
            writer.finish()
            assert reader.wait_blocking(0.0) == 0
            assert reader.finished


def test_sleeping_thread_is_woken() -> None:
    """A record that another thread writes ends a sleep in the kernel."""
    with (
        Ring.create(TICK, 64) as ring,
        ring.reader("r", waiting=BLOCK) as reader,
        ring.writer() as writer,
    ):
        found: list[int] = []

        def sleep() -> None:
            while not (count := reader.wait_blocking(10.0)):
                pass
            found.append(count)

        thread = threading.Thread(target=sleep)
        thread.start()
        writer.write(1, 0, 0.0, 0.0, 0.0, 0.0)
        thread.join(timeout=5.0)
        assert found == [1]


@pytest.mark.parametrize("waiting", [BLOCK, RUNG], ids=["block", "rung"])
async def test_sleeping_task_is_woken_by_a_thread(waiting: Waiting) -> None:
    """Each record that a thread writes wakes the task, however often it has slept."""
    with (
        Ring.create(TICK, 64) as ring,
        ring.reader("r", policy=Policy.GATE, waiting=waiting) as reader,
        ring.writer() as writer,
    ):
        out = np.empty(64, TICK)
        found: list[int] = []

        async def read() -> None:
            while len(found) < 5:
                await reader.wait()
                found.extend(out["event_ns"][: reader.read_into(out)].tolist())

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                for number in range(5):
                    await trio.testing.wait_all_tasks_blocked()
                    await trio.to_thread.run_sync(writer.write, number, 0, 0.0, 0.0, 0.0, 0.0)
    assert found == [0, 1, 2, 3, 4]


def test_spin_rests_longer_after_each_failure() -> None:
    """A spin in vain is followed by 1, 2, 4... sleeps without one; one that pays starts that anew."""
    budget = SpinBudget(ADAPTIVE)

    def sleeps_until_next_spin(*, paid: bool) -> int:
        assert budget.spins == ADAPTIVE.spins
        budget.found_nothing(paid=paid)
        sleeps = 0
        while not budget.spins:
            budget.found_nothing(paid=False)
            sleeps += 1
        return sleeps

    assert [sleeps_until_next_spin(paid=False) for _ in range(13)] == [
        *(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024)
    ]
    assert [sleeps_until_next_spin(paid=paid) for paid in (True, False, True)] == [1, 2, 1]


def test_plain_spin_never_rests() -> None:
    """A reader that owns its core spins every time."""
    budget = SpinBudget(SPIN)
    budget.found_nothing(paid=False)
    assert budget.spins == SPIN.spins


def test_bell_is_silent_after_it_was_heard(bell_fd: int) -> None:
    """Several rings are heard as one, and then it can be made quiet."""
    bell = Bell(bell_fd)
    bell.ring()
    bell.ring()
    bell.listen(5.0)
    bell.silence()
    bell.silence()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(bell_fd)
    os.close(bell_fd)


async def test_bell_is_heard_in_trio(bell_fd: int) -> None:
    """A task sleeps on the descriptor, and can make it quiet."""
    bell = Bell(bell_fd)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bell.listen_async)
        await trio.testing.wait_all_tasks_blocked()
        bell.ring()
    bell.silence()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(bell_fd)
    os.close(bell_fd)


async def test_waiting_without_descriptors_polls() -> None:
    """A ring that was opened by name has no eventfds, and still finds its records."""
    with Ring.create(TICK, 64) as ring, ring.writer() as writer:
        other = Ring.attach(TICK, fd=os.dup(ring.fd))
        with other, other.reader("r") as reader:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reader.wait)
                await trio.testing.wait_all_tasks_blocked()
                writer.write(1, 0, 0.0, 0.0, 0.0, 0.0)
            assert reader.poll() == 1


async def test_wait_can_be_cancelled() -> None:
    """A cancelled wait leaves the reader as it was; the next one finds the record."""
    with Ring.create(TICK, 64) as ring, ring.writer() as writer, ring.reader("r") as reader:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        writer.write(1, 0, 0.0, 0.0, 0.0, 0.0)
        assert await reader.wait() == 1
