"""The bus: who listens, who lags, and that nobody is held up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from aegis.errors import Refused
from aegis.kernel import Actor, Level, Priority, message, on
from aegis.kernel.bus import Bus, Subscription
from aegis.kernel.kit import open_kit


@message(Priority.INGEST)
class TickUpdate:
    symbol: str
    price: float = 1.0


@message(Priority.ANALYSIS)
class SignalGenerated:
    symbol: str


class Listener(Actor):
    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.INGEST: Level.drop_oldest(2)}

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    @on(TickUpdate)
    def tick(self, tick: TickUpdate) -> None:
        self.heard.append(tick.symbol)


async def hear(subscription: Subscription[TickUpdate], heard: list[str]) -> None:
    """Iterate to the end."""
    async for tick in subscription:
        heard.append(tick.symbol)  # noqa: PERF401  # as it comes


def test_bus_brings_events_by_type() -> None:
    """An event goes to those who listen to its type, and to nobody else."""
    bus = Bus()
    ticks = bus.subscribe(TickUpdate)
    signals = bus.subscribe(SignalGenerated)
    assert bus.publish(TickUpdate("a")) == 1
    assert bus.publish("nobody listens") == 0
    assert (ticks.lag, signals.lag) == (1, 0)


@pytest.mark.parametrize(
    ("level", "taken", "lag", "lost"),
    [
        (Level.drop_oldest(3), 10, 3, 7),
        (Level.reject(3), 3, 3, 7),
        (Level.block(3), 3, 3, 7),
        (Level.latest(lambda tick: tick.symbol), 10, 2, 8),
    ],
    ids=["drop oldest", "reject", "block", "latest"],
)
def test_bus_subscriber_has_its_own_policy(level: Level, taken: int, lag: int, lost: int) -> None:
    """A slow listener loses by its own policy; another one loses nothing, and publishing never fails."""
    bus = Bus()
    slow = bus.subscribe(TickUpdate, level)
    other = bus.subscribe(TickUpdate)
    counts = [bus.publish(TickUpdate("ab"[n % 2], float(n))) for n in range(10)]
    assert sum(counts) == taken + 10
    assert (slow.lag, slow.lost) == (lag, lost)
    assert (other.lag, other.lost) == (10, 0)


@pytest.mark.trio
async def test_bus_iterates_until_closed() -> None:
    """A listener gets the events in order; closing the bus ends it after what waits."""
    bus = Bus()
    heard: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hear, bus.subscribe(TickUpdate), heard)
        for symbol in "abc":
            bus.publish(TickUpdate(symbol))
            await wait_all_tasks_blocked()
        bus.publish(TickUpdate("d"))
        bus.close()
    assert heard == list("abcd")
    assert bus.publish(TickUpdate("e")) == 0


@pytest.mark.trio
async def test_bus_iteration_can_be_cancelled() -> None:
    """A listener is cancelled at its next event even when many wait, and no event is lost with it."""
    bus = Bus()
    heard: list[str] = []
    ticks = bus.subscribe(TickUpdate)
    for symbol in "abc":
        bus.publish(TickUpdate(symbol))
    with trio.CancelScope() as scope:
        async for tick in ticks:
            heard.append(tick.symbol)
            scope.cancel()
    assert scope.cancelled_caught
    bus.close()
    await hear(ticks, heard)
    assert heard == list("abc")


@pytest.mark.trio
async def test_bus_subscription_closes_itself() -> None:
    """A listener that leaves its block hears nothing more, and a waiting iteration ends."""
    bus = Bus()
    heard: list[str] = []
    async with trio.open_nursery() as nursery:
        with bus.subscribe(TickUpdate) as ticks:
            nursery.start_soon(hear, ticks, heard)
            await wait_all_tasks_blocked()
        ticks.close()
    assert heard == []
    assert bus.publish(TickUpdate("a")) == 0


@pytest.mark.trio
async def test_bus_forwards_to_an_actor(mock_clock: MockClock) -> None:
    """An actor listens with its own mailbox, and is forgotten when it ends."""
    bus = Bus()
    heard: list[str] = []
    async with open_kit() as kit:
        listener = await kit.spawn(Listener, heard)
        bus.forward(TickUpdate, listener)
        with pytest.raises(Refused, match="no handler"):
            bus.forward(SignalGenerated, listener)
        for symbol in "abc":
            assert bus.publish(TickUpdate(symbol)) == 1
        await listener.ask(TickUpdate("d"), timeout=1)
        await listener.stop()
        assert bus.publish(TickUpdate("e")) == 0
        assert bus.publish(TickUpdate("f")) == 0
        assert kit.system.stats().dead_letters == 1
    assert heard == ["c", "d"]
