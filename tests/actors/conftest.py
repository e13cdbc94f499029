"""A feed worker in this process, on real sockets, with everything that it wrote and was sent at hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import numpy as np
import pytest
import trio
import trio.testing

from aegis.actors.feed_protocol import (
    SocketTerms,
    WorkerOrders,
    WorkerStatus,
    decode_status,
)
from aegis.actors.feed_worker import Worker
from aegis.market.records import TICK, TickKind
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader
from aegis.venue.idle_reads import read_while_idle

Tick = tuple[int, int, int, float, float, float, float]
"""Event time in ns, symbol, kind and the four numbers: a TICK without its receive stamp."""
TERMS: Final = SocketTerms(
    silence_ms=700,
    deadlines_ms={"markPrice": 2_500},
    acknowledge_ms=2_000,
    overlap_ms=100,
    handover_ms=5_000,
)
_PATIENCE_S: Final = 20.0


def tick_of(payload: bytes, symbols: tuple[str, ...]) -> Tick:
    """What a published payload has to become, read by other code than the feed's."""
    event = json.loads(payload)
    symbol = symbols.index(event["s"])
    if event["e"] == "bookTicker":
        numbers = [float(event[key]) for key in "baBA"]
        return (event["E"] * 1_000_000, symbol, TickKind.QUOTE, *numbers)
    if event["e"] == "markPriceUpdate":
        numbers = [float(event[key]) for key in "pirT"]
        return (event["E"] * 1_000_000, symbol, TickKind.MARK, *numbers)
    price, size = float(event["p"]), float(event["q"])
    sold, bought = (size, 0.0) if event["m"] else (0.0, size)
    return (event["T"] * 1_000_000, symbol, TickKind.TRADE, price, price, sold, bought)


def missing_without_gap(published: list[Tick], written: list[Tick]) -> list[Tick]:
    """The ticks of the ring that neither follow the one before, in what was published, nor a GAP.

    Args:
        published: all that the exchange has sent to anybody, in order.
        written: all that is in the ring, in order.
    """
    strays: list[Tick] = []
    for key in {tick[1:3] for tick in published}:
        sent = [tick for tick in published if tick[1:3] == key]
        places: dict[Tick, list[int]] = {}
        for place, tick in enumerate(sent):
            places.setdefault(tick, []).append(place)
        after_gap, possible = True, {0}  # where the next one may be found
        for tick in written:
            if tick[1] != key[0]:
                continue
            if tick[2] == TickKind.GAP:
                after_gap = True
            elif tick[2] == key[1]:
                lowest = min(possible)
                found = {
                    place + 1
                    for place in places.get(tick, ())
                    if (place >= lowest if after_gap else place in possible)
                }
                if not found:
                    strays.append(tick)
                    found = {place + 1 for place in places.get(tick, ())} or possible
                possible, after_gap = found, False
    return strays


@attrs.define
class Watch:
    """A worker at work."""

    worker: Worker
    symbols: tuple[str, ...]
    published: list[Tick]
    _reader: Reader
    _lines: trio.abc.ReceiveStream
    _rest: bytes = b""
    written: list[Tick] = attrs.Factory(list)

    async def until(self, reached: Callable[[WorkerStatus], bool]) -> WorkerStatus:
        """Read the worker's lines until one says so."""
        with trio.fail_after(_PATIENCE_S):
            while not reached(status := await self._next()):
                pass
        return status

    async def until_whole(self, whole_again: int = 2) -> None:
        """Return when everything is subscribed, and each symbol's quotes and trades have come anew."""
        await self.until(lambda status: status.subscribed)
        self.take()
        begin = len(self.written)
        wanted = {
            (index, kind)
            for index in range(len(self.symbols))
            for kind in (TickKind.QUOTE, TickKind.TRADE)
        }
        with trio.fail_after(_PATIENCE_S):
            while True:
                seen = [tick[1:3] for tick in self.written[begin:]]
                if all(seen.count(key) >= whole_again for key in wanted):
                    return
                await self._reader.wait()
                self.take()

    def take(self) -> None:
        """Take what is in the ring."""
        batch = np.zeros(1 << 12, TICK)
        while count := self._reader.read_into(batch):
            for event_ns, symbol, kind, _, _, *numbers in batch[:count].tolist():
                self.written.append((event_ns, symbol, kind, *numbers))

    def gaps(self) -> list[int]:
        """The symbols of the GAPs so far."""
        self.take()
        return [tick[1] for tick in self.written if tick[2] == TickKind.GAP]

    def strays(self) -> list[Tick]:
        """Ticks before which something is missing, or which came twice, without a GAP that says so."""
        self.take()
        return missing_without_gap(self.published, self.written)

    async def _next(self) -> WorkerStatus:
        while b"\n" not in self._rest:
            self._rest += await self._lines.receive_some()
        line, _, self._rest = self._rest.partition(b"\n")
        return decode_status(line)


@asynccontextmanager
async def watched_worker(
    streams_url: str,
    symbols: tuple[str, ...],
    streams: Iterable[str],
    terms: SocketTerms = TERMS,
    **orders: Any,
) -> AsyncIterator[Watch]:
    """A worker that holds these streams while the block runs."""
    with (
        Ring.create(TICK, 1 << 16) as ring,
        ring.reader("watch", policy=Policy.GATE) as reader,
        ring.writer() as writer,
        read_while_idle() as idle,
    ):
        order = WorkerOrders(
            ring_fd=ring.fd,
            wake_fds=ring.wake_fds,
            streams_url=streams_url,
            streams=tuple(streams),
            symbols=symbols,
            lossless=False,
            terms=terms,
            **orders,
        )
        worker = Worker(order, writer, idle)
        output, lines = trio.testing.memory_stream_one_way_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            nursery.start_soon(worker.report, output)
            yield Watch(worker, symbols, [], reader, lines)
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="session")
def watching() -> Any:
    """The block above, and its terms, for tests of any file here."""
    return watched_worker


@pytest.fixture(scope="session")
def terms() -> SocketTerms:
    """Deadlines that a test can wait for."""
    return TERMS


@pytest.fixture(scope="session")
def as_tick() -> Any:
    """See `tick_of`."""
    return tick_of
