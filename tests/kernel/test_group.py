"""The corners of a group: crashes that meet each other, and its end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import Refused
from aegis.kernel import (
    ALL_FOR_ONE,
    REST_FOR_ONE,
    Actor,
    ActorRef,
    Group,
    Priority,
    Restart,
    message,
    on,
)
from aegis.kernel.kit import open_kit

pytestmark = pytest.mark.trio


class Clerk(Actor):
    """Waits for nothing."""


async def test_closed_group_takes_nobody(mock_clock: MockClock) -> None:
    """Nobody is spawned into a closed group or system, and the refusal takes no name."""
    async with open_kit() as kit:
        group = await kit.system.group("g")
        await group.stop()
        await kit.settle()
        with pytest.raises(Refused, match="g is closed"):
            await group.spawn(Clerk)
        with pytest.raises(Refused, match="g is closed"):
            await group.group("inner")
        assert (kit.system.tree(), kit.system.stats().actors) == ("kit", ())
        assert (await kit.spawn(Clerk)).alive
    with pytest.raises(Refused, match="kit is closed"):
        await kit.spawn(Clerk)
    with pytest.raises(Refused, match="kit is closed"):
        await kit.system.group("late")


@message(Priority.EXECUTION)
class Close:
    group: Group


class Insider(Actor):
    """Tries to close the group that it is in."""

    @on(Close)
    async def close(self, order: Close) -> str:
        with pytest.raises(Refused, match="cannot wait for the group's end"):
            await order.group.stop()
        return "refused"


async def test_group_cannot_be_stopped_from_inside(mock_clock: MockClock) -> None:
    """A member would wait for itself; that is said before anybody is stopped, from an inner group too."""
    async with open_kit() as kit:
        group = await kit.system.group("g")
        inner = await group.group("inner")
        insider = await inner.spawn(Insider)
        clerk = await group.spawn(Clerk)
        assert await insider.ask(Close(group), timeout=1) == "refused"
        assert insider.alive
        assert clerk.alive


@message(Priority.EXECUTION)
class Crash:
    pass


class Engine(Actor):
    """Takes its time to start and to stop, and writes both down."""

    stopping_timeout_s = 10.0

    def __init__(
        self, name: str, log: list[str], start_s: float = 0.0, stop_s: float = 0.0
    ) -> None:
        self.name = name
        self.log = log
        self.start_s = start_s
        self.stop_s = stop_s

    async def started(self) -> None:
        self.log.append(f"{self.name} begins")
        await trio.sleep(self.start_s)
        self.log.append(f"{self.name} started")

    async def stopping(self, reason: object) -> None:
        await trio.sleep(self.stop_s)
        self.log.append(f"{self.name} ends")

    @on(Crash)
    def crash(self, crash: Crash) -> None:
        raise ValueError(self.name)


OFTEN = Restart(max_restarts=10, backoff=0.1, ceiling=0.1)


async def test_crash_while_a_sibling_begins_again(mock_clock: MockClock) -> None:
    """One that has just started, and is taken along by a second crash, does not let the next begin before its time."""
    log: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=ALL_FOR_ONE)
        first = await group.spawn(Engine, "a", log, name="a", policy=OFTEN)
        await group.spawn(Engine, "b", log, 1.0, name="b", policy=OFTEN)
        await group.spawn(Engine, "c", log, name="c", policy=OFTEN)
        first.tell(Crash())
        await kit.advance(0.5)
        await group.spawn(Engine, "d", log, 0.0, 2.0, name="d", policy=OFTEN)
        log.clear()
        first.tell(Crash())
        await kit.advance(10)
        assert log == ["a ends", "b started", "d ends", "b ends"] + [
            f"{name} {what}" for name in "abcd" for what in ("begins", "started")
        ]


async def test_crash_while_one_behind_it_waits_to_begin_again(mock_clock: MockClock) -> None:
    """The one behind does not begin when its own wait is over, but when the one before it has started."""
    log: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=REST_FOR_ONE)
        refs = [
            await group.spawn(Engine, name, log, name=name, policy=OFTEN)
            for name in ("a", "b", "c")
        ]
        log.clear()
        refs[2].tell(Crash())
        await kit.advance(0.01)
        refs[0].tell(Crash())
        await kit.advance(5)
        assert log == ["c ends", "a ends", "b ends"] + [
            f"{name} {what}" for name in "abc" for what in ("begins", "started")
        ]


async def test_crash_after_a_restart_that_was_cut_short(mock_clock: MockClock) -> None:
    """One that was to be taken along, and was not, takes its siblings along when it fails itself later."""
    log: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=ALL_FOR_ONE)
        refs = [
            await group.spawn(Engine, name, log, 0.0, stop_s, name=name, policy=OFTEN)
            for name, stop_s in (("a", 0.0), ("b", 0.0), ("c", 1.0))
        ]
        refs[0].tell(Crash())
        await kit.advance(0.5)  # c takes its time to end, and b has not been told yet
        await refs[0].stop()
        await kit.advance(2)
        log.clear()
        refs[1].tell(Crash())
        await kit.advance(5)
        assert log == ["b ends", "c ends", "b begins", "b started", "c begins", "c started"]


class Gatekeeper(Actor):
    """Writes down at each beginning whether it may; in its second life it has another one crash."""

    def __init__(self, may_begin: list[bool], victims: list[ActorRef]) -> None:
        self.may_begin = may_begin
        self.victims = victims

    async def started(self) -> None:
        cell = self.ctx.ref.cell
        self.may_begin.append(cell.gate.is_set())
        if cell.restarts == 1 and self.victims:
            self.victims[0].tell(Crash())

    @on(Crash)
    def crash(self, crash: Crash) -> None:
        raise ValueError


@pytest.mark.parametrize("order", range(20))
async def test_nobody_begins_who_has_just_been_taken_along(
    order: int, mock_clock: MockClock
) -> None:
    """However the steps of the one that is let in, and of the one that crashes before it, fall together."""
    may_begin: list[bool] = []
    async with open_kit(order=order) as kit:
        group = await kit.system.group("g", strategy=REST_FOR_ONE)
        first = await group.spawn(Gatekeeper, may_begin, [], name="a", policy=OFTEN)
        await group.spawn(Gatekeeper, may_begin, [first], name="b", policy=OFTEN)
        await group.spawn(Gatekeeper, may_begin, [], name="c", policy=OFTEN)
        first.tell(Crash())
        await kit.advance(5)
        assert first.stats().restarts == 2
    assert all(may_begin)
