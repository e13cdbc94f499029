"""A life: one incarnation after another, until the actor is stopped or its failures are not forgiven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.lowlevel import current_task

from aegis.errors import check
from aegis.kernel.cell import Cell, State
from aegis.kernel.incarnation import Incarnation
from aegis.kernel.ref import ActorRef
from aegis.kernel.supervisor import ESCALATE, STOP, Verdict, caught, log

if TYPE_CHECKING:
    from aegis.kernel.group import Group

__all__ = ["Life"]


class Life:
    """The task of one actor. It never runs two incarnations at once, because it is one task."""

    def __init__(self, cell: Cell, group: Group) -> None:
        self._cell = cell
        self._group = group
        self._has_begun = False

    async def run(
        self, *, task_status: trio.TaskStatus[ActorRef] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Live until the end; `task_status` is told after the first `started`, or at the end when there was none.

        Raises:
            Exception: a failure that the actor's policy escalates.
        """
        cell = self._cell
        check(cell.task is None, "an actor lives in one task")
        cell.task = current_task()
        self._task_status = task_status
        try:
            while await self._incarnate():
                pass
        finally:
            cell.bury()
            self._group.forget(cell)
        self._announce()

    async def _incarnate(self) -> bool:
        """Run one incarnation and wait for the next; returns False when there is none."""
        cell = self._cell
        cell.state = State.STARTING
        cell.is_swept = False
        cell.reason = "cancelled"
        incarnation = Incarnation(cell)
        failure = None
        verdict: float | Verdict = STOP
        try:
            failure = await caught(incarnation.run, self._begun)
            verdict = self._judge(failure)
        finally:
            # First those who wait for an answer, then the last word, which may take its time.
            cell.end_incarnation(is_last=isinstance(verdict, Verdict))
            farewell = await caught(incarnation.end, cell.reason)
            if farewell is not None:
                log.error("%r failed in stopping", cell.ref, exc_info=farewell)
        self._report(failure, verdict)
        if farewell is not None and cell.policy is ESCALATE:
            raise farewell
        if isinstance(verdict, float) and not cell.is_stopping:
            await self._wait(verdict, failure)
            return not cell.is_stopping
        return False

    def _judge(self, failure: Exception | None) -> float | Verdict:
        """The seconds to wait for the next incarnation, or why there is none."""
        cell = self._cell
        if failure is not None and not cell.is_stopping:
            cell.reason = failure
            return cell.budget.charge()
        return STOP if cell.is_stopping else 0.0

    def _report(self, failure: Exception | None, verdict: float | Verdict) -> None:
        if failure is None:
            return
        cell = self._cell
        if ESCALATE in (verdict, cell.policy):
            failure.add_note(f"{cell.ref!r} is given up after {cell.restarts} restarts")
            raise failure
        what = "ends" if isinstance(verdict, Verdict) else f"restarts in {verdict:.3f} s"
        log.warning("%r failed and %s", cell.ref, what, exc_info=failure)

    async def _wait(self, delay_s: float, failure: Exception | None) -> None:
        """Wait for the next incarnation: for the backoff, and for the siblings that start first."""
        cell = self._cell
        cell.restarts += 1
        cell.state = State.WAITING
        cell.mailbox.calm()  # it may have been interrupted when it had ended already
        cell.paused.set()
        with trio.CancelScope() as cell.scope:
            if failure is not None:
                await self._group.recover(cell, delay_s)
            # Another gate than it waited at, where a sibling's failure has taken it along between that one's opening and now.
            while not cell.gate.is_set():
                await cell.gate.wait()

    def _begun(self) -> None:
        self._cell.state = State.RUNNING
        self._announce()
        self._group.release_after(self._cell)

    def _announce(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._task_status.started(self._cell.ref)
