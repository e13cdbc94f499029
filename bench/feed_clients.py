"""More peers of `bench.feed`, on asyncio: the websockets package, and cryptofeed from its socket to its callback."""

from __future__ import annotations

import asyncio
import importlib
import time
from types import ModuleType
from typing import Any

from bench.feed_peers import Counter
from bench.feed_server import DONE, EPOCH_US, SYMBOLS, Address
from bench.feed_work import Taken

__all__ = ["take_by_cryptofeed", "take_by_websockets"]


def take_by_websockets(websockets: ModuleType, address: Address, path: str, count: int) -> Taken:
    """The most used client, with msgspec to decode."""
    counter = Counter()

    async def listen() -> Taken:
        url = f"ws://127.0.0.1:{address.plain}{path}"
        async with websockets.connect(url, compression=None, ping_interval=None) as socket:
            cpu = time.process_time()
            async for frame in socket:
                if frame == DONE.decode():
                    break
                counter.take(frame)
            taken = counter.taken(count, time.process_time() - cpu)
            socket.transport.abort()  # the server has no closing handshake
        return taken

    return asyncio.run(listen())


class Objects(Counter):
    """Counts what cryptofeed calls back with: objects of its own, with `Decimal` prices and sizes."""

    async def traded(self, trade: Any, _: float) -> None:
        """A trade."""
        self._took(float(trade.amount))
        sent_us = round(trade.timestamp * 1000)
        self.late_us.append(time.monotonic_ns() / 1000 + EPOCH_US - sent_us)

    def _took(self, size: float) -> None:
        if self.count == 0:
            self.started_ns = time.monotonic_ns()
        self.size += size
        self.count += 1


def take_by_cryptofeed(cryptofeed: ModuleType, address: Address, path: str, count: int) -> Taken:
    """Its connection, its decoder and its callback; trades alone, since it does not know today's quotes."""
    exchanges = importlib.import_module(f"{cryptofeed.__name__}.exchanges")
    connection = importlib.import_module(f"{cryptofeed.__name__}.connection")
    symbols = importlib.import_module(f"{cryptofeed.__name__}.symbols")
    names = {f"{name.removesuffix('USDT')}-USDT-PERP": name for name in SYMBOLS}
    kinds = {"tick_size": {}, "instrument_type": dict.fromkeys(names, "perpetual")}
    symbols.Symbols.set("BINANCE_FUTURES", names, kinds)
    counter = Objects()
    feed = exchanges.BinanceFutures(
        symbols=list(names), channels=["trades"], callbacks={"trades": counter.traded}
    )

    async def listen() -> Taken:
        wire = connection.WSAsyncConn("wss://localhost", "bench", compression=None)
        wire.address = f"ws://127.0.0.1:{address.plain}{path}"
        async with wire.connect() as opened:
            cpu = time.process_time()
            async for frame in opened.read():
                if frame == DONE.decode():
                    break
                await feed.message_handler(frame, opened, opened.last_message)
            taken = counter.taken(count, time.process_time() - cpu)
            opened.conn.transport.abort()
        return taken

    return asyncio.run(listen())
