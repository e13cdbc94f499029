"""The dispatcher: urgency, and that everything about a job reaches the one who submits it."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from aegis.errors import Refused, Unavailable
from aegis.kernel import Priority
from aegis.kernel.dispatcher import Dispatcher, get_dispatcher

pytestmark = pytest.mark.trio


class Work:
    """Jobs that run until they are told to end, and the order in which they began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = trio.Event()

    async def job(self, name: str) -> str:
        """Begin, wait, and return."""
        self.begun.append(name)
        await self.may_end.wait()
        return name


async def test_dispatcher_runs_the_most_urgent_first() -> None:
    """Queued jobs begin in the order of urgency, and equally urgent ones as they came."""
    dispatcher = Dispatcher(workers=1)
    work = Work()
    async with trio.open_nursery() as nursery:
        for name, priority in [
            ("first", Priority.BACKGROUND),
            ("background", Priority.BACKGROUND),
            ("ingest", Priority.INGEST),
            ("execution 1", Priority.EXECUTION),
            ("execution 2", Priority.EXECUTION),
            ("system", Priority.SYSTEM),
        ]:
            nursery.start_soon(dispatcher.submit, priority, work.job, name)
            await wait_all_tasks_blocked()
        assert (dispatcher.running, dispatcher.queued) == (1, 5)
        work.may_end.set()
    assert work.begun == [
        "first",
        "system",
        "execution 1",
        "execution 2",
        "ingest",
        "background",
    ]
    assert (dispatcher.running, dispatcher.queued) == (0, 0)


async def test_dispatcher_never_delays_while_a_worker_is_free() -> None:
    """A job of any priority begins at once beside running ones when a worker is free."""
    dispatcher = Dispatcher(workers=2)
    work = Work()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.submit, Priority.BACKGROUND, work.job, "low")
        await wait_all_tasks_blocked()
        nursery.start_soon(dispatcher.submit, Priority.EXECUTION, work.job, "high")
        await wait_all_tasks_blocked()
        assert work.begun == ["low", "high"]
        work.may_end.set()


async def test_dispatcher_returns_results_and_raises_exceptions() -> None:
    """What a job returns or raises is what `submit` returns or raises; the worker is free again."""

    async def fail() -> None:
        raise LookupError("mine")

    dispatcher = Dispatcher(workers=1)
    work = Work()
    work.may_end.set()
    assert await dispatcher.submit(Priority.INGEST, work.job, "a") == "a"
    with pytest.raises(LookupError, match="mine"):
        await dispatcher.submit(Priority.INGEST, fail)
    assert dispatcher.running == 0


async def test_dispatcher_passes_cancellation_on() -> None:
    """Cancelling the one who submits takes a queued job out of the queue, and ends a running one."""
    dispatcher = Dispatcher(workers=1)
    work = Work()
    scopes: list[trio.CancelScope] = []

    async def submit(name: str) -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await dispatcher.submit(Priority.INGEST, work.job, name)

    async with trio.open_nursery() as nursery:
        for name in ("running", "queued", "last"):
            nursery.start_soon(submit, name)
            await wait_all_tasks_blocked()
        scopes[1].cancel()
        await wait_all_tasks_blocked()
        assert (dispatcher.running, dispatcher.queued) == (1, 1)
        scopes[0].cancel()
        await wait_all_tasks_blocked()
        assert work.begun == ["running", "last"]
        work.may_end.set()


async def test_dispatcher_runs_cpu_bound_work_in_threads() -> None:
    """Four functions run at once, in threads, and a fifth only when one of them has ended."""
    dispatcher = Dispatcher()
    barrier = threading.Barrier(5)
    may_end = threading.Event()
    begun: list[str] = []

    def compute(name: str) -> None:
        begun.append(name)
        assert threading.current_thread() is not threading.main_thread()
        if name != "fifth":
            barrier.wait()
            may_end.wait()

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(dispatcher.submit_cpu_bound, compute, f"first {number}")
        await trio.to_thread.run_sync(barrier.wait)
        nursery.start_soon(dispatcher.submit_cpu_bound, compute, "fifth")
        await wait_all_tasks_blocked()
        assert (dispatcher.running, dispatcher.queued, len(begun)) == (4, 1, 4)
        may_end.set()
    assert begun[4:] == ["fifth"]


