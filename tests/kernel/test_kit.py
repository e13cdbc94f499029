"""The kit: virtual time, probes, and the same order each time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import ActorDead, Refused
from aegis.kernel import (
    Actor,
    ActorRef,
    Delivery,
    Priority,
    Restart,
    Terminated,
    message,
    on,
)
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


@message(Priority.INGEST)
class Tick:
    price: float


@message(Priority.EXECUTION)
class Order:
    price: float


@message(Priority.EXECUTION)
class Question:
    text: str


@message(Priority.BACKGROUND)
class Beat:
    pass


class Trader(Actor):
    def __init__(self, executor: ActorRef) -> None:
        self.executor = executor

    async def started(self) -> None:
        self.ctx.every("beat", 1.0, Beat())

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        if tick.price < 0:
            raise ValueError("a price below zero")
        side = await self.ctx.offload(abs, tick.price)
        self.executor.tell(Order(side))

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        pass

    @on(Question)
    async def question(self, question: Question) -> object:
        return await self.executor.ask(question, timeout=5)


async def test_kit_example(mock_clock: MockClock) -> None:
    """What is told to an actor comes out at the probe, in the order it went in."""
    async with open_kit() as kit:
        probe = kit.probe("executor")
        trader = await kit.spawn(Trader, probe.ref)
        assert trader.tell(Tick(1.0)) is Delivery.OK
        trader.tell(Tick(2.0))
        probe.expect_none()
        await kit.settle()
        assert probe.expect(Order) == Order(1.0)
        assert probe.expect(Order) == Order(2.0)
        probe.expect_none()


async def test_kit_advances_through_an_hour(mock_clock: MockClock) -> None:
    """In an hour each heartbeat is there, but for the one that a crash and its wait put off."""
    async with open_kit() as kit:
        trader = await kit.spawn(Trader, kit.probe().ref, policy=Restart(backoff=0.5))
        await kit.advance(1800.25)
        trader.tell(Tick(-1.0))
        await kit.advance(1799.75)
        beats = [line for line in kit.trace if "Beat" in line]
        assert len(beats) == 3599
        assert trader.stats().restarts == 1


async def test_probe_answers_an_ask(mock_clock: MockClock) -> None:
    """A probe answers for the actor it stands in for."""
    async with open_kit() as kit, trio.open_nursery() as nursery:
        probe = kit.probe("executor")
        trader = await kit.spawn(Trader, probe.ref)
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await trader.ask(Question("?"), timeout=1))

        nursery.start_soon(ask)
        await kit.settle()
        assert probe.expect(Question) == Question("?")
        probe.reply(42)
        await kit.settle()
        assert answers == [42]


async def test_probe_that_ends_is_dead(mock_clock: MockClock) -> None:
    """A probe that ended fails its asks and is told nothing more."""
    async with open_kit() as kit:
        probe = kit.probe()
        probe.end()
        assert probe.ref.tell(Order(1.0)) is Delivery.DEAD
        with pytest.raises(ActorDead):
            await probe.ref.ask(Order(1.0), timeout=1)


async def test_probe_that_ends_fails_the_asks_that_it_has_taken(mock_clock: MockClock) -> None:
    """As an actor that dies over a question: whoever asked hears of it at once, not when its patience ends."""
    async with open_kit() as kit, trio.open_nursery() as nursery:
        probe = kit.probe("executor")
        heard: list[tuple[str, float]] = []

        async def ask(text: str) -> None:
            with pytest.raises(ActorDead):
                await probe.ref.ask(Question(text), timeout=60)
            heard.append((text, trio.current_time()))

        for text in ("first", "second"):
            nursery.start_soon(ask, text)
            await kit.settle()
            assert probe.expect(Question).text == text
        probe.end()
        await kit.settle()
        assert sorted(heard) == [("first", 0), ("second", 0)]


async def test_probe_that_answered_has_nothing_to_fail(mock_clock: MockClock) -> None:
    """An ask is answered once."""
    async with open_kit() as kit, trio.open_nursery() as nursery:
        probe, answers = kit.probe("executor"), list[object]()

        async def ask() -> None:
            answers.append(await probe.ref.ask(Question("?"), timeout=60))

        nursery.start_soon(ask)
        await kit.settle()
        probe.expect(Question)
        probe.reply(42)
        probe.end()
        await kit.settle()
        assert answers == [42]


async def test_probe_that_is_stopped_ends(mock_clock: MockClock) -> None:
    """Whoever stops a probe waits for the grace; then it has ended, and its name is free."""
    async with open_kit(grace_s=2) as kit:
        probe = kit.probe("executor")
        watcher = kit.probe("watcher")
        watcher.watch(probe.ref)
        await probe.ref.stop("enough")
        assert (trio.current_time(), probe.ref.alive) == (2, False)
        assert watcher.expect(Terminated) == Terminated(probe.ref, "enough")
        kit.probe("executor")


async def test_probe_watches(mock_clock: MockClock) -> None:
    """A probe can be told of an actor's end."""
    async with open_kit() as kit:
        probe = kit.probe()
        trader = await kit.spawn(Trader, probe.ref)
        probe.watch(trader)
        await trader.stop("enough")
        assert probe.expect(Terminated) == Terminated(trader, "enough")


