"""The corners of an actor's life: stuck, stopped while it waits, cut short, failing in its last word."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import Refused
from aegis.kernel import (
    ALL_FOR_ONE,
    ESCALATE,
    STOP,
    Actor,
    ActorRef,
    Delivery,
    Priority,
    Restart,
    Terminated,
    message,
    on,
    open_system,
)
from aegis.kernel.kit import open_kit
from aegis.kernel.supervisor import Policy

pytestmark = pytest.mark.trio

SLOW = Restart(backoff=5, ceiling=5)


@message(Priority.EXECUTION)
class Run:
    """Runs a function in the actor."""

    what: Callable[[Puppet], Coroutine[Any, Any, object]]


async def crash(_: Puppet) -> None:
    """Fail."""
    raise ValueError("crash")


async def hang(_: Puppet) -> None:
    """Never end."""
    await trio.sleep_forever()


async def nothing(_: Puppet) -> None:
    """End at once."""


class Puppet(Actor):
    """Does what it is told, at its start, at its end and in between."""

    stopping_timeout_s = 1.0

    def __init__(
        self,
        log: list[str],
        name: str = "p",
        first: Callable[[Puppet], Coroutine[Any, Any, object]] = nothing,
        last: Callable[[Puppet], Coroutine[Any, Any, object]] = nothing,
    ) -> None:
        self.log = log
        self.name = name
        self.first = first
        self.last = last

    async def started(self) -> None:
        self.log.append(f"{self.name} begins")
        await self.first(self)

    async def stopping(self, reason: object) -> None:
        self.log.append(f"{self.name} ends: {reason}")
        await self.last(self)

    @on(Run)
    async def run(self, run: Run) -> object:
        return await run.what(self)


class Watcher(Actor):
    def __init__(self, other: ActorRef, seen: list[str]) -> None:
        self.other = other
        self.seen = seen

    async def started(self) -> None:
        if not self.seen:
            self.ctx.watch(self.other)

    @on(Terminated)
    def gone(self, terminated: Terminated) -> None:
        self.seen.append(f"{terminated.ref.name}: {terminated.reason}")

    @on(Run)
    async def run(self, run: Run) -> None:
        self.seen.append("crash")
        raise ValueError


async def test_stop_cancels_after_its_grace(mock_clock: MockClock) -> None:
    """A handler that never ends is cancelled when the grace is over, and the actor has its last word."""
    log: list[str] = []
    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, log)
        puppet.tell(Run(hang))
        await kit.settle()
        await puppet.stop("enough", grace_s=2)
        assert trio.current_time() == 2
        assert log == ["p begins", "p ends: enough"]
        assert puppet.stats().failed == 1


async def test_stop_of_an_actor_that_hangs_in_started(mock_clock: MockClock) -> None:
    """An actor that never starts can be stopped; its spawner then gets a reference of the dead."""
    refs: list[ActorRef] = []
    async with open_kit() as kit, trio.open_nursery() as nursery:

        async def spawn() -> None:
            refs.append(await kit.spawn(Puppet, [], "p", hang))

        nursery.start_soon(spawn)
        await kit.settle()
        await kit.system.root.children[0].ref.stop(grace_s=0)  # type: ignore[union-attr]
        await kit.settle()
        assert [ref.alive for ref in refs] == [False]


async def test_stop_while_it_waits_for_a_restart(mock_clock: MockClock) -> None:
    """A stop does not wait for the backoff, and what was queued becomes dead letters."""
    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, [], policy=SLOW)
        puppet.tell(Run(crash))
        puppet.tell(Run(nothing))
        await kit.settle()
        assert puppet.alive
        await puppet.stop("enough")
        assert trio.current_time() == 0
        assert await puppet.wait_stopped() == "enough"
        assert kit.system.stats().dead_letters == 1


async def test_stop_within_the_last_word_of_a_crash(mock_clock: MockClock) -> None:
    """A stop that comes while a crashed actor says its last word ends it; it does not begin again."""
    log: list[str] = []

    async def linger(_: Puppet) -> None:
        await trio.sleep(0.5)

    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, log, "p", nothing, linger, policy=Restart())
        puppet.tell(Run(crash))
        await kit.settle()
        await puppet.stop("enough")
        assert log == ["p begins", "p ends: crash"]


async def test_stop_twice_is_one(mock_clock: MockClock) -> None:
    """Two who stop an actor both wait for its one end; the first one's reason counts."""
    log: list[str] = []
    async with open_kit() as kit, trio.open_nursery() as nursery:
        puppet = await kit.spawn(Puppet, log)
        nursery.start_soon(puppet.stop, "first")
        await kit.settle()
        await puppet.stop("second")
        assert log[1:] == ["p ends: first"]


