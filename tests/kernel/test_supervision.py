"""Supervision: restarts, budgets, groups, and what must never be lost on the way."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import ActorDead, ActorRestarting
from aegis.kernel import (
    ALL_FOR_ONE,
    ESCALATE,
    ONE_FOR_ONE,
    REST_FOR_ONE,
    STOP,
    Actor,
    ActorRef,
    Delivery,
    Priority,
    Restart,
    Terminated,
    message,
    on,
)
from aegis.kernel.group import Strategy
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


@message(Priority.EXECUTION)
class Do:
    what: str


@message(Priority.EXECUTION)
class Count:
    n: int


@message(Priority.BACKGROUND)
class Wait:
    seconds: float


class Worker(Actor):
    """Writes everything that happens to it into a diary."""

    def __init__(self, diary: list[str], name: str = "w", start_fails: int = 0) -> None:
        self.diary = diary
        self.name = name
        if diary.count(f"{name} made") < start_fails:
            self.note("made")
            raise OSError("constructor")
        self.note("made")

    def note(self, what: str) -> None:
        self.diary.append(f"{self.name} {what}")

    async def started(self) -> None:
        self.note("started")

    async def stopping(self, reason: object) -> None:
        self.note(f"stopping: {reason}")

    @on(Do)
    async def do(self, do: Do) -> str:
        if do.what == "crash":
            raise ValueError("boom")
        if do.what == "stop":
            self.ctx.stop("done")
        self.note(do.what)
        return f"did {do.what}"

    @on(Wait)
    async def wait(self, wait: Wait) -> None:
        await trio.sleep(wait.seconds)

    @on(Count)
    def count(self, count: Count) -> None:
        self.note(str(count.n))


class Watcher(Actor):
    def __init__(self, watched: ActorRef, seen: list[Terminated]) -> None:
        self.watched = watched
        self.seen = seen

    async def started(self) -> None:
        self.ctx.watch(self.watched)

    @on(Terminated)
    def terminated(self, terminated: Terminated) -> None:
        self.seen.append(terminated)


async def test_restart_keeps_the_queue_in_order(mock_clock: MockClock) -> None:
    """What waited at a crash is handled by the next incarnation, in the same order; the culprit is not."""
    diary: list[str] = []
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, diary, policy=Restart())
        for what in ("one", "crash", "two", "three"):
            worker.tell(Do(what))
        await kit.advance(1)
        assert diary == [
            "w made",
            "w started",
            "w one",
            "w stopping: boom",
            "w made",
            "w started",
            "w two",
            "w three",
        ]
        stats = worker.stats()
        assert (stats.handled, stats.failed, stats.restarts) == (3, 1, 1)


async def test_restart_fails_pending_asks(mock_clock: MockClock) -> None:
    """Whoever waits for an answer hears of the crash at once and gets the message back."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [], policy=Restart(backoff=3))
        errors: list[ActorRestarting] = []

        async def ask(what: str) -> None:
            with pytest.raises(ActorRestarting) as caught:
                await worker.ask(Do(what), timeout=1)
            errors.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "crash")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, "other")
        assert {error.message for error in errors} >= {Do("crash")}
        assert trio.current_time() == 0


async def test_stop_overtakes_the_queue(mock_clock: MockClock) -> None:
    """A stop comes before everything that waits, which becomes dead letters."""
    diary: list[str] = []
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, diary)
        for n in range(5):
            worker.tell(Count(n))
        await worker.stop("enough")
        assert diary == ["w made", "w started", "w stopping: enough"]
        assert kit.system.stats().dead_letters == 5
        assert worker.tell(Count(6)) is Delivery.DEAD
        assert not worker.alive
        assert await worker.wait_stopped() == "enough"


async def test_constructor_that_throws_is_a_crash(mock_clock: MockClock) -> None:
    """A constructor is retried like any other failure, and there is no farewell without an actor."""
    diary: list[str] = []
    async with open_kit() as kit, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: kit.spawn(Worker, diary, start_fails=2, policy=Restart()))
        await kit.advance(2)
        assert diary == ["w made"] * 3 + ["w started"]
        assert kit.system.stats().restarts == 2


async def test_constructor_that_throws_ends_a_stop_actor(mock_clock: MockClock) -> None:
    """With STOP the reference is that of an actor which has ended; nothing is left in the tree."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [], start_fails=1, policy=STOP)
        assert not worker.alive
        assert isinstance(await worker.wait_stopped(), OSError)
        assert kit.system.tree() == "kit"
        again = await kit.spawn(Worker, [])
        assert again.alive


async def test_start_that_escalates_raises_at_the_spawner(mock_clock: MockClock) -> None:
    """An actor that cannot start is its spawner's error, as in `nursery.start`."""
    async with open_kit() as kit:
        with pytest.raises(OSError, match="constructor"):
            await kit.spawn(Worker, [], start_fails=1)
        assert kit.system.tree() == "kit"


async def test_escalation_reaches_the_nursery(mock_clock: MockClock) -> None:
    """A failure that is not forgiven comes out of the system, with a note of who failed."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  # leaving the block raises
        async with open_kit() as kit:
            worker = await kit.spawn(Worker, [], policy=ESCALATE)
            worker.tell(Do("crash"))
            await trio.sleep_forever()
    assert caught.group_contains(ValueError, match="boom")


async def test_exhausted_budget_escalates(mock_clock: MockClock) -> None:
    """One failure more than the budget within its time comes out of the system."""
    diary: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  # leaving the block raises
        async with open_kit() as kit:
            worker = await kit.spawn(Worker, diary, policy=Restart(max_restarts=2, within=10))
            for _ in range(3):
                worker.tell(Do("crash"))
            await kit.advance(10)
    assert caught.group_contains(ValueError)
    assert diary.count("w started") == 3


async def test_budget_forgets(mock_clock: MockClock) -> None:
    """Failures further apart than the budget's time never exhaust it."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [], policy=Restart(max_restarts=1, within=5))
        for _ in range(10):
            worker.tell(Do("crash"))
            await kit.advance(6)
        assert worker.alive
        assert worker.stats().restarts == 10


