"""Actors and their references: what a class may say, and what becomes of a message."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Mapping
from typing import ClassVar, Protocol

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from aegis.errors import MailboxFull, Refused, Unavailable, Unhandled
from aegis.kernel import (
    Actor,
    ActorRef,
    Delivery,
    Level,
    Priority,
    Restart,
    Terminated,
    message,
    on,
    open_system,
)
from aegis.kernel.kit import open_kit


@message(Priority.INGEST)
class Tick:
    symbol: str
    price: float = 1.0


@message(Priority.EXECUTION)
class Order:
    number: int


@message(Priority.ANALYSIS, ttl=1.0)
class Hint:
    text: str


@message(Priority.BACKGROUND)
class Pause:
    seconds: float


class Desk(Actor):
    """Keeps what it is given, and answers with how much that is."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(2),
        Priority.ANALYSIS: Level.drop_oldest(2),
        Priority.INGEST: Level.latest(lambda tick: tick.symbol),
        Priority.BACKGROUND: Level.reject(1),
    }

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    @on(Tick)
    @on(Order)
    def keep(self, each: Tick | Order) -> int:
        self.seen.append(each)
        return len(self.seen)

    @on(Hint)
    async def hint(self, hint: Hint) -> None:
        self.seen.append(hint)

    @on(Pause)
    async def pause(self, pause: Pause) -> float:
        await trio.sleep(pause.seconds)
        return pause.seconds


def test_message_is_a_frozen_value() -> None:
    """A message is compared by value, cannot be changed, and has no room for more attributes."""
    tick = Tick("BTCUSDT")
    assert tick == Tick("BTCUSDT", 1.0)
    assert hash(tick) == hash(Tick("BTCUSDT"))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        tick.price = 2.0  # type: ignore[misc]
    assert not hasattr(tick, "__dict__")


def test_message_type_carries_priority_and_ttl() -> None:
    """The type says how urgent its messages are and how long they live."""
    assert vars(Hint)["PRIORITY"] is Priority.ANALYSIS
    assert vars(Hint)["TTL_S"] == 1.0
    assert vars(Tick)["TTL_S"] is None


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan"), float("inf"), 1e300])
def test_message_ttl_makes_sense(ttl: float) -> None:
    """A message that would be late before it is sent is refused, and a SYSTEM message is never late."""
    for priority, seconds in ((Priority.INGEST, ttl), (Priority.SYSTEM, 1.0)):
        with pytest.raises(Refused):
            message(priority, ttl=seconds)


def test_an_actor_may_be_abstract_or_keep_a_protocol() -> None:
    """Its handlers are found as on any other class."""

    class Counts(Protocol):
        def count(self) -> int: ...

    class Base(Actor, abc.ABC):
        @abc.abstractmethod
        def count(self) -> int: ...

        @on(Order)
        def order(self, order: Order) -> int:
            return self.count()

    class Counter(Base, Counts):
        def count(self) -> int:
            return 1

    assert inspect.isabstract(Base)
    assert set(Counter.handlers) == {Order}


def test_handler_of_no_message_is_refused() -> None:
    """A handler for a type that is no message is an error when the class is made, with the place."""
    with pytest.raises(Refused, match=r"Bad.number .*test_actor.py:\d+\).*is no message"):

        class Bad(Actor):
            @on(int)
            def number(self, number: int) -> None: ...


def test_two_handlers_of_one_type_are_refused() -> None:
    """Two handlers for one type are an error when the class is made, and both places are named."""
    with pytest.raises(
        Refused,
        match=r"two handlers for Tick: .*Bad.one \(.*test_actor.py:\d+\) and .*Bad.two \(.*py:\d+\)",
    ):

        class Bad(Actor):
            @on(Tick)
            def one(self, tick: Tick) -> None: ...

            @on(Tick)
            def two(self, tick: Tick) -> None: ...


def test_bounded_system_level_is_refused() -> None:
    """The SYSTEM level cannot be bounded."""
    with pytest.raises(Refused, match="SYSTEM"):

        class Bad(Actor):
            mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.SYSTEM: Level.drop_oldest(1)}


def test_subclass_overrides_a_handler() -> None:
    """A method with the same name replaces its parent's, and only with `on` is it a handler."""

    class Loud(Desk):
        @on(Hint)
        async def hint(self, hint: Hint) -> None: ...

    class Deaf(Desk):
        async def hint(self, hint: Hint) -> None: ...

    assert Loud.handlers[Hint].function is Loud.hint
    assert Hint not in Deaf.handlers
    assert set(Desk.handlers) == {Tick, Order, Hint, Pause}


