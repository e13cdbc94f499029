"""What the actors of one system share, whoever drives them: a clock, timers, chance, and the register of names."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from aegis.errors import Refused, check
from aegis.kernel.actor import Actor
from aegis.kernel.clock import Clock, seeded_random
from aegis.kernel.driver import Driver
from aegis.kernel.ref import ActorRef
from aegis.kernel.stats import SystemStats
from aegis.kernel.supervisor import ESCALATE, Policy
from aegis.kernel.timers import Timers

if TYPE_CHECKING:
    from aegis.kernel.cell import Cell

__all__ = ["Realm"]


class Realm(ABC):
    """The part of a system that is the same live, in a test and in a replay; actors know it as `ctx.system`."""

    def __init__(self, name: str, clock: Clock, seed: int, grace_s: float, driver: Driver) -> None:
        self.name = name
        self.clock = clock
        self.grace_s = grace_s
        self.driver = driver
        self.timers = Timers(clock)
        self.dead_letters = 0
        self._seed = seed
        self._cells: dict[str, Cell] = {}  # living, in the order in which they were spawned
        self._restarts = 0  # of those that have ended

    @abstractmethod
    async def spawn(
        self,
        kind: type[Actor],
        *args: Any,
        name: str | None = None,
        policy: Policy = ESCALATE,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor and wait until its `started` has returned; see `Group.spawn`."""

    def stats(self) -> SystemStats:
        """The figures of all living actors and of the whole, as of now."""
        actors = tuple(cell.stats() for cell in self._cells.values())
        return SystemStats(
            name=self.name,
            actors=actors,
            dead_letters=self.dead_letters,
            restarts=self._restarts + sum(actor.restarts for actor in actors),
            timers=len(self.timers),
        )

    @property
    def is_idle(self) -> bool:
        """True when no message waits in any mailbox. A handler may be in the middle of something all the same."""
        return not any(cell.mailbox.mask for cell in self._cells.values())

    def chance(self, name: str) -> random.Random:
        """A random source that depends on the seed and on a name, not on the order of asking."""
        return seeded_random(f"{self._seed}/{name}")

    def enter(self, cell: Cell) -> None:
        """Register a new actor.

        Raises:
            Refused: when a living one has its name.
        """
        if cell.name in self._cells:
            raise Refused(f"{self.name} has a living actor named {cell.name!r}")
        self._cells[cell.name] = cell

    def leave(self, cell: Cell) -> None:
        """Forget an actor that has ended, but not its figures."""
        check(self._cells.pop(cell.name) is cell, "an actor leaves under its own name")
        self._restarts += cell.restarts

    def living(self) -> list[Cell]:
        """The living actors, in the order in which they were spawned."""
        return list(self._cells.values())
