"""An incarnation: one actor object, with the tasks and the timers that end with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import trio

from aegis.errors import check
from aegis.kernel.actor import Actor
from aegis.kernel.cell import Cell
from aegis.kernel.context import Context
from aegis.kernel.supervisor import log
from aegis.kernel.timers import Timer

__all__ = ["Incarnation"]


class Incarnation:
    """What a crash throws away: everything of an actor but its mailbox and its name."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._actor: Actor | None = None
        self.timers: dict[Hashable, Timer] = {}

    async def run(self, begun: Callable[[], None]) -> None:
        """Construct the actor and serve its mailbox until it is interrupted.

        Args:
            begun: called once `started` has returned.
        """
        check(self._actor is None, "an incarnation runs once")
        cell = self._cell
        self._actor = actor = cell.make()
        async with trio.open_nursery() as nursery:
            cell.scope = nursery.cancel_scope
            actor.ctx = Context(cell, nursery.start_soon, self.timers)
            await actor.started()
            begun()
            await cell.serve(actor)
            # Interrupted: the tasks of this incarnation end with it.
            nursery.cancel_scope.cancel(str(cell.reason))

    async def end(self, reason: object) -> None:
        """Cancel the timers and give the actor its last word; the tasks are gone already."""
        self._cancel_timers()
        actor = self._actor
        if actor is None:
            return
        try:
            with trio.move_on_after(actor.stopping_timeout_s, shield=True) as scope:
                await actor.stopping(reason)
        finally:
            self._cancel_timers()  # those that it has armed meanwhile
        if scope.cancelled_caught:
            log.warning(
                "%r: stopping took more than %s s", self._cell.ref, actor.stopping_timeout_s
            )

    def _cancel_timers(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
