"""What supervision never takes for a failure: KeyboardInterrupt and Cancelled, wherever they come up."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from aegis.kernel import Actor, Priority, Restart, message, on
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


@message(Priority.EXECUTION)
class Work:
    pass


class Worker(Actor):
    """Is interrupted at one place of its life, and takes a second for its last word."""

    def __init__(self, log: list[str], where: str = "nowhere") -> None:
        self.log = log
        self.where = where
        self.come_to("made")

    def come_to(self, where: str) -> None:
        self.log.append(where)
        if where == self.where:
            raise KeyboardInterrupt

    async def started(self) -> None:
        self.come_to("started")
        self.ctx.start_soon(self.task)

    async def task(self) -> None:
        await trio.sleep(1)
        self.come_to("task")

    @on(Work)
    async def work(self, work: Work) -> None:
        self.come_to("working")
        await trio.sleep_forever()

    async def stopping(self, reason: object) -> None:
        await trio.sleep(1)
        self.come_to("stopping")


@pytest.mark.parametrize("where", ["made", "started", "working", "task", "stopping"])
async def test_keyboard_interrupt_comes_out(mock_clock: MockClock, where: str) -> None:
    """Wherever an actor is interrupted the interrupt comes out of the system, and nothing begins again."""
    log: list[str] = []
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012  # leaving the block raises
        async with open_kit() as kit:
            worker = await kit.spawn(Worker, log, where, policy=Restart())
            if where == "working":
                worker.tell(Work())
            await kit.advance(2)
    assert caught.group_contains(KeyboardInterrupt)
    assert log.count("made") == 1
    assert ("stopping" in log) is (where != "made")


async def test_cancellation_is_no_failure(mock_clock: MockClock) -> None:
    """A cancelled actor is not restarted, and its last word, which is shielded, is said to the end."""
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with open_kit() as kit:
            worker = await kit.spawn(Worker, log, policy=Restart())
            worker.tell(Work())
            await kit.settle()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert log == ["made", "started", "working", "stopping"]
    assert (worker.stats().restarts, await worker.wait_stopped()) == (0, "cancelled")
    assert trio.current_time() == 1.0
