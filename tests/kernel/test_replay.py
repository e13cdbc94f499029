"""Handlers without a loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import ActorDead, HandlerBlocked, MailboxFull, Unhandled
from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, Terminated, message, on
from aegis.kernel.kit import open_kit
from aegis.kernel.replay import Replay


@message(Priority.INGEST)
class Tick:
    price: float


@message(Priority.EXECUTION)
class Order:
    price: float


@message(Priority.BACKGROUND)
class Beat:
    pass


@message(Priority.ANALYSIS)
class Wait:
    what: str


@message(Priority.ANALYSIS, ttl=1e-6)
class Hint:
    pass


class Trader(Actor):
    def __init__(self, log: list[str], broker: ActorRef | None = None) -> None:
        self.log = log
        self.broker = broker

    async def started(self) -> None:
        self.log.append("started")
        self.ctx.every("beat", 1.0, Beat())

    async def stopping(self, reason: object) -> None:
        self.log.append(f"stopping: {reason}")

    @on(Tick)
    async def tick(self, tick: Tick) -> float:
        if tick.price < 0:
            raise ValueError("a price below zero")
        self.log.append(f"tick {await self.ctx.offload(abs, tick.price)}")
        if self.broker is not None:
            self.log.append(f"filled {await self.broker.ask(Order(tick.price), timeout=1)}")
        return tick.price

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        self.log.append(f"beat {self.ctx.clock.monotonic_ns() // 10**9}")

    @on(Hint)
    def hint(self, hint: Hint) -> None:
        self.log.append("hint")

    @on(Wait)
    async def wait(self, wait: Wait) -> None:
        if wait.what == "task":
            self.ctx.start_soon(self.later)
        elif wait.what == "stop":
            self.ctx.stop("enough")
        elif wait.what == "self":
            await self.ctx.ref.ask(Tick(1.0), timeout=1)
        else:
            await trio.lowlevel.checkpoint()

    async def later(self) -> None:
        self.log.append("later")


class Broker(Actor):
    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(2),
        Priority.INGEST: Level.reject(1),
    }

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @on(Order)
    async def order(self, order: Order) -> float:
        self.log.append(f"order {order.price}")
        return order.price * 2

    @on(Tick)
    def tick(self, tick: Tick) -> None: ...


class Sender(Actor):
    """Sends more at once than its broker has room for."""

    def __init__(self, broker: ActorRef) -> None:
        self.broker = broker

    @on(Tick)
    async def tick(self, tick: Tick) -> list[Delivery]:
        return [await self.broker.send(Order(float(n))) for n in range(5)]


class Watcher(Actor):
    def __init__(self, log: list[str], other: ActorRef) -> None:
        self.log = log
        self.other = other

    async def started(self) -> None:
        self.ctx.watch(self.other)

    @on(Terminated)
    def gone(self, terminated: Terminated) -> None:
        self.log.append(f"gone: {terminated.reason}")


def test_replay_runs_handlers_in_order() -> None:
    """What is told is handled by `run`, an ask within it is answered, and the end is in order."""
    log: list[str] = []
    with Replay() as replay:
        broker = replay.call(replay.spawn(Broker, log))
        trader = replay.call(replay.spawn(Trader, log, broker))
        trader.tell(Tick(1.0))
        trader.tell(Tick(2.0))
        assert log == ["started"]
        replay.run()
    assert log == [
        "started",
        "tick 1.0",
        "order 1.0",
        "filled 2.0",
        "tick 2.0",
        "order 2.0",
        "filled 4.0",
        "stopping: replay is closed",
    ]


def test_replay_feed_is_tell_and_run() -> None:
    """The fast way has the same effects and the same figures."""
    logs: list[list[str]] = [[], []]
    stats = []
    for log, is_fast in zip(logs, (True, False), strict=True):
        with Replay() as replay:
            trader = replay.call(replay.spawn(Trader, log))
            for each in (Tick(1.0), Wait("task"), Beat(), Hint(), "no message"):
                if is_fast:
                    replay.feed(trader, each)
                else:
                    trader.tell(each)
                    replay.run()
            figures = trader.stats()
            stats.append((figures.handled, figures.unhandled))
    assert logs[0] == logs[1]
    assert stats[0] == stats[1] == (4, 1)


def test_replay_feed_waits_its_turn() -> None:
    """What was told before is handled before what is fed, also where another actor has it."""
    log: list[str] = []
    with Replay() as replay:
        broker = replay.call(replay.spawn(Broker, log))
        trader = replay.call(replay.spawn(Trader, log))
        broker.tell(Order(1.0))
        replay.feed(trader, Tick(2.0))
    assert log[1:3] == ["order 1.0", "tick 2.0"]


def test_replay_fires_timers_on_the_way() -> None:
    """Moving the clock fires each timer at its time, before what is told at the end."""
    log: list[str] = []
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, log))
        replay.advance_to(3_500_000_000)
        replay.feed(trader, Tick(1.0))
        replay.advance_to(4_000_000_000)
    assert log[1:-1] == ["beat 1", "beat 2", "beat 3", "tick 1.0", "beat 4"]


def test_replay_handles_before_time_passes() -> None:
    """What was told is handled before the clock moves, so nothing outlives its time by waiting."""
    log: list[str] = []
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, log))
        trader.tell(Hint())
        replay.advance_to(10**9)
        assert trader.stats().expired == 0
    assert log[1:3] == ["hint", "beat 1"]


@pytest.mark.trio
async def test_replay_finds_a_handler_that_blocks() -> None:
    """A handler that waits for the outside is an error, not a replay that stands still."""
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, []))
        with pytest.raises(HandlerBlocked, match="outside"):
            replay.feed(trader, Wait("trio"))
        trader.tell(Wait("trio"))
        with pytest.raises(HandlerBlocked, match="outside"):
            replay.run()


def test_replay_finds_a_circle() -> None:
    """An ask that only its own asker could answer is an error."""
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, []))
        with pytest.raises(HandlerBlocked, match="answer of <actor trader> will never come"):
            replay.feed(trader, Wait("self"))


def test_replay_passes_a_failure_on() -> None:
    """A handler's failure comes out of `run`; the actor still has its last word."""
    log: list[str] = []
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, log))
        with pytest.raises(ValueError, match="below zero"):
            replay.feed(trader, Tick(-1.0))
        trader.tell(Tick(-1.0))
        with pytest.raises(ValueError, match="below zero"):
            replay.run()
        replay.feed(trader, Tick(3.0))
        assert trader.stats().handled == 1
    assert log[1:] == ["tick 3.0", "stopping: replay is closed"]


