from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import trio
import trio.testing

from aegis.actors.ear import Ear
from aegis.shm import Policy, Ring
from aegis.shm.entry_points import prepare
from aegis.shm.reader import Reader
from aegis.shm.wakeup import RUNG
from aegis.shm.writer import Writer

WORD = np.dtype([("number", np.int64)])
DELAY_S = 0.005
"""Until a thread writes: the loop has gone to sleep by then, if it can."""
PATIENCE_S = 20.0

prepare(WORD)


class Stage:
    """An ear, what it has taken, and who writes to it."""

    def __init__(self, writer: Writer, reader: Reader, at_once: int) -> None:
        self.taken: list[int] = []
        self.took = trio.Event()
        self.fails_at = -1
        self._writer = writer
        self.ear = Ear(reader, np.empty(at_once, WORD), self._take)

    def finish(self) -> None:
        self._writer.finish()

    def write(self, *numbers: int) -> None:
        assert self._writer.write_batch(np.array([(n,) for n in numbers], WORD)) == len(numbers)

    def _take(self, records: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        for (number,) in records.tolist():
            if number == self.fails_at:
                raise ArithmeticError(number)
            self.taken.append(number)
        self.took.set()


@pytest.fixture
def stage() -> Iterator[Stage]:
    with (
        Ring.create(WORD, 64) as ring,
        ring.writer() as writer,
        ring.reader("ear", policy=Policy.GATE, waiting=RUNG) as reader,
    ):
        yield Stage(writer, reader, 4)


async def test_what_comes_during_a_step_is_taken_before_the_next_one(stage: Stage) -> None:
    """Of two tasks that are due together the second finds done what the first one's record asks for."""
    seen: list[int] = []

    async def write_one() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(len(stage.taken))
        stage.write(len(seen))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.ear.listen)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as both:
            both.start_soon(write_one)
            both.start_soon(write_one)
        nursery.cancel_scope.cancel()
    assert seen == [0, 1]
    assert stage.taken == [1, 2]


async def test_loop_that_sleeps_is_woken(stage: Stage) -> None:
    """By each record that another thread writes, when nothing else would make it look."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.ear.listen)
        for number in range(10):
            await trio.testing.wait_all_tasks_blocked()
            stage.took = trio.Event()
            writing = threading.Timer(DELAY_S, stage.write, [number])
            writing.start()
            with trio.fail_after(PATIENCE_S):
                await stage.took.wait()
            writing.join()
        nursery.cancel_scope.cancel()
    assert stage.taken == list(range(10))


async def test_what_fails_in_taking_ends_the_listening(stage: Stage) -> None:
    """The error comes out of it, and nothing is taken after that."""
    stage.fails_at = 2
    with pytest.RaisesGroup(ArithmeticError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.ear.listen)
            await trio.testing.wait_all_tasks_blocked()
            stage.write(1, 2, 3)
            await trio.lowlevel.checkpoint()
            stage.write(4)
            await trio.sleep_forever()
    assert stage.taken == [1]


async def test_what_fails_in_taking_comes_out_of_a_listening_that_is_cancelled(
    stage: Stage,
) -> None:
    """Also when somebody ends it in that very moment."""
    stage.fails_at = 1
    with pytest.RaisesGroup(ArithmeticError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.ear.listen)
            await trio.testing.wait_all_tasks_blocked()
            stage.write(1)
            nursery.cancel_scope.cancel()


async def test_nothing_is_taken_once_the_listening_is_over(stage: Stage) -> None:
    """The ring may be gone by then."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.ear.listen)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    stage.write(1)
    await trio.lowlevel.checkpoint()
    assert stage.taken == []


async def test_listening_ends_with_the_writer(stage: Stage) -> None:
    """When its last records are taken."""
    stage.write(1, 2, 3, 4, 5)
    stage.finish()
    with trio.fail_after(PATIENCE_S):
        await stage.ear.listen()
    assert stage.taken == [1, 2, 3, 4, 5]
