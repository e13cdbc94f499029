"""The dispatcher: work that is no actor, by priority, on a bounded number of workers and threads.

A job runs in the task that submits it, once a worker is free for it. So its result, its exception and its cancellation
need no way back to the caller: they are the caller's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio
from trio.lowlevel import (
    Abort,
    RunVar,
    Task,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from aegis.errors import Refused, Unavailable, check
from aegis.kernel.clock import ambient_clock, is_virtual
from aegis.kernel.cores import elsewhere
from aegis.kernel.message import Priority

__all__ = ["Dispatcher", "get_dispatcher"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_THREADS = 4
_WORKERS = 64


class Dispatcher:
    """Runs jobs, the most urgent first and equally urgent ones in the order in which they came.

    A running job is never interrupted for a more urgent one, and never delays one while a worker is free.

    Args:
        workers: how many `submit` jobs run at once.
        threads: how many `submit_cpu_bound` jobs run at once.
    """

    def __init__(self, *, workers: int = _WORKERS, threads: int = _THREADS) -> None:
        self._workers = _Workers(workers)
        self._threads = _Workers(threads)
        self._limiter = trio.CapacityLimiter(threads)

    async def submit(
        self, priority: Priority, function: Callable[[*Ts], Awaitable[R]], *args: *Ts
    ) -> R:
        """Run an async function when its turn comes; returns what it returns.

        Raises:
            Unavailable: when the dispatcher is closed, or is closed without draining while the job is queued.
        """
        await self._workers.acquire(priority)
        try:
            return await function(*args)
        finally:
            self._workers.release()

    async def submit_cpu_bound(
        self,
        function: Callable[[*Ts], R],
        *args: *Ts,
        priority: Priority = Priority.ANALYSIS,
    ) -> R:
        """Run a function in a thread when its turn comes; inline where time is virtual.

        A thread cannot be stopped: once it runs, cancellation waits for its end.

        Raises:
            Unavailable: as `submit`.
        """
        await self._threads.acquire(priority)
        try:
            if is_virtual(ambient_clock()):
                return function(*args)
            # It has a token for each worker, so the limiter, which knows no priorities, never queues.
            return await trio.to_thread.run_sync(elsewhere(function), *args, limiter=self._limiter)
        finally:
            self._threads.release()

    @property
    def queued(self) -> int:
        """Jobs that wait for a worker or a thread."""
        return self._workers.queued + self._threads.queued

    @property
    def running(self) -> int:
        """Jobs that run."""
        return self._workers.running + self._threads.running

    async def close(self, *, drain: bool) -> None:
        """Take no more jobs, and wait until those that run have ended.

        Args:
            drain: also run the jobs that are queued; otherwise they fail with `Unavailable`.
        """
        for workers in (self._workers, self._threads):
            workers.close(drain=drain)
        for workers in (self._workers, self._threads):
            await workers.idle.wait()


_dispatcher: RunVar[Dispatcher] = RunVar("aegis.kernel.dispatcher")


def get_dispatcher() -> Dispatcher:
    """The dispatcher of this Trio run, made at the first call."""
    try:
        return _dispatcher.get()
    except LookupError:
        dispatcher = Dispatcher()
        _dispatcher.set(dispatcher)
        return dispatcher


class _Workers:
    """A number of workers, and the tasks that wait for one."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise Refused(f"a dispatcher has at least one worker, not {count}")
        self.running = 0
        self.idle = trio.Event()
        self.idle.set()
        self._count = count
        self._is_open = True
        self._queues: list[deque[_Job]] = [deque() for _ in Priority]

    @property
    def queued(self) -> int:
        """Tasks that wait."""
        return sum(len(queue) for queue in self._queues)

    async def acquire(self, priority: Priority) -> None:
        """Wait for a worker."""
        await checkpoint_if_cancelled()
        if not self._is_open:
            raise Unavailable("the dispatcher is closed")
        if self.running == self._count:
            await self._queue_up(self._queues[priority])
            return
        if self.running == 0:
            self.idle = trio.Event()
        self.running += 1

    def release(self) -> None:
        """Hand the worker over to the most urgent task that waits, so that nobody comes in between."""
        check(0 < self.running <= self._count, "only a worker that runs is released")
        for queue in self._queues:
            if queue:
                reschedule(queue.popleft().task)
                return
        self.running -= 1
        if self.running == 0:
            self.idle.set()

    def close(self, *, drain: bool) -> None:
        """Take nobody more; without draining, turn away those who wait."""
        self._is_open = False
        if not drain:
            for queue in self._queues:
                for job in queue:
                    job.is_turned_away = True
                    reschedule(job.task)
                queue.clear()

    async def _queue_up(self, queue: deque[_Job]) -> None:
        job = _Job(current_task())
        queue.append(job)

        def abort(_: object) -> Abort:
            queue.remove(job)
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        if job.is_turned_away:
            raise Unavailable("the dispatcher was closed before the job's turn came")


class _Job:
    """A task that waits for a worker."""

    __slots__ = ("is_turned_away", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.is_turned_away = False