@pytest.mark.parametrize("policy", [STOP, Restart(), ESCALATE], ids=["stop", "restart", "escalate"])
async def test_last_word_that_fails(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture, policy: Policy
) -> None:
    """A failure in `stopping` is logged, and raised where failures are; the actor has ended all the same."""

    async def play() -> None:
        async with open_kit() as kit:
            puppet = await kit.spawn(Puppet, [], "p", nothing, crash, policy=policy)
            with trio.CancelScope(shield=True):
                await puppet.stop()
            assert not puppet.alive

    if policy is ESCALATE:
        with pytest.raises(ExceptionGroup) as caught:
            await play()
        assert caught.group_contains(ValueError)
    else:
        await play()
    assert (
        "aegis.kernel",
        logging.ERROR,
        "<actor puppet> failed in stopping",
    ) in caplog.record_tuples


async def test_spawn_that_is_cancelled_leaves_nothing(mock_clock: MockClock) -> None:
    """Giving up on a start ends the actor with its last word, and its name is free again."""
    log: list[str] = []
    async with open_kit() as kit:
        with trio.move_on_after(1):
            await kit.spawn(Puppet, log, "p", hang)
        assert log == ["p begins", "p ends: cancelled"]
        assert kit.system.tree() == "kit"
        await kit.spawn(Puppet, log)


async def test_sibling_that_hangs_is_cut_off(mock_clock: MockClock) -> None:
    """A sibling that does not end for a common restart is cancelled after the grace, and then begins again."""
    log: list[str] = []
    async with open_kit(grace_s=2) as kit:
        group = await kit.system.group("g", strategy=ALL_FOR_ONE)
        refs = [await group.spawn(Puppet, log, n, name=n, policy=Restart()) for n in "ab"]
        log.clear()
        refs[1].tell(Run(hang))
        refs[0].tell(Run(crash))
        await kit.advance(3)
        assert log == ["a ends: crash", "b ends: <actor a> restarts", "a begins", "b begins"]


async def test_common_restart_that_is_cut_short(mock_clock: MockClock) -> None:
    """When the failed one is stopped while its group restarts, the others begin again without it."""
    log: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=ALL_FOR_ONE)
        refs = [await group.spawn(Puppet, log, n, name=n, policy=SLOW) for n in "abc"]
        log.clear()
        refs[1].tell(Run(crash))
        await kit.advance(1)
        await refs[1].stop()
        await kit.advance(1)
        assert log[-2:] == ["a begins", "c begins"]
        assert [ref.alive for ref in refs] == [True, False, True]


async def test_group_closes_while_it_restarts(mock_clock: MockClock) -> None:
    """Closing a group in the middle of a common restart begins nobody again."""
    log: list[str] = []
    async with open_kit() as kit:
        group = await kit.system.group("g", strategy=ALL_FOR_ONE)
        refs = [await group.spawn(Puppet, log, n, name=n, policy=SLOW) for n in "abc"]
        log.clear()
        refs[1].tell(Run(crash))
        await kit.advance(1)
        await group.stop()
        await kit.advance(10)
        assert [line for line in log if "begins" in line] == []
        assert kit.system.tree() == "kit"


async def test_groups_nest_and_close(mock_clock: MockClock) -> None:
    """A group inside a group is closed with it, right to left, and the system goes on."""
    log: list[str] = []
    async with open_kit() as kit:
        outer = await kit.system.group("outer")
        await outer.spawn(Puppet, log, "a", name="a")
        inner = await outer.group("inner")
        await inner.spawn(Puppet, log, "b", name="b")
        await outer.spawn(Puppet, log, "c", name="c")
        assert "│" not in kit.system.tree().splitlines()[-1]
        await outer.stop("closed")
        assert [line for line in log if "ends" in line] == [f"{n} ends: closed" for n in "cba"]
        assert (await kit.spawn(Puppet, log, "d")).alive