def test_replay_send_makes_room() -> None:
    """A send to a full mailbox runs its receiver."""
    log: list[str] = []
    with Replay() as replay:
        broker = replay.call(replay.spawn(Broker, log))
        sender = replay.call(replay.spawn(Sender, broker))
        assert replay.call(sender.ask(Tick(1.0), timeout=1)) == [Delivery.OK] * 5
        replay.run()
    assert log == [f"order {n}.0" for n in range(5)]


def test_replay_asks_fail_at_once() -> None:
    """An ask that cannot be answered raises what it raises elsewhere."""
    with Replay() as replay:
        broker = replay.call(replay.spawn(Broker, []))
        with pytest.raises(Unhandled):
            replay.call(broker.ask(Beat(), timeout=1))
        broker.tell(Tick(1.0))
        with pytest.raises(MailboxFull):
            replay.call(broker.ask(Tick(1.0), timeout=1))
        assert replay.call(broker.stop("done")) is None
        with pytest.raises(ActorDead):
            replay.call(broker.ask(Order(1.0), timeout=1))
        assert replay.call(broker.wait_stopped()) == "done"


def test_replay_ends_an_actor_that_stops_itself() -> None:
    """An actor may end itself, and whoever watches is told."""
    log: list[str] = []
    with Replay() as replay:
        trader = replay.call(replay.spawn(Trader, log))
        replay.call(replay.spawn(Watcher, log, trader))
        replay.feed(trader, Wait("stop"))
        assert not trader.alive
        assert trader.tell(Tick(1.0)) is Delivery.DEAD
        replay.advance_to(10**10)
        assert [each.name for each in replay.stats().actors] == ["watcher"]
    assert log == ["started", "stopping: enough", "gone: enough"]


def test_replay_start_that_fails_leaves_nothing() -> None:
    """An actor that cannot be made or started raises at its spawner, and its name is free again."""

    class Bad(Actor):
        def __init__(self, where: str) -> None:
            self.where = where
            if where == "made":
                raise LookupError

        async def started(self) -> None:
            if self.where == "started":
                raise LookupError

    with Replay() as replay:
        for where in ("made", "started"):
            with pytest.raises(LookupError):
                replay.call(replay.spawn(Bad, where))
        assert replay.stats().actors == ()
        assert replay.call(replay.spawn(Bad, "well")).alive


def test_replay_closes_over_a_failure() -> None:
    """A failure in the block is the reason that the actors are told, and it comes out itself."""
    log: list[str] = []
    with pytest.raises(LookupError), Replay() as replay:  # noqa: PT012  # the block is what fails
        trader = replay.call(replay.spawn(Trader, log))
        trader.tell(Wait("task"))
        raise LookupError("mine")
    assert log == ["started", "stopping: mine"]


class Leaver(Actor):
    """Sets a timer in its last word, and fails in it."""

    def __init__(self, log: list[str], failure: Exception | None = None) -> None:
        self.log = log
        self.failure = failure

    async def stopping(self, reason: object) -> None:
        self.ctx.every("late", 1.0, Beat())
        self.log.append(f"{self.ctx.ref.name} ends")
        if self.failure is not None:
            raise self.failure

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        self.log.append("beat")


def test_replay_cancels_what_a_last_word_has_armed() -> None:
    """No timer is left of an actor that has ended."""
    with Replay() as replay:
        leaver = replay.call(replay.spawn(Leaver, []))
        replay.call(leaver.stop())
        assert replay.stats().timers == 0


def test_replay_gives_everybody_a_last_word() -> None:
    """One that fails in it takes it from nobody; what it failed with comes out at the end."""
    log: list[str] = []
    replay = Replay()
    with pytest.raises(LookupError, match="b"), replay:  # noqa: PT012  # its end is what fails
        for name, failure in (("a", None), ("b", LookupError("b")), ("c", None)):
            replay.call(replay.spawn(Leaver, log, failure, name=name))
    assert log == ["c ends", "b ends", "a ends"]
    assert replay.stats().actors == ()
    assert replay.stats().timers == 0


@pytest.mark.trio
async def test_replay_and_kit_agree(mock_clock: MockClock) -> None:
    """The same actors do the same under the conductor and by direct calls."""
    replayed: list[str] = []
    conducted: list[str] = []
    with Replay("same") as replay:
        broker = replay.call(replay.spawn(Broker, replayed))
        trader = replay.call(replay.spawn(Trader, replayed, broker))
        for n in range(1, 20):
            replay.advance_to(n * 300_000_000)
            replay.feed(trader, Tick(float(n)))
    async with open_kit("same") as kit:
        broker = await kit.spawn(Broker, conducted)
        trader = await kit.spawn(Trader, conducted, broker)
        for n in range(1, 20):
            await kit.advance(0.3)
            trader.tell(Tick(float(n)))
            await kit.settle()
    assert replayed == conducted
