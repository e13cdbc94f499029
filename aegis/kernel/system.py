"""A system: one nursery with its actors, its timers, its clock and its chance. A program may have several."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from aegis.kernel.actor import Actor
from aegis.kernel.cell import Cell
from aegis.kernel.clock import Clock, ambient_clock
from aegis.kernel.driver import Driver
from aegis.kernel.group import ONE_FOR_ONE, Group, Strategy
from aegis.kernel.realm import Realm
from aegis.kernel.ref import ActorRef
from aegis.kernel.supervisor import ESCALATE, Policy

__all__ = ["System", "open_system"]


@asynccontextmanager
async def open_system(
    name: str = "system",
    *,
    clock: Clock | None = None,
    seed: int = 0,
    grace_s: float = 5.0,
    driver: Driver | None = None,
) -> AsyncIterator[System]:
    """Open a system of actors; it behaves like the nursery that it is.

    Leaving the block stops the actors in order, the last spawned first. An exception that leaves the block, or a
    failure that escalates to the system, cancels all of them at once and comes out in an `ExceptionGroup`. The system
    installs no signal handlers and keeps nothing outside itself.

    Args:
        name: for people.
        clock: what the actors see as time. By default the machine's clocks, or Trio's under a `MockClock`.
        seed: of all chance in the system: the jitter of restarts and every `ctx.random`.
        grace_s: seconds a stop waits for the message in hand before it is cancelled.
        driver: who decides the order of steps; the kit passes one of its own.
    """
    async with trio.open_nursery() as nursery:
        system = System(name, nursery, clock or ambient_clock(), seed, grace_s, driver or Driver())
        nursery.start_soon(system.timers.run, name=f"{name} timers")
        try:
            yield system
            await system.root.stop(f"{name} is closed")
        finally:
            system.root.closed.set()


class System(Realm):
    """A running system; made by `open_system`."""

    def __init__(
        self,
        name: str,
        nursery: trio.Nursery,
        clock: Clock,
        seed: int,
        grace_s: float,
        driver: Driver,
    ) -> None:
        super().__init__(name, clock, seed, grace_s, driver)
        self.root = Group(self, name, ONE_FOR_ONE, nursery)
        self._nursery = nursery

    async def spawn(
        self,
        kind: type[Actor],
        *args: Any,
        name: str | None = None,
        policy: Policy = ESCALATE,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor at the top of the tree; see `Group.spawn`."""
        return await self.root.spawn(kind, *args, name=name, policy=policy, **kwargs)

    async def group(self, name: str, *, strategy: Strategy = ONE_FOR_ONE) -> Group:
        """Open a group at the top of the tree."""
        return await self.root.group(name, strategy=strategy)

    def cancel(self, reason: str) -> None:
        """End everything at once: handlers are cancelled where they are, each `stopping` still has its time."""
        for cell in self.living():
            cell.request_stop(reason)
        self._nursery.cancel_scope.cancel(reason)

    def tree(self) -> str:
        """Who lives under whom, as text; without the groups that are cancelled, whose actors may not have ended yet."""
        return "\n".join([self.name, *_branches(self.root)])


def _branches(group: Group) -> Iterator[str]:
    for child in group.children:
        is_last = child is group.children[-1]
        yield ("└── " if is_last else "├── ") + _describe(child)
        if isinstance(child, Group):
            for line in _branches(child):
                yield ("    " if is_last else "│   ") + line


def _describe(child: Cell | Group) -> str:
    if isinstance(child, Group):
        return f"{child.name} ({child.strategy.value})"
    restarts = f", restarted {child.restarts} times" if child.restarts else ""
    return f"{child.name} ({child.state.value}{restarts})"
