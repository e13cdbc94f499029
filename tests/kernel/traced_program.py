"""A program that prints the hash of its trace; run in fresh processes by `test_determinism`.

It has all that makes Trio's order random: equal deadlines, mass cancellation, sets of strings, tasks that are ready at
the same time, crashes and restarts.
"""

from __future__ import annotations

import sys

import trio
from trio.testing import MockClock

from aegis.kernel import ALL_FOR_ONE, Actor, ActorRef, Priority, Restart, message, on
from aegis.kernel.kit import open_kit


@message(Priority.INGEST)
class Tick:
    number: int


@message(Priority.EXECUTION)
class Echo:
    number: int


@message(Priority.BACKGROUND)
class Beat:
    pass


class Peer(Actor):
    """Sleeps, asks and tells in ways that tie with its peers'."""

    def __init__(self, peers: dict[str, ActorRef], name: str) -> None:
        self.peers = peers
        self.name = name
        self.count = 0

    async def started(self) -> None:
        self.peers[self.name] = self.ctx.ref
        self.ctx.every("beat", 0.1, Beat())
        self.ctx.start_soon(self.wander)

    async def wander(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.sleep, 0.05)
            await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        # A set of strings: its order depends on the hash seed, so it may not decide anything here but does nothing.
        self.count += len({f"{self.name}{number}" for number in range(10)})

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        await trio.sleep(0.05 * (tick.number % 3))
        if tick.number % 17 == 16:
            raise ValueError(tick.number)
        other = self.peers[sorted(self.peers)[tick.number % len(self.peers)]]
        if other is not self.ctx.ref:
            with trio.move_on_after(0.05):
                other.tell(Echo(await other.ask(Echo(tick.number), timeout=1)))

    @on(Echo)
    async def echo(self, echo: Echo) -> int:
        await trio.sleep(0.01)
        return echo.number + 1

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        self.count += 1


async def main(order: int | None) -> str:
    """Run everything; returns the number of steps and the hash of the trace."""
    async with open_kit(seed=7, order=order) as kit:
        group = await kit.system.group("peers", strategy=ALL_FOR_ONE)
        peers: dict[str, ActorRef] = {}
        policy = Restart(max_restarts=100, within=1.0)
        refs = [
            await group.spawn(Peer, peers, f"p{n}", name=f"p{n}", policy=policy) for n in range(6)
        ]
        for number in range(60):
            refs[number % 6].tell(Tick(number))
            if number % 10 == 9:
                await kit.advance(0.1)
        await kit.advance(5)
        return f"{kit.steps} {kit.trace_hash()}"


if __name__ == "__main__":
    order = int(sys.argv[1]) if len(sys.argv) > 1 else None
    sys.stdout.write(trio.run(main, order, clock=MockClock()))
