"""Groups: a nursery of actors, and who else begins again when one of them does."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import trio

from aegis.errors import Refused, check
from aegis.kernel.actor import Actor
from aegis.kernel.cell import Cell, State
from aegis.kernel.life import Life
from aegis.kernel.ref import ActorRef
from aegis.kernel.supervisor import ESCALATE, Policy

if TYPE_CHECKING:
    from aegis.kernel.realm import Realm

__all__ = ["ALL_FOR_ONE", "ONE_FOR_ONE", "REST_FOR_ONE", "Group", "Strategy"]


class Strategy(Enum):
    """Who begins again when one actor of a group is restarted."""

    ONE_FOR_ONE = "one for one"  # only itself
    REST_FOR_ONE = "rest for one"  # it and all that were spawned after it, which may depend on it
    ALL_FOR_ONE = "all for one"


ONE_FOR_ONE: Final = Strategy.ONE_FOR_ONE
REST_FOR_ONE: Final = Strategy.REST_FOR_ONE
ALL_FOR_ONE: Final = Strategy.ALL_FOR_ONE


class Group:
    """Actors and groups that share a nursery: a failure that escalates ends all of them."""

    def __init__(self, system: Realm, name: str, strategy: Strategy, nursery: trio.Nursery) -> None:
        self.name = name
        self.strategy = strategy
        self.children: list[Cell | Group] = []  # in the order in which they were spawned
        # Set when it takes nobody any more. Where it was cancelled, its actors may still have their last word then, and
        # it is gone from its parent's children.
        self.closed = trio.Event()
        self._system = system
        self._nursery = nursery
        self._recovery = trio.Lock()

    async def spawn(
        self,
        kind: type[Actor],
        *args: Any,
        name: str | None = None,
        policy: Policy = ESCALATE,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor and wait until its `started` has returned.

        Args:
            kind: the actor's class.
            args: what it is constructed with, again at each restart.
            name: unique among the living actors of the system; the class's name in lower case by default.
            policy: what happens when it fails: `ESCALATE`, `STOP` or a `Restart`.
            kwargs: as `args`.

        Returns:
            Its reference. With `STOP`, and a failure before it had started, that of an actor which has ended.

        Raises:
            Refused: when the name is taken, or the group is closed.
            Exception: what the actor failed with before it had started, where its policy escalates.
        """
        self._check_open()
        cell = Cell(self._system, name or kind.__name__.lower(), kind, args, kwargs, policy)
        self._system.enter(cell)
        self.children.append(cell)
        run = self._system.driver.wrap(Life(cell, self).run)
        await self._nursery.start(run, name=cell.name)
        return cell.ref

    async def group(self, name: str, *, strategy: Strategy = ONE_FOR_ONE) -> Group:
        """Open a group inside this one; it is closed with `stop`, or with its parent.

        Raises:
            Refused: when this one is closed.
        """
        self._check_open()
        group: Group = await self._nursery.start(self._hold_open, name, strategy, name=name)
        return group

    async def stop(self, reason: object = "stopped") -> None:
        """Stop the children in order, the last spawned first, then have the group close, which takes it a step more.

        Those that wait to begin again end before all others. A task that a member has started must not call this: it ends
        with that member, and what was spawned before that one is left as it is.

        Raises:
            Refused: when a member of it calls this, and would wait for its own end; nobody is stopped then.
        """
        if self.holds(trio.lowlevel.current_task()):
            raise Refused(
                f"a member of {self.name} cannot wait for the group's end: let another stop it"
            )
        for child in self.children:
            if isinstance(child, Cell) and child.state is State.WAITING:
                # It has nothing to end, and shall not begin again meanwhile.
                child.request_stop(reason)
        while self.children:
            last = self.children[-1]
            if isinstance(last, Group):
                await last.stop(reason)
                await last.closed.wait()
            else:
                await last.ref.stop(reason)
        self._nursery.cancel_scope.cancel(str(reason))

    def holds(self, task: trio.lowlevel.Task) -> bool:
        """Whether a task is that of an actor in here."""
        return any(
            each.holds(task) if isinstance(each, Group) else each.task is task
            for each in self.children
        )

    async def recover(self, failed: Cell, delay_s: float) -> None:
        """Wait out a restart's backoff; first take those along that begin again with it.

        They end from right to left and begin from left to right, each when the one before has started.
        """
        check(failed.state is State.WAITING, "only an actor that has failed recovers")
        if self.strategy is ONE_FOR_ONE:
            await trio.sleep(delay_s)
            return
        # One recovery at a time: a second failure finds itself taken along, or waits until the first is through.
        async with self._recovery:
            if failed.is_swept:  # a sibling failed at the same time and has taken this one along
                return
            together = self._taken_along(failed)
            for cell in together:
                cell.sweep()
            try:
                for cell in reversed(together):
                    await cell.pause(f"{failed.ref!r} restarts")
                await trio.sleep(delay_s)
            finally:
                # When this is cut short, because the failed one is to be stopped, some may not have been paused yet:
                # they go on as if nothing had been.
                for cell in together:
                    if cell.state is not State.WAITING:
                        cell.is_swept = False
                        cell.gate.set()
                first = next(cell for cell in together if cell.state is State.WAITING)
                self._release(first)

    def release_after(self, cell: Cell) -> None:
        """Let the next one begin that waits for this one to have started, or to have ended."""
        # If its own gate is closed it has been taken along meanwhile: then whoever is before it begins again first.
        if not cell.gate.is_set():
            return
        siblings = [child for child in self.children if isinstance(child, Cell)]
        for sibling in siblings[siblings.index(cell) + 1 :]:
            if not sibling.gate.is_set():
                self._release(sibling)
                return

    def _release(self, cell: Cell) -> None:
        """Let one begin, unless one before it has failed meanwhile: that one does so when it has started, or takes it along."""
        siblings = [child for child in self.children if isinstance(child, Cell)]
        if not any(
            sibling.state in (State.STARTING, State.WAITING)
            for sibling in siblings[: siblings.index(cell)]
        ):
            cell.gate.set()

    def forget(self, cell: Cell) -> None:
        """Take an ended actor out; whoever waited for it goes on."""
        self.release_after(cell)
        self.children.remove(cell)
        self._system.leave(cell)

    async def _hold_open(
        self, name: str, strategy: Strategy, *, task_status: trio.TaskStatus[Group]
    ) -> None:
        async with trio.open_nursery() as nursery:
            group = Group(self._system, name, strategy, nursery)
            self.children.append(group)
            task_status.started(group)
            try:
                await trio.sleep_forever()
            finally:
                self.children.remove(group)
                group.closed.set()

    def _check_open(self) -> None:
        # The nursery would refuse as well, but only when the name of the newcomer is taken for ever.
        if self.closed.is_set():
            raise Refused(f"{self.name} is closed")

    def _taken_along(self, failed: Cell) -> list[Cell]:
        cells = [child for child in self.children if isinstance(child, Cell)]
        return cells if self.strategy is ALL_FOR_ONE else cells[cells.index(failed) :]