@pytest.mark.parametrize(
    ("strategy", "again"),
    [(ONE_FOR_ONE, "b"), (REST_FOR_ONE, "bc"), (ALL_FOR_ONE, "abc")],
    ids=["one", "rest", "all"],
)
async def test_group_strategy(mock_clock: MockClock, strategy: Strategy, again: str) -> None:
    """Who begins again with a crashed actor ends from right to left and begins from left to right."""
    diary: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=strategy)
        refs = {n: await group.spawn(Worker, diary, n, name=n, policy=Restart()) for n in "abc"}
        diary.clear()
        refs["b"].tell(Do("crash"))
        refs["c"].tell(Wait(0.01))
        refs["c"].tell(Do("later"))
        await kit.advance(5)
        stops = [line[0] for line in diary if "stopping" in line]
        starts = [line[0] for line in diary if "started" in line]
        assert stops == ["b", *[n for n in reversed(again) if n != "b"]]
        assert starts == list(again)
        assert "c later" in diary
        assert all(ref.alive for ref in refs.values())


async def test_system_stops_right_to_left(mock_clock: MockClock) -> None:
    """Leaving the system ends the last spawned first, groups included."""
    diary: list[str] = []
    async with open_kit() as kit:
        await kit.spawn(Worker, diary, "a", name="a")
        group = await kit.system.group("g")
        await group.spawn(Worker, diary, "b", name="b")
        await group.spawn(Worker, diary, "c", name="c")
        await kit.spawn(Worker, diary, "d", name="d")
        assert kit.system.tree().splitlines() == [
            "kit",
            "├── a (running)",
            "├── g (one for one)",
            "│   ├── b (running)",
            "│   └── c (running)",
            "└── d (running)",
        ]
    assert [line[0] for line in diary if "stopping" in line] == list("dcba")


async def test_system_cancel_ends_at_once(mock_clock: MockClock) -> None:
    """Cancelling takes handlers where they are; each actor still has its last word."""
    diary: list[str] = []
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, diary)
        worker.tell(Wait(1000))
        await kit.settle()
        kit.system.cancel("kill switch")
    assert diary[-1] == "w stopping: kill switch"
    assert trio.current_time() == 0


async def test_watch_cannot_be_lost(mock_clock: MockClock) -> None:
    """An end is told to those who watch, whether they began to watch before or after it."""
    seen: list[Terminated] = []
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [], policy=STOP)
        await kit.spawn(Watcher, worker, seen, name="before")
        worker.tell(Do("crash"))
        await kit.settle()
        await kit.spawn(Watcher, worker, seen, name="after")
        await kit.settle()
    assert [each.ref for each in seen] == [worker, worker]
    assert [str(each.reason) for each in seen] == ["boom", "boom"]


async def test_ask_of_the_dead(mock_clock: MockClock) -> None:
    """An ask of an actor that has ended fails at once, and so does one that it ends under."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [])
        worker.tell(Wait(1))

        async def ask() -> None:
            with pytest.raises(ActorDead):
                await worker.ask(Count(1), timeout=100)

        await kit.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await kit.settle()
            nursery.start_soon(worker.stop)
            await kit.advance(1)
        await ask()


async def test_ctx_stop_answers_first(mock_clock: MockClock) -> None:
    """An actor that ends itself still answers the ask in hand."""
    async with open_kit() as kit:
        worker = await kit.spawn(Worker, [])
        assert await worker.ask(Do("stop"), timeout=1) == "did stop"
        assert await worker.wait_stopped() == "done"


async def test_stopping_is_bounded(mock_clock: MockClock) -> None:
    """A last word that never ends is cut off."""

    class Talker(Actor):
        stopping_timeout_s = 2.0

        async def stopping(self, reason: object) -> None:
            await trio.sleep_forever()

    async with open_kit() as kit:
        await kit.spawn(Talker)
    assert trio.current_time() == 2.0


async def test_task_of_an_incarnation(mock_clock: MockClock) -> None:
    """A task of `start_soon` ends with its incarnation, and its failure is the incarnation's."""
    diary: list[str] = []

    class Boss(Worker):
        async def started(self) -> None:
            self.ctx.start_soon(self.sleep)

        async def sleep(self) -> None:
            try:
                await trio.sleep(5)
                raise LookupError("task")
            finally:
                self.note("slept")

    async with open_kit() as kit:
        boss = await kit.spawn(Boss, diary, policy=Restart())
        boss.tell(Do("crash"))
        await kit.advance(1)
        assert diary == ["w made", "w slept", "w stopping: boom", "w made"]
        await kit.advance(5)
        assert diary[4:] == ["w slept", "w stopping: task", "w made"]


async def test_keyboard_interrupt_passes(mock_clock: MockClock) -> None:
    """No policy takes a KeyboardInterrupt for a failure."""

    class Interrupted(Worker):
        @on(Wait)
        async def wait(self, wait: Wait) -> None:
            raise KeyboardInterrupt

    diary: list[str] = []
    with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012  # leaving the block raises
        async with open_kit() as kit:
            worker: Any = await kit.spawn(Interrupted, diary, policy=Restart())
            worker.tell(Wait(1))
            await trio.sleep_forever()
    assert caught.group_contains(KeyboardInterrupt)
    assert diary.count("w started") == 1
