"""The feed worker: a process of its own that holds the market sockets and writes TICK records into the ring.

It is told everything by one line on its standard input, answers with a line of figures a second, and ends when its
input ends: that is both the order to stop and what happens when its parent is gone. The kernel kills it as well
when its parent dies (`die_with_parent`), should its loop be too busy to see the end of its input.
"""

from __future__ import annotations

import gc
import os
from typing import Final

import msgspec
import trio
import trio_websocket

from aegis.actors.feed_protocol import LINE_BYTES_MAX, WorkerOrders, WorkerStatus, encode_line
from aegis.actors.tick_sink import TickSink
from aegis.compiled import forbid_compiling
from aegis.errors import Unavailable, check
from aegis.kernel.clock import SystemClock, seeded_random
from aegis.kernel.process import LineReader, die_with_parent
from aegis.market.records import TICK, received_us
from aegis.shm import Ring
from aegis.shm.writer import Writer
from aegis.venue.backoff import Backoff
from aegis.venue.binance_streams import Route, by_route, market_url, subscribe_frames
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_symbols import SymbolTable
from aegis.venue.websocket import open_socket

__all__ = ["Worker", "main"]

QUEUE: Final = 65_536
"""Frames that may wait for us before the library stops reading, and so stops answering pings."""
_STATUS_S: Final = 1.0
_PACE_S: Final = 0.15
"""Between two SUBSCRIBE frames: a connection may send ten messages a second."""


class Worker:
    """The market sockets, one for each route, and their figures."""

    def __init__(self, orders: WorkerOrders, writer: Writer) -> None:
        self._orders = orders
        self._sink = TickSink(writer, orders.symbols, lossless=orders.lossless)
        self._clock = SystemClock()
        self._routes = by_route(orders.streams)
        self._unacknowledged = {r: len(subscribe_frames(s)) for r, s in self._routes.items()}
        table = SymbolTable(orders.symbols)
        self._lanes = {
            route: Lane(writer, table, self._clock, lossless=orders.lossless)
            for route in self._routes
        }
        self._frames = dict.fromkeys(self._routes, 0)
        self._connects = 0
        self._subscribed = trio.Event()

    async def run(self) -> None:
        """Hold every socket, for ever."""
        async with trio.open_nursery() as nursery:
            for route in self._routes:
                nursery.start_soon(self._hold, route)

    async def report(self, output: trio.abc.SendStream) -> None:
        """Send a line of figures each second, and one at once when everything is subscribed."""
        while True:
            try:
                await output.send_all(encode_line(self.status()) + b"\n")
            except trio.BrokenResourceError:
                return  # the parent is gone: the end of our input says so too
            with trio.move_on_after(_STATUS_S):
                await self._subscribed.wait()
                self._subscribed = trio.Event()

    def status(self) -> WorkerStatus:
        """The figures now."""
        sink = self._sink
        dropped = sum(lane.dropped for lane in self._lanes.values())
        return WorkerStatus(
            ticks=sink.ticks + sum(lane.taken for lane in self._lanes.values()) - dropped,
            gaps=sink.gaps,
            dropped=sink.dropped + dropped,
            malformed=sink.malformed,
            strangers=sink.strangers,
            connects=self._connects,
            subscribed=not any(self._unacknowledged.values()),
            quarantine=tuple(sink.quarantine),
        )

    async def _hold(self, route: Route) -> None:
        """One route's socket, connected again whenever it ends or falls silent."""
        backoff = Backoff(seeded_random(f"feed {route.value}"))
        broken = self._orders.broken_before
        while True:
            try:
                url = market_url(self._orders.streams_url, route)
                async with open_socket(url, queue=QUEUE, lane=self._lanes[route]) as socket:
                    self._connects += 1
                    if broken:
                        await self._sink.mark_gaps(self._routes[route], self._now_us())
                    await self._converse(socket, route, backoff)
            except* Unavailable:
                pass  # `connects` shows it, and a GAP marks the place in the ring
            broken = True
            await trio.sleep(backoff.next_s())

    async def _converse(
        self, socket: trio_websocket.WebSocketConnection, route: Route, backoff: Backoff
    ) -> None:
        """Subscribe and read, until the socket ends or falls silent."""
        self._unacknowledged[route] = len(subscribe_frames(self._routes[route]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._subscribe, socket, route)
            nursery.start_soon(self._watch_silence, route, nursery.cancel_scope)
            await self._read(socket, route, backoff)

    async def _read(
        self, socket: trio_websocket.WebSocketConnection, route: Route, backoff: Backoff
    ) -> None:
        while True:
            frame = await socket.get_message()
            backoff.succeeded()  # a server that only accepts and closes does not get this far
            self._frames[route] += 1
            reply = await self._sink.take(frame, self._now_us())
            if reply is not None and reply.is_acknowledgement:
                self._acknowledge(route)

    async def _subscribe(self, socket: trio_websocket.WebSocketConnection, route: Route) -> None:
        for frame in subscribe_frames(self._routes[route]):
            await socket.send_message(frame.decode())  # control frames are text
            await trio.sleep(_PACE_S)

    async def _watch_silence(self, route: Route, conversation: trio.CancelScope) -> None:
        """A socket may stay open, answer pings and say nothing: that counts as dead."""
        seen = -1
        while seen != (heard := self._frames[route] + self._lanes[route].taken):
            seen = heard
            await trio.sleep(self._orders.silence_ms / 1000)
        conversation.cancel()

    def _acknowledge(self, route: Route) -> None:
        check(self._unacknowledged[route] > 0, "no more replies than SUBSCRIBE frames")
        self._unacknowledged[route] -= 1
        if not any(self._unacknowledged.values()):
            self._subscribed.set()

    def _now_us(self) -> int:
        return received_us(self._clock.monotonic_ns())


async def work() -> None:
    """Take the orders, and carry them out until the input ends."""
    lines = LineReader(trio.lowlevel.FdStream(os.dup(0)), LINE_BYTES_MAX)
    line = await lines.read()
    if line is None:
        return
    orders = msgspec.json.decode(line, type=WorkerOrders)
    output = trio.lowlevel.FdStream(os.dup(1))
    with Ring.attach(TICK, fd=orders.ring_fd, wake_fds=orders.wake_fds) as ring, ring.writer() as w:
        forbid_compiling()
        gc.freeze()  # what is here now stays: the collector need not look at it again, at the end neither
        worker = Worker(orders, w)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.run)
            nursery.start_soon(worker.report, output)
            while await lines.read() is not None:
                pass  # nothing more is said to it; the end is what it waits for
            nursery.cancel_scope.cancel()


def main() -> None:
    """Run as a process: `python -m aegis.actors.feed_worker`."""
    die_with_parent()
    trio.run(work)


if __name__ == "__main__":
    main()
