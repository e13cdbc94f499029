"""A system: one nursery with its actors, its timers, its clock and its chance. A program may have several."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from aegis.errors import Refused
from aegis.kernel.actor import Actor
from aegis.kernel.cell import Cell
from aegis.kernel.clock import Clock, ambient_clock, seeded_random
from aegis.kernel.driver import Driver
from aegis.kernel.group import ONE_FOR_ONE, Group, Strategy
from aegis.kernel.ref import ActorRef
from aegis.kernel.stats import SystemStats
from aegis.kernel.supervisor import ESCALATE, Policy
from aegis.kernel.timers import Timers

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
        yield system
        await system.root.stop(f"{name} is closed")


class System:
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
        self.name = name
        self.clock = clock
        self.grace_s = grace_s
        self.driver = driver
        self.timers = Timers(clock)
        self.root = Group(self, name, ONE_FOR_ONE, nursery)
        self.dead_letters = 0
        self._restarts = 0  # of actors that have ended
        self._seed = seed
        self._nursery = nursery
        self._names: dict[str, Cell] = {}

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
        for cell in self.root.cells():
            cell.request_stop(reason)
        self._nursery.cancel_scope.cancel(reason)

    def stats(self) -> SystemStats:
        """The figures of the system and of all its living actors, as of now."""
        actors = tuple(cell.stats() for cell in self.root.cells())
        return SystemStats(
            name=self.name,
            actors=actors,
            dead_letters=self.dead_letters,
            restarts=self._restarts + sum(actor.restarts for actor in actors),
            timers=len(self.timers),
        )

    def tree(self) -> str:
        """Who lives under whom, as text."""
        return "\n".join([self.name, *_branches(self.root)])

    def chance(self, name: str) -> random.Random:
        """A random source that depends on the system's seed and on a name, not on the order of asking."""
        return seeded_random(f"{self._seed}/{name}")

    def enter(self, cell: Cell) -> None:
        """Register a new actor.

        Raises:
            Refused: when a living one has its name.
        """
        if cell.name in self._names:
            raise Refused(f"{self.name} has a living actor named {cell.name!r}")
        self._names[cell.name] = cell

    def leave(self, cell: Cell) -> None:
        """Forget an actor that has ended, but not its figures."""
        del self._names[cell.name]
        self._restarts += cell.restarts


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
    restarts = f", {child.restarts} restarts" if child.restarts else ""
    return f"{child.name} ({child.state.value}{restarts})"
