"""The engine's own Feed and Brain in a program of yours: `python examples/signals.py`.

They start in this program's nursery, beside the exchange that ships with the engine, and their signals are printed.
There is no Gate and no Executor here: nothing is ordered. Whatever takes `Signal` messages can stand in for the Gate.
"""

from __future__ import annotations

from functools import partial

import trio

from aegis.actors.brain import Brain
from aegis.actors.feed import Feed, FeedRecord
from aegis.actors.feed_protocol import WorkerOrders
from aegis.kernel import Actor, Restart, on, open_system
from aegis.kernel.clock import SystemClock
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK
from aegis.messages import Signal
from aegis.shm import Ring
from aegis.sim import ExchangeOptions, serve_exchange
from aegis.venue.binance_streams import tick_streams

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SIGNALS = 5  # then the program ends


class Printer(Actor):
    """Takes the place of the Gate: prints signals instead of judging them."""

    def __init__(self, enough: trio.Event) -> None:
        self.enough = enough
        self.printed = 0

    @on(Signal)
    def show(self, signal: Signal) -> None:
        """Print one."""
        side = signal.side.value if signal.side else "EXIT"
        print(f"{signal.symbol} {side} at {signal.price}, given up at {signal.stop:.4f}")
        self.printed += 1
        if self.printed == SIGNALS:
            self.enough.set()


async def main() -> None:
    """Start the exchange, the Feed with its worker process, and the Brain; end after a few signals."""
    enough = trio.Event()
    async with trio.open_nursery() as nursery:
        options = ExchangeOptions(seed=7, symbols=SYMBOLS)
        wall_ms = lambda: SystemClock.wall_ns() // 1_000_000  # noqa: E731
        server = await nursery.start(partial(serve_exchange, options, wall_ms=wall_ms))
        with Ring.create(TICK) as ring, ring.reader("brain") as reader:
            async with open_system("signals") as system:
                printer = await system.spawn(Printer, enough)
                analysis = Analysis(
                    symbols=len(SYMBOLS),
                    parameters=Parameters(interval_ms=100, pivot_bars=2, atr_period=7),
                )
                await system.spawn(Brain, reader, analysis, SYMBOLS, printer, name="brain")
                orders = WorkerOrders(
                    ring_fd=ring.fd,
                    wake_fds=ring.wake_fds,
                    streams_url=server.streams_url,
                    streams=tuple(tick_streams(SYMBOLS, "aggTrade")),
                    symbols=SYMBOLS,
                    lossless=False,
                )
                await system.spawn(Feed, orders, FeedRecord(), name="feed", policy=Restart())
                await enough.wait()
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
