"""Death watch where the watcher has no room for anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, Terminated, message, on
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


@message(Priority.EXECUTION)
class Order:
    number: int


class Clerk(Actor):
    """Waits to be stopped."""


class Swamped(Actor):
    """Begins its work after a second, with room for one order."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.EXECUTION: Level.drop_oldest(1)}

    def __init__(self, watched: ActorRef, handled: list[object], is_there: trio.Event) -> None:
        self.watched = watched
        self.handled = handled
        self.is_there = is_there

    async def started(self) -> None:
        self.ctx.watch(self.watched)
        self.is_there.set()
        await trio.sleep(1)

    @on(Order)
    def order(self, order: Order) -> None:
        self.handled.append(order)

    @on(Terminated)
    def gone(self, terminated: Terminated) -> None:
        self.handled.append(terminated.ref)


async def test_watch_overtakes_a_full_mailbox(mock_clock: MockClock) -> None:
    """An end is never dropped for what comes later, and is handled before all that waits."""
    handled: list[object] = []
    is_there = trio.Event()
    async with open_kit() as kit, trio.open_nursery() as nursery:
        clerk = await kit.spawn(Clerk)
        nursery.start_soon(kit.spawn, Swamped, clerk, handled, is_there)
        await is_there.wait()
        swamped = kit.system.living()[-1].ref
        assert swamped.tell(Order(0)) is Delivery.OK
        await clerk.stop()
        assert [swamped.tell(Order(n)) for n in (1, 2)] == [Delivery.DROPPED_OLDEST] * 2
        await kit.advance(1)
        assert handled == [clerk, Order(2)]
