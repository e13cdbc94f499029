"""A Trio program of your own with actors in it: `python examples/embed.py`.

Two systems run side by side in the program's nursery, one for each market. A Feed makes prices, a Brain turns them
into signals, and the program prints what it hears on a bus. Nothing is global and no signal handler is installed: the
program stays in charge, and leaving the nursery ends everything in order.
"""

from __future__ import annotations

import trio

from aegis.kernel import Actor, ActorRef, Priority, Restart, message, on, open_system
from aegis.kernel.bus import Bus

SIGNALS = 3  # of each market, then the program ends


@message(Priority.BACKGROUND)
class Poll:
    """Time for the next price."""


@message(Priority.INGEST)
class Tick:
    """A price."""

    price: float


@message(Priority.ANALYSIS)
class Signal:
    """A price far from the mean of those before it."""

    market: str
    side: str
    price: float


class Feed(Actor):
    """Walks at random; stands in for whatever brings you prices."""

    def __init__(self, brain: ActorRef, price: float) -> None:
        self.brain = brain
        self.price = price

    async def started(self) -> None:
        """Poll a thousand times a second."""
        self.ctx.every("poll", 0.001, Poll())

    @on(Poll)
    def poll(self, poll: Poll) -> None:
        """Make a price; a full mailbox would say so and cost nothing but this tick."""
        self.price *= self.ctx.random.uniform(0.999, 1.001)
        self.brain.tell(Tick(self.price))


class Brain(Actor):
    """Keeps a slow mean, and publishes a signal when the price leaves it."""

    def __init__(self, market: str, bus: Bus) -> None:
        self.market = market
        self.bus = bus
        self.mean = 0.0

    @on(Tick)
    def tick(self, tick: Tick) -> None:
        """Follow the price."""
        self.mean = self.mean * 0.95 + tick.price * 0.05 if self.mean else tick.price
        distance = tick.price / self.mean - 1
        if abs(distance) > 0.002:
            side = "sell" if distance > 0 else "buy"
            self.bus.publish(Signal(self.market, side, tick.price))
            self.mean = tick.price


async def trade(market: str, price: float, bus: Bus) -> None:
    """Run one market's actors for as long as the nursery lets us."""
    async with open_system(market, seed=7) as system:
        brain = await system.spawn(Brain, market, bus, name="brain", policy=Restart())
        await system.spawn(Feed, brain, price, name="feed", policy=Restart())
        await trio.sleep_forever()


async def main() -> None:
    """Start both markets, print their signals, and end."""
    bus = Bus()
    wanted = {"BTCUSDT": SIGNALS, "ETHUSDT": SIGNALS}
    async with trio.open_nursery() as nursery:
        with bus.subscribe(Signal) as signals:
            nursery.start_soon(trade, "BTCUSDT", 60_000.0, bus)
            nursery.start_soon(trade, "ETHUSDT", 3_000.0, bus)
            async for signal in signals:
                if wanted[signal.market]:
                    wanted[signal.market] -= 1
                    print(f"{signal.market} {signal.side} at {signal.price:.2f}")
                if not any(wanted.values()):
                    break
        nursery.cancel_scope.cancel("we have seen enough")


if __name__ == "__main__":
    trio.run(main)
