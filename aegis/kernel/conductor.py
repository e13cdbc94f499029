"""The conductor: decides which task of a system takes the next step, so that a test repeats itself exactly.

Trio resumes tasks that are ready together in a random order, and tasks with equal deadlines in the order of memory
addresses. Neither can be chosen by public means. So each task of a conducted system runs inside a coroutine of ours
that stands between it and Trio: whenever Trio resumes it, it first queues up here. When all tasks of the run are
blocked the conductor lets exactly one go on, and Trio's shuffle has nothing to shuffle.

It conducts the tasks of the actors and those of `ctx.start_soon`. Tasks that an actor starts in a nursery of its own
are Trio's, and so is their order.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import Any, TypeVar, cast

import attrs
import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled
from trio.testing import (
    active_thread_count,
    wait_all_tasks_blocked,
)

from aegis.errors import check
from aegis.kernel.actor import Actor, Handler
from aegis.kernel.clock import seeded_random
from aegis.kernel.driver import Driver

__all__ = ["Conductor"]

# How often, in real seconds, to look whether a task that is not conducted waits for time to pass.
_DOZE_S = 0.01

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, object]])


class Conductor(Driver):
    """A driver that grants one step at a time, and notes each message that a handler is given.

    Args:
        seed: None grants steps in rotation; a number picks among the ready tasks at random, the same way for the
            same number, to explore orders that Trio might choose.
        note: called with the actor's name and the message before each handler.
        skip: lets time pass to the next deadline, but not beyond a time; returns False when there is nowhere to go.
    """

    def __init__(
        self,
        seed: int | None,
        note: Callable[[str, object], None],
        skip: Callable[[int | None], bool],
    ) -> None:
        self._chance = None if seed is None else seeded_random(f"conductor {seed}")
        self._note = note
        self._skip = skip
        self._created = 0
        self._last = 0
        self._ready: dict[int, Task] = {}
        self._sleep = trio.CancelScope()
        self._goal_ns: int | None = None
        self._reached = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._is_over = False
        self.steps = 0

    async def run(self) -> None:
        """Grant steps until stopped; the one task of the conductor.

        It is shielded, because tasks that are cancelled need their steps granted as well.
        """
        with self._scope:
            while True:
                await wait_all_tasks_blocked()
                if self._ready:
                    self._grant()
                elif active_thread_count():  # time must not run past a thread's work (trio #456)
                    await self._doze()
                elif not self._skip(self._goal_ns):
                    if self._goal_ns is None or self._reached.is_set():
                        await self._doze()
                    else:
                        self._reached.set()

    async def reach(self, goal_ns: int) -> None:
        """Wait until a time has come and no task of the system can take a step before more time passes.

        While nobody waits here, time passes whenever nothing else happens: then the test itself waits for it.
        """
        check(self._goal_ns is None, "one task of a test at a time settles or advances")
        self._goal_ns = goal_ns
        self._reached = trio.Event()
        self._wake()
        try:
            await self._reached.wait()
        finally:
            self._goal_ns = None

    def stop(self) -> None:
        """Stop conducting; Trio decides the rest."""
        self._is_over = True
        self._scope.cancel("the kit is closed")
        for task in self._ready.values():
            reschedule(task)
        self._ready.clear()

    def wrap(self, function: F) -> F:
        """Give a function whose every step waits to be granted."""
        self._created += 1
        rank = self._created

        @wraps(function)
        async def conducted(*args: Any, **kwargs: Any) -> object:
            return await self._step_by_step(rank, function(*args, **kwargs))

        return cast(F, conducted)

    def handlers(self, name: str, kind: type[Actor]) -> dict[type, Handler]:
        """Give the actor's handlers, each noting its messages."""
        table = super().handlers(name, kind)
        return {each: self._noted(name, handler) for each, handler in table.items()}

    @types.coroutine
    def _step_by_step(
        self, rank: int, coroutine: Coroutine[Any, Any, object]
    ) -> Generator[Any, Any, object]:
        outcome = None
        while True:
            yield from self._turn(rank).__await__()
            try:
                # Trio resumes a task by sending an outcome, also when it is cancelled; it never throws.
                trap = coroutine.send(outcome)
            except StopIteration as end:
                return end.value
            outcome = yield trap

    async def _turn(self, rank: int) -> None:
        if self._is_over:
            return
        check(rank not in self._ready, "a task takes one step at a time")
        self._ready[rank] = current_task()
        self._wake()
        # What Trio resumed the task with is kept for it, so this wait is short and cannot be cancelled.
        await wait_task_rescheduled(lambda _: Abort.FAILED)

    def _grant(self) -> None:
        ranks = sorted(self._ready)
        if self._chance is None:
            rank = next((each for each in ranks if each > self._last), ranks[0])
        else:
            rank = self._chance.choice(ranks)
        self._last = rank
        self.steps += 1
        reschedule(self._ready.pop(rank))

    async def _doze(self) -> None:
        """Wait until there is a step to grant, or until something from outside may have happened."""
        with trio.CancelScope() as self._sleep:
            await wait_all_tasks_blocked(_DOZE_S)

    def _wake(self) -> None:
        self._sleep.cancel("there is something to do")

    def _noted(self, name: str, handler: Handler) -> Handler:
        function, note = handler.function, self._note

        def noted(actor: object, message: object) -> object:
            note(name, message)
            return function(actor, message)

        return attrs.evolve(handler, function=noted)