async def test_dispatcher_takes_cpu_bound_work_by_urgency() -> None:
    """The most urgent function gets the next thread; one whose caller was cancelled meanwhile gets none."""
    dispatcher = Dispatcher(threads=1)
    may_end = threading.Event()
    begun: list[str] = []
    given_up = trio.CancelScope()

    async def submit_and_give_up() -> None:
        with given_up:
            await dispatcher.submit_cpu_bound(begun.append, "given up", priority=Priority.SYSTEM)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(dispatcher.submit_cpu_bound, may_end.wait))
        await wait_all_tasks_blocked()
        nursery.start_soon(submit_and_give_up)
        for priority in (Priority.BACKGROUND, Priority.EXECUTION, Priority.INGEST):
            job = partial(
                dispatcher.submit_cpu_bound, begun.append, priority.name, priority=priority
            )
            nursery.start_soon(job)
        await wait_all_tasks_blocked()
        given_up.cancel()
        await wait_all_tasks_blocked()
        may_end.set()
    assert begun == ["EXECUTION", "INGEST", "BACKGROUND"]


async def test_dispatcher_raises_what_a_thread_raised() -> None:
    """An exception in a thread is the caller's, and the thread is free again."""
    dispatcher = Dispatcher(threads=1)
    with pytest.raises(ValueError, match="invalid literal"):
        await dispatcher.submit_cpu_bound(int, "x")
    assert await dispatcher.submit_cpu_bound(int, "7") == 7


async def test_dispatcher_runs_inline_on_virtual_time(mock_clock: MockClock) -> None:
    """Where time is virtual there are no threads that it could run past."""
    assert await Dispatcher().submit_cpu_bound(threading.current_thread) is threading.main_thread()


async def test_dispatcher_close_drains() -> None:
    """Closed with draining, it runs what is queued, takes nothing more, and then is idle."""
    dispatcher = Dispatcher(workers=1)
    work = Work()
    async with trio.open_nursery() as nursery:
        for name in "ab":
            nursery.start_soon(dispatcher.submit, Priority.INGEST, work.job, name)
        await wait_all_tasks_blocked()

        async def close() -> None:
            await dispatcher.close(drain=True)
            assert sorted(work.begun) == ["a", "b"]
            assert dispatcher.running == 0

        nursery.start_soon(close)
        await wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match="closed"):
            await dispatcher.submit(Priority.SYSTEM, work.job, "late")
        work.may_end.set()


async def test_dispatcher_close_turns_away() -> None:
    """Closed without draining, what is queued fails in those who submitted it; what runs ends."""
    dispatcher = Dispatcher(workers=1)
    work = Work()
    turned_away: list[str] = []

    async def submit(name: str) -> None:
        try:
            await dispatcher.submit(Priority.INGEST, work.job, name)
        except Unavailable:
            turned_away.append(name)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(submit, name)
            await wait_all_tasks_blocked()
        nursery.start_soon(lambda: dispatcher.close(drain=False))
        await wait_all_tasks_blocked()
        assert sorted(turned_away) == ["b", "c"]
        work.may_end.set()
    assert work.begun == ["a"]


async def test_dispatcher_of_a_run() -> None:
    """There is one for each Trio run, and another run has its own."""

    async def own() -> Dispatcher:
        return get_dispatcher()

    assert get_dispatcher() is get_dispatcher()
    assert await trio.to_thread.run_sync(trio.run, own) is not get_dispatcher()


@pytest.mark.parametrize(("workers", "threads"), [(0, 1), (1, 0)])
async def test_dispatcher_without_workers(workers: int, threads: int) -> None:
    """A dispatcher that could never run anything is refused."""
    with pytest.raises((Refused, ValueError)):
        Dispatcher(workers=workers, threads=threads)


@given(
    jobs=st.lists(st.tuples(st.sampled_from(Priority), st.integers(0, 3)), max_size=20),
    workers=st.integers(1, 4),
)
@settings(deadline=None)
async def test_dispatcher_order(jobs: list[tuple[Priority, int]], workers: int) -> None:
    """Jobs are begun by priority and then by age, never too many at once, and none waits while a worker is free."""
    dispatcher = Dispatcher(workers=workers)
    all_are_queued = trio.Event()
    begun: list[int] = []

    async def job(number: int, steps: int) -> None:
        begun.append(number)
        for _ in range(steps):
            assert dispatcher.running == workers or dispatcher.queued == 0
            assert dispatcher.running <= workers
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(dispatcher.submit, Priority.BACKGROUND, all_are_queued.wait)
            await wait_all_tasks_blocked()
        for number, (priority, steps) in enumerate(jobs):
            nursery.start_soon(dispatcher.submit, priority, job, number, steps)
            await wait_all_tasks_blocked()
        assert (dispatcher.running, dispatcher.queued) == (workers, len(jobs))
        all_are_queued.set()
    due = sorted(range(len(jobs)), key=lambda number: jobs[number][0])
    assert sorted(begun) == sorted(due)
    # Workers that are handed over in one pass of the loop begin in the order of Trio's choice.
    assert all(abs(begun.index(number) - rank) < workers for rank, number in enumerate(due))
    assert (dispatcher.running, dispatcher.queued) == (0, 0)
