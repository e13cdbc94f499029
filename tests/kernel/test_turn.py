"""How long an actor works before it gives way."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from aegis.kernel import Actor, ActorRef, Delivery, Priority, message, on, open_system

pytestmark = pytest.mark.trio


@message(Priority.INGEST)
class Tick:
    pass


class LabouringClock:
    """A machine's clock on which every reading finds some time passed: what the handler before it took."""

    def __init__(self, step_ns: int) -> None:
        self.step_ns = step_ns
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns


class Reader(Actor):
    def __init__(self) -> None:
        self.count = 0

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        self.count += 1


class Steps(trio.abc.Instrument):
    """Sees how many messages were handled after each step of any task."""

    def __init__(self, ref: ActorRef) -> None:
        self.ref = ref
        self.handled = [0]

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.handled.append(self.ref.stats().handled)


@pytest.mark.parametrize(("step_us", "most"), [(1, 100), (10, 10), (30, 4), (500, 1)])
async def test_turn_is_bounded_by_time(step_us: int, most: int) -> None:
    """A flooded actor lets the others go on after 0.1 ms of work, be that many quick handlers or one slow one."""
    async with open_system(clock=LabouringClock(step_us * 1000)) as system:
        reader = await system.spawn(Reader)
        assert {reader.tell(Tick()) for _ in range(1000)} == {Delivery.OK}
        steps = Steps(reader)
        trio.lowlevel.add_instrument(steps)
        while reader.stats().handled < 1000:
            await trio.lowlevel.checkpoint()
        trio.lowlevel.remove_instrument(steps)
    assert max(after - before for before, after in pairwise(steps.handled)) == most