@pytest.mark.trio
async def test_tell_says_what_became_of_it(mock_clock: MockClock) -> None:
    """Each policy answers for itself, nothing raises, and every loss is counted."""
    seen: list[object] = []
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, seen)
        said = [
            [desk.tell(Order(number)) for number in range(3)],
            [desk.tell(Hint(str(number))) for number in range(3)],
            [desk.tell(Tick(symbol)) for symbol in "aba"],
            [desk.tell(Pause(0)) for _ in range(2)],
            [desk.tell("no message"), desk.tell(None)],
        ]
        ok = Delivery.OK
        assert said == [
            [ok, ok, Delivery.REJECTED],
            [ok, ok, Delivery.DROPPED_OLDEST],
            [ok, ok, Delivery.CONFLATED],
            [ok, Delivery.REJECTED],
            [Delivery.REJECTED, Delivery.REJECTED],
        ]
        await kit.settle()
        stats = desk.stats()
        assert stats.rejected == (0, 1, 0, 0, 1)
        assert stats.dropped == (0, 0, 1, 0, 0)
        assert stats.conflated == (0, 0, 0, 1, 0)
        assert stats.unhandled == 2
        assert stats.handled == 7
        assert stats.peak == (0, 2, 2, 2, 1)
        assert seen == [Order(0), Order(1), Hint("1"), Hint("2"), Tick("a"), Tick("b")]


@pytest.mark.trio
async def test_send_waits_for_room(mock_clock: MockClock) -> None:
    """Where the level blocks, `send` waits; a sender is never told that it was rejected."""
    seen: list[object] = []
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, seen)
        assert {await desk.send(Order(number)) for number in range(50)} == {Delivery.OK}
        await kit.settle()
        assert seen == [Order(number) for number in range(50)]
        assert await desk.send(object()) is Delivery.REJECTED


@pytest.mark.trio
async def test_send_does_not_wait_where_the_level_rejects(mock_clock: MockClock) -> None:
    """A level that rejects also rejects a `send`."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        desk.tell(Pause(0))
        assert await desk.send(Pause(0)) is Delivery.REJECTED


@pytest.mark.trio
async def test_send_can_be_cancelled(mock_clock: MockClock) -> None:
    """A `send` is a cancellation point even when there is room."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        with trio.CancelScope() as scope:
            scope.cancel()
            await desk.send(Order(1))
        assert scope.cancelled_caught
        assert desk.stats().depth == (0, 0, 0, 0, 0)


@pytest.mark.trio
async def test_ask_returns_what_the_handler_returns(mock_clock: MockClock) -> None:
    """The answer is the handler's return value, from a plain function as well."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        assert await desk.ask(Order(1), timeout=1) == 1
        assert await desk.ask(Tick("a"), timeout=1) == 2


@pytest.mark.trio
async def test_ask_that_is_too_slow(autojump_clock: MockClock) -> None:
    """When the timeout is over the asker goes on, and a question still queued is never handled."""
    seen: list[object] = []
    async with open_system() as system:
        desk = await system.spawn(Desk, seen)
        desk.tell(Pause(10))
        await wait_all_tasks_blocked()
        with pytest.raises(trio.TooSlowError):
            await desk.ask(Order(1), timeout=1)
        desk.tell(Order(2))
        await trio.sleep(20)
        assert seen == [Order(2)]
        assert desk.stats().expired == 1


@pytest.mark.trio
async def test_ask_waits_for_room_within_its_timeout(autojump_clock: MockClock) -> None:
    """The wait for room is part of the timeout."""
    async with open_system() as system:
        desk = await system.spawn(Desk, [])
        desk.tell(Pause(5))
        await wait_all_tasks_blocked()
        desk.tell(Order(1))
        desk.tell(Order(2))
        with pytest.raises(trio.TooSlowError):
            await desk.ask(Order(3), timeout=1)
        assert await desk.ask(Order(4), timeout=5) == 3


@pytest.mark.trio
async def test_ask_at_a_full_rejecting_level(mock_clock: MockClock) -> None:
    """An ask that is rejected fails at once."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        desk.tell(Pause(0))
        with pytest.raises(MailboxFull):
            await desk.ask(Pause(0), timeout=1)