async def test_probe_expectations_fail(mock_clock: MockClock) -> None:
    """An expectation that does not hold is an assertion error that says what came instead."""
    async with open_kit() as kit:
        probe = kit.probe()
        with pytest.raises(AssertionError, match="no message"):
            probe.expect(Order)
        probe.ref.tell(Order(1.0))
        with pytest.raises(AssertionError, match=r"Order\(price=1.0\)"):
            probe.expect_none()
        probe.ref.tell(Order(2.0))
        with pytest.raises(AssertionError, match="expected Tick"):
            probe.expect(Tick)


async def test_kit_closes_over_a_stuck_actor(mock_clock: MockClock) -> None:
    """Closing the kit passes as much virtual time as a stuck handler's grace takes."""

    class Stuck(Actor):
        @on(Tick)
        async def tick(self, tick: Tick) -> None:
            await trio.sleep_forever()

    async with open_kit() as kit:
        stuck = await kit.spawn(Stuck)
        stuck.tell(Tick(1.0))
        await kit.settle()
    assert trio.current_time() >= 5.0


async def test_kit_passes_an_error_of_the_test(mock_clock: MockClock) -> None:
    """An error in the test's body ends everything and comes out."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  # the body is what raises
        async with open_kit() as kit:
            await kit.spawn(Trader, kit.probe().ref)
            raise LookupError
    assert caught.group_contains(LookupError)


async def test_kit_is_cancelled_from_outside(mock_clock: MockClock) -> None:
    """A cancelled test leaves nothing that waits for a step."""
    with trio.CancelScope() as scope:
        async with open_kit() as kit:
            await kit.spawn(Trader, kit.probe().ref)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_kit_without_a_mock_clock() -> None:
    """The kit says what it needs."""
    with pytest.raises(Refused, match="mock_clock"):
        async with open_kit():
            pass


async def test_a_run_has_one_kit_at_a_time(mock_clock: MockClock) -> None:
    """Two would let time pass under each other; the next one after it is no other's business."""
    for name in ("first", "second"):
        async with open_kit(name) as kit:
            with pytest.raises(Refused, match=f"{name} is open"):
                async with open_kit("another"):
                    pass
            trader = await kit.spawn(Trader, kit.probe().ref)
            await kit.advance(2)
            assert trader.alive


async def test_time_passes_far_beyond_what_a_float_tells_in_nanoseconds(
    mock_clock: MockClock,
) -> None:
    """A clock of floats moves by several at once after half a year: what is due in one of these is still reached."""
    async with open_kit() as kit:
        trader = await kit.spawn(Trader, kit.probe().ref)
        mock_clock.jump(2.0e7)
        begun = len(kit.trace)
        for _ in range(300):
            await kit.advance(1 / 3)
        assert len(kit.trace) - begun >= 100
        assert trader.alive


async def test_kit_on_an_autojump_clock(autojump_clock: MockClock) -> None:
    """The kit also works where Trio itself lets time pass."""
    async with open_kit() as kit:
        trader = await kit.spawn(Trader, kit.probe().ref)
        await trio.sleep(10)
        await kit.settle()
        assert sum("Beat" in line for line in kit.trace) == 10
        assert trader.alive