async def test_failure_in_a_group_reaches_the_system(mock_clock: MockClock) -> None:
    """What escalates in a group ends its siblings, and then everything, with the cause and a note."""
    log: list[str] = []
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012  # leaving the block raises
        async with open_kit() as kit:
            group = await kit.system.group("g")
            await group.spawn(Puppet, log, "a", name="a")
            bad = await group.spawn(Puppet, log, "b", name="b")
            await kit.spawn(Puppet, log, "c", name="c")
            bad.tell(Run(crash))
            await trio.sleep_forever()
    assert caught.group_contains(ValueError, match="crash")
    assert sorted(line for line in log if "ends" in line) == [
        "a ends: cancelled",
        "b ends: crash",
        "c ends: cancelled",
    ]


async def test_death_notice_survives_a_restart(mock_clock: MockClock) -> None:
    """An end that is told while the watcher is between two lives is waiting for the next."""
    seen: list[str] = []
    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, [])
        watcher = await kit.spawn(Watcher, puppet, seen, policy=Restart(backoff=1))
        watcher.tell(Run(nothing))
        await kit.settle()
        await puppet.stop("enough")
        assert seen == ["crash"]
        await kit.advance(1)
        assert seen == ["crash", "puppet: enough"]


async def test_watcher_that_ends_is_forgotten(mock_clock: MockClock) -> None:
    """A watcher that has ended is not told any more, which would be a dead letter."""
    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, [])
        watcher = await kit.spawn(Watcher, puppet, [])
        await watcher.stop()
        await puppet.stop()
        assert kit.system.stats().dead_letters == 0


async def test_crash_beside_a_cancellation(mock_clock: MockClock) -> None:
    """A task that fails while the run is cancelled does not hide the cancellation, and no restart comes of it."""
    log: list[str] = []

    async def fail_in_cleanup(puppet: Puppet) -> None:
        try:
            await trio.sleep_forever()
        finally:
            puppet.log.append("cleanup")
            raise LookupError("cleanup")

    async def start(puppet: Puppet) -> None:
        puppet.ctx.start_soon(fail_in_cleanup, puppet)

    with pytest.raises(ExceptionGroup) as caught, trio.CancelScope() as scope:  # noqa: PT012
        async with open_kit() as kit:
            await kit.spawn(Puppet, log, "p", start, policy=Restart())
            await kit.settle()
            scope.cancel()
            await trio.sleep_forever()
    assert caught.group_contains(LookupError)
    assert [line for line in log if "begins" in line] == ["p begins"]


async def test_offload_runs_in_a_thread() -> None:
    """On the machine's clock a function is offloaded to a thread, and its result comes back."""

    async def where(puppet: Puppet) -> threading.Thread:
        return await puppet.ctx.offload(threading.current_thread)

    async with open_system() as system:
        puppet = await system.spawn(Puppet, [])
        assert await puppet.ask(Run(where), timeout=10) is not threading.main_thread()


async def test_kit_waits_for_a_thread(mock_clock: MockClock) -> None:
    """Virtual time does not run past a thread that the test has started."""
    may_end = threading.Event()

    async def wait_in_a_thread(_: Puppet) -> str:
        with trio.fail_after(1):
            return await trio.to_thread.run_sync(lambda: str(may_end.wait()))

    async with open_kit() as kit, trio.open_nursery() as nursery:
        puppet = await kit.spawn(Puppet, [])
        nursery.start_soon(trio.to_thread.run_sync, may_end.set)
        assert await puppet.ask(Run(wait_in_a_thread), timeout=0.5) == "True"


@pytest.mark.parametrize(
    "budget",
    [{"max_restarts": 0}, {"within": 0}, {"backoff": -1}, {"backoff": 9}],
    ids=["none", "no time", "back in time", "above the ceiling"],
)
async def test_budget_that_makes_no_sense(budget: dict[str, Any]) -> None:
    """A restart budget that cannot be kept is refused."""
    with pytest.raises(Refused, match="budget"):
        Restart(**budget)


async def test_tell_between_two_lives(mock_clock: MockClock) -> None:
    """What is told to an actor that waits for its restart is accepted and handled afterwards."""
    log: list[str] = []

    async def note(puppet: Puppet) -> None:
        puppet.log.append("handled")

    async with open_kit() as kit:
        puppet = await kit.spawn(Puppet, log, policy=SLOW)
        puppet.tell(Run(crash))
        await kit.settle()
        assert puppet.tell(Run(note)) is Delivery.OK
        await kit.advance(5)
        assert log[-2:] == ["p begins", "handled"]
