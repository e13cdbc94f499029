"""Timers: keyed, on a grid or after the handling, and gone with the incarnation that set them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.lowlevel import current_statistics
from trio.testing import MockClock

from aegis.errors import Refused
from aegis.kernel import Actor, Level, ManualClock, Priority, Restart, message, on
from aegis.kernel.kit import Kit, open_kit
from aegis.kernel.mailbox import Delivery
from aegis.kernel.timers import Beat, Timer, Timers

MS = 1_000_000


@message(Priority.BACKGROUND)
class Tick:
    name: str
    busy_s: float = 0.0


@message(Priority.EXECUTION)
class Run:
    what: Callable[[Actor], Any]


@message(Priority.INGEST)
class Other:
    pass


class Clockwork(Actor):
    """Writes down when it ticks, in milliseconds; runs whatever it is told."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.BACKGROUND: Level.block(2)}

    def __init__(self, ticks: list[tuple[int, str]], first: Callable[[Actor], Any]) -> None:
        self.ticks = ticks
        self.first = first

    async def started(self) -> None:
        self.first(self)

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        self.ticks.append((self.ctx.clock.monotonic_ns() // MS, tick.name))
        if tick.busy_s:
            await trio.sleep(tick.busy_s)

    @on(Run)
    def run(self, run: Run) -> None:
        run.what(self)


def nothing(_: Actor) -> None:
    """Set no timer."""


async def run(kit: Kit, first: Callable[[Actor], Any], seconds: float) -> list[tuple[int, str]]:
    """The ticks of an actor that sets its timers with a function."""
    ticks: list[tuple[int, str]] = []
    await kit.spawn(Clockwork, ticks, first)
    await kit.advance(seconds)
    return ticks


@pytest.mark.trio
async def test_every_keeps_its_grid(mock_clock: MockClock) -> None:
    """A fixed rate counts from where it was set, and never drifts."""
    async with open_kit() as kit:
        ticks = await run(kit, lambda a: a.ctx.every("k", 0.1, Tick("t")), 10)
        assert ticks == [(n * 100, "t") for n in range(1, 101)]


@pytest.mark.trio
async def test_every_leaves_out_missed_beats(mock_clock: MockClock) -> None:
    """A slow handler misses beats and then goes on with the grid, instead of a burst."""
    async with open_kit() as kit:
        ticks = await run(kit, lambda a: a.ctx.every("k", 1.0, Tick("t", busy_s=2.5)), 10)
        assert [each for each, _ in ticks] == [1000, 4000, 7000, 10000]


@pytest.mark.trio
async def test_every_with_a_fixed_delay(mock_clock: MockClock) -> None:
    """A fixed delay counts from the end of the last handling."""
    async with open_kit() as kit:
        ticks = await run(
            kit, lambda a: a.ctx.every("k", 1.0, Tick("t", busy_s=0.5), fixed_delay=True), 5
        )
        assert [each for each, _ in ticks] == [1000, 2500, 4000]


@pytest.mark.trio
async def test_after_ticks_once(mock_clock: MockClock) -> None:
    """A timer that is set once ticks once, and at no delay at once."""

    def first(actor: Actor) -> None:
        actor.ctx.after("later", 1.5, Tick("later"))
        actor.ctx.after("now", 0, Tick("now"))

    async with open_kit() as kit:
        assert await run(kit, first, 10) == [(0, "now"), (1500, "later")]
        assert kit.system.stats().timers == 0


@pytest.mark.trio
async def test_timer_with_the_same_key_is_replaced(mock_clock: MockClock) -> None:
    """Setting a key again cancels the timer that had it."""

    def first(actor: Actor) -> None:
        actor.ctx.every("k", 1.0, Tick("old"))
        actor.ctx.after("k", 1.5, Tick("new"))

    async with open_kit() as kit:
        assert await run(kit, first, 5) == [(1500, "new")]


@pytest.mark.trio
async def test_cancelled_timer_is_void_in_the_mailbox(mock_clock: MockClock) -> None:
    """A tick that waits in the mailbox when its timer is cancelled is not handled."""

    def first(actor: Actor) -> None:
        actor.ctx.after("k", 1.0, Tick("void"))
        actor.ctx.cancel_timer("no such timer")

    async with open_kit() as kit:
        ticks: list[tuple[int, str]] = []
        clockwork = await kit.spawn(Clockwork, ticks, first)
        clockwork.tell(Tick("busy", busy_s=2))
        await kit.advance(1)
        assert clockwork.stats().depth[Priority.BACKGROUND] == 1
        # More urgent than the tick, so it is handled first.
        clockwork.tell(Run(lambda a: a.ctx.cancel_timer("k")))
        await kit.advance(3)
        assert ticks == [(0, "busy")]
        assert clockwork.stats().expired == 1


@pytest.mark.trio
async def test_timers_end_with_their_incarnation(mock_clock: MockClock) -> None:
    """After a crash only the timers that the next incarnation sets tick."""
    made: list[str] = []

    def first(actor: Actor) -> None:
        made.append(f"life {len(made) + 1}")
        actor.ctx.every("beat", 1.0, Tick(made[-1]))
        actor.ctx.after(made[-1], 5.0, Tick(f"late in {made[-1]}"))

    def crash(actor: Actor) -> None:
        raise ValueError

    async with open_kit() as kit:
        ticks: list[tuple[int, str]] = []
        clockwork = await kit.spawn(Clockwork, ticks, first, policy=Restart(backoff=0))
        await kit.advance(2.5)
        clockwork.tell(Run(crash))
        await kit.advance(2.6)
        assert ticks == [(1000, "life 1"), (2000, "life 1"), (3500, "life 2"), (4500, "life 2")]
        assert kit.system.stats().timers == 2


class Late(Clockwork):
    """Sets a timer when it is too late for one."""

    async def stopping(self, reason: object) -> None:
        self.ctx.every("late", 1.0, Tick("late"))


@pytest.mark.trio
async def test_timer_of_a_last_word_never_ticks(mock_clock: MockClock) -> None:
    """Not in the next incarnation, and nothing is left of it at the end."""

    def crash(actor: Actor) -> None:
        raise ValueError

    async with open_kit() as kit:
        ticks: list[tuple[int, str]] = []
        late = await kit.spawn(Late, ticks, nothing, policy=Restart(backoff=0))
        late.tell(Run(crash))
        await kit.advance(3)
        assert late.stats().restarts == 1
        await late.stop()
        assert ticks == []
        assert kit.system.stats().timers == 0


@pytest.mark.trio
async def test_timer_finds_a_full_mailbox(mock_clock: MockClock) -> None:
    """A tick that is rejected is lost, and the next beat tries again."""
    async with open_kit() as kit:
        ticks: list[tuple[int, str]] = []
        clockwork = await kit.spawn(
            Clockwork, ticks, lambda a: a.ctx.every("k", 1.0, Tick("t"), fixed_delay=True)
        )
        clockwork.tell(Tick("busy", busy_s=1.5))
        await kit.settle()
        clockwork.tell(Tick("queued"))
        clockwork.tell(Tick("queued"))
        await kit.advance(3)
        assert ticks == [(0, "busy"), (1500, "queued"), (1500, "queued"), (2000, "t"), (3000, "t")]


@pytest.mark.trio
async def test_timer_that_ticks_once_is_never_lost(mock_clock: MockClock) -> None:
    """A tick that finds no room is told again, so a deadline that hangs on it is kept, if late."""
    async with open_kit() as kit:
        ticks: list[tuple[int, str]] = []
        clockwork = await kit.spawn(
            Clockwork, ticks, lambda a: a.ctx.after("k", 1.0, Tick("deadline"))
        )
        for name in ("busy", "queued", "queued"):
            clockwork.tell(Tick(name, busy_s=1.5))
            await kit.settle()
        await kit.advance(10)
        assert ticks == [(0, "busy"), (1500, "queued"), (3000, "queued"), (4500, "deadline")]
        assert kit.system.stats().timers == 0


@pytest.mark.trio
@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan"), 0])
async def test_timer_without_a_sensible_time(mock_clock: MockClock, seconds: float) -> None:
    """A time that can never come, or a period of nothing, is refused."""
    async with open_kit() as kit:
        with pytest.raises(Refused, match="timer"):
            await kit.spawn(Clockwork, [], lambda a: a.ctx.every("k", seconds, Tick("t")))


@pytest.mark.trio
async def test_timer_for_an_unhandled_message(mock_clock: MockClock) -> None:
    """A timer whose ticks nobody would handle is refused when it is set."""
    async with open_kit() as kit:
        with pytest.raises(Refused, match="no handler"):
            await kit.spawn(Clockwork, [], lambda a: a.ctx.every("k", 1.0, Other()))


@pytest.mark.trio
async def test_timers_share_one_task(mock_clock: MockClock) -> None:
    """However many timers are set, no task comes with them."""

    def first(actor: Actor) -> None:
        for number in range(100):
            actor.ctx.every(number, 1.0 + number, Tick(str(number)))

    async with open_kit() as kit:
        await kit.spawn(Clockwork, [], nothing, name="without")
        before = current_statistics().tasks_living
        await kit.spawn(Clockwork, [], first, name="with")
        assert kit.system.stats().timers == 100
        assert current_statistics().tasks_living == before + 1  # the actor's own


@given(plans=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50), st.booleans())))
@settings(deadline=None)
def test_timers_fire_in_order(plans: list[tuple[int, int, bool]]) -> None:
    """Each timer fires once, exactly at its time, ties in the order they were set; a cancelled one never."""
    clock = ManualClock()
    timers = Timers(clock)
    fired: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []

    def advance_to(now_ns: int) -> None:
        while (due_ns := timers.next_due_ns()) is not None and due_ns <= now_ns:
            clock.move_to(due_ns)
            timers.fire_due()
        clock.move_to(now_ns)

    def deliver_for(number: int) -> Callable[[Timer], Delivery]:
        def deliver(timer: Timer) -> Delivery:
            fired.append((clock.monotonic_ns(), number))
            timer.done(None)
            return Delivery.OK

        return deliver

    for number, (pause, delay, is_cancelled) in enumerate(plans):
        advance_to(clock.monotonic_ns() + pause)
        timer = Timer(timers, Beat.ONCE, delay / 1e9, deliver_for(number), lambda: None)
        if is_cancelled:
            timer.cancel()
        else:
            expected.append((clock.monotonic_ns() + delay, number))
    advance_to(clock.monotonic_ns() + 100)
    assert fired == sorted(expected)


def test_timers_forget_cancelled_ones() -> None:
    """A timer that is set again and again leaves no more behind than it has to."""
    timers = Timers(ManualClock())
    for _ in range(10_000):
        Timer(timers, Beat.ONCE, 60.0, lambda _: Delivery.OK, lambda: None).cancel()
    assert len(timers) == 0
    assert len(timers.heap) < 200