@pytest.mark.trio
async def test_ask_without_a_handler(mock_clock: MockClock) -> None:
    """An ask that nobody would ever answer fails at once."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        with pytest.raises(Unhandled, match="<actor desk> has no handler for Terminated"):
            await desk.ask(Terminated(desk, "x"), timeout=1)
        assert desk.stats().unhandled == 1


@pytest.mark.trio
async def test_ask_is_not_conflated(autojump_clock: MockClock) -> None:
    """Two asks with one key are both answered: somebody waits for each."""
    seen: list[object] = []
    async with open_system() as system, trio.open_nursery() as nursery:
        desk = await system.spawn(Desk, seen)
        for price in (1.0, 2.0):
            nursery.start_soon(lambda p: desk.ask(Tick("a", p), timeout=1), price)
    assert sorted(each.price for each in seen if isinstance(each, Tick)) == [1.0, 2.0]


@pytest.mark.trio
async def test_ask_itself_is_refused(mock_clock: MockClock) -> None:
    """An actor that asks itself would wait for ever, so it is told at once; the same for its own stop."""

    class Narcissus(Actor):
        @on(Order)
        async def order(self, order: Order) -> list[str]:
            said = []
            for wait in (self.ctx.ref.ask(order, timeout=1), self.ctx.ref.stop()):
                with pytest.raises(Refused) as caught:
                    await wait
                said.append(str(caught.value))
            return said

    async with open_kit() as kit:
        narcissus = await kit.spawn(Narcissus)
        asks, stops = await narcissus.ask(Order(1), timeout=1)
        assert "asks itself" in asks
        assert "ctx.stop" in stops


@pytest.mark.trio
async def test_ttl_drops_what_is_late(mock_clock: MockClock) -> None:
    """A message that waited longer than its time to live is not handled; its asker is told."""
    seen: list[object] = []
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, seen)
        desk.tell(Pause(2))
        await kit.settle()
        desk.tell(Hint("late"))

        async def ask() -> None:
            with pytest.raises(Unavailable, match="waited too long"):
                await desk.ask(Hint("asked"), timeout=10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await kit.advance(2)
        desk.tell(Hint("in time"))
        await kit.settle()
        assert seen == [Hint("in time")]
        assert desk.stats().expired == 2


@pytest.mark.trio
async def test_faulty_key_does_not_reach_the_sender(mock_clock: MockClock) -> None:
    """A receiver whose key function raises rejects the message; its sender notices nothing else."""

    class Faulty(Actor):
        mailbox: ClassVar[Mapping[Priority, Level]] = {
            Priority.INGEST: Level.latest(lambda tick: tick.no_such_field),
            Priority.EXECUTION: Level.latest(lambda order: ([order],)),
        }

        @on(Tick)
        @on(Order)
        def tick(self, tick: Tick | Order) -> None: ...

    async with open_kit() as kit:
        faulty = await kit.spawn(Faulty)
        assert faulty.tell(Tick("a")) is Delivery.REJECTED
        assert faulty.tell(Order(1)) is Delivery.REJECTED
        assert faulty.stats().rejected == (0, 1, 0, 1, 0)


@pytest.mark.trio
async def test_names_are_unique_among_the_living(mock_clock: MockClock) -> None:
    """A name can be used again when its actor has ended; the class's name is the default."""
    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        assert (desk.name, repr(desk)) == ("desk", "<actor desk>")
        with pytest.raises(Refused, match="'desk'"):
            await kit.spawn(Desk, [])
        await desk.stop()
        await kit.spawn(Desk, [])


@pytest.mark.trio
async def test_watch_without_a_handler_is_refused(mock_clock: MockClock) -> None:
    """An actor that would never learn of the end it watches for is told so."""

    class Blind(Actor):
        def __init__(self, other: ActorRef) -> None:
            self.other = other

        async def started(self) -> None:
            self.ctx.watch(self.other)

    async with open_kit() as kit:
        desk = await kit.spawn(Desk, [])
        with pytest.raises(Refused, match="no handler for Terminated"):
            await kit.spawn(Blind, desk)


@pytest.mark.trio
async def test_chance_depends_on_seed_and_name(mock_clock: MockClock) -> None:
    """Each actor draws its own numbers, the same ones for the same seed and name."""

    class Gambler(Actor):
        @on(Order)
        def draw(self, order: Order) -> float:
            return self.ctx.random.random()

    async def draw(seed: int, name: str) -> float:
        async with open_kit(seed=seed) as kit:
            gambler = await kit.spawn(Gambler, name=name, policy=Restart())
            answer: float = await gambler.ask(Order(1), timeout=1)
            return answer

    assert await draw(1, "a") == await draw(1, "a")
    assert len({await draw(1, "a"), await draw(1, "b"), await draw(2, "a")}) == 3
