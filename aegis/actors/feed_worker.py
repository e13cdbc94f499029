"""The feed worker: a process of its own that holds the market sockets and writes TICK records into the ring.

It is told everything by one line on its standard input, answers with a line of figures a second, and ends when its
input ends: that is both the order to stop and what happens when its parent is gone. The kernel kills it as well
when its parent dies (`die_with_parent`), should its loop be too busy to see the end of its input.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import trio

from aegis.actors.feed_protocol import (
    LINE_BYTES_MAX,
    BookFigures,
    WorkerOrders,
    WorkerStatus,
    encode_line,
)
from aegis.actors.garbage import Collector
from aegis.actors.shard_keeper import FeedParts, ShardKeeper
from aegis.actors.tick_sink import TickSink
from aegis.compiled import forbid_compiling
from aegis.kernel.clock import SystemClock, seeded_random
from aegis.kernel.cores import leave_the_last_core
from aegis.kernel.process import LineReader
from aegis.market.book_top import BOOK_TOP
from aegis.market.records import TICK
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.shm.writer import Writer
from aegis.venue.admission import Admission, AdmissionRules
from aegis.venue.depth_snapshots import DepthSnapshots
from aegis.venue.fastlane import Fate, Lane
from aegis.venue.fastlane_symbols import SymbolTable
from aegis.venue.idle_reads import IdleReads, read_while_idle
from aegis.venue.pace import Pace
from aegis.venue.shards import plan_shards

if TYPE_CHECKING:
    from aegis.actors.book_keeper import BookKeeper

__all__ = ["Worker", "work"]

_STATUS_S: Final = 1.0
_TIDY_S: Final = 1.0
_ATTEMPTS: Final = 250
"""To connect, within five minutes: the exchange bans an address at 300."""
_ATTEMPTS_S: Final = 300.0


class Worker:
    """The shards, and their figures; the order books, if there are to be any."""

    def __init__(
        self,
        orders: WorkerOrders,
        writer: Writer,
        idle: IdleReads,
        books: BookKeeper | None = None,
    ) -> None:
        clock = SystemClock()
        # In a replay exchange time does not pass as ours does.
        future_ms = 0 if orders.lossless else orders.future_ms
        rules = AdmissionRules(future_ms=future_ms, jump_sigmas=orders.jump_sigmas)
        self._admission = Admission(len(orders.symbols), rules)
        self._books = books
        self._sink = TickSink(
            writer, orders.symbols, lossless=orders.lossless, admission=self._admission, books=books
        )
        memory = None if books is None else books.books
        table = SymbolTable(orders.symbols)
        self._changed = trio.Event()

        def make_lane() -> Lane:
            return Lane(
                writer,
                table,
                clock,
                lossless=orders.lossless,
                admission=self._admission,
                books=memory,
            )

        parts = FeedParts(
            streams_url=orders.streams_url,
            symbols={symbol: index for index, symbol in enumerate(orders.symbols)},
            terms=orders.terms,
            sink=self._sink,
            admission=self._admission,
            clock=clock,
            attempts=Pace(_ATTEMPTS, _ATTEMPTS_S),
            idle=idle,
            make_lane=make_lane,
            notice=self._notice,
            books=books,
        )
        self._keepers = [
            ShardKeeper(
                shard, parts, seeded_random(f"feed {shard.name}"), is_broken=orders.broken_before
            )
            for shard in plan_shards(orders.streams, orders.streams_per_socket)
        ]

    async def run(self) -> None:
        """Hold every shard, for ever."""
        async with trio.open_nursery() as nursery:
            for keeper in self._keepers:
                nursery.start_soon(keeper.run)
            if self._books is not None:
                nursery.start_soon(self._books.run)

    async def report(self, output: trio.abc.SendStream) -> None:
        """Send a line of figures each second, and one at once when something has changed."""
        while True:
            self._changed = trio.Event()
            try:
                await output.send_all(encode_line(self.status()) + b"\n")
            except trio.BrokenResourceError:
                return  # the parent is gone: the end of our input says so too
            with trio.move_on_after(_STATUS_S):
                await self._changed.wait()

    def _notice(self) -> None:
        self._changed.set()

    def status(self) -> WorkerStatus:
        """The figures now."""
        sink, admission = self._sink, self._admission
        lanes = [lane for keeper in self._keepers for lane in keeper.lanes]
        shards = tuple(keeper.status() for keeper in self._keepers)
        dropped = sum(lane.dropped for lane in lanes)
        return WorkerStatus(
            ticks=sink.ticks + sum(lane.taken for lane in lanes) - dropped,
            gaps=sink.gaps + sum(lane.gaps for lane in lanes),
            dropped=sink.dropped + dropped,
            malformed=sink.malformed,
            future=sink.future,
            outliers=sink.outliers,
            strangers=sink.strangers,
            duplicates=sink.duplicates + sum(lane.fates[Fate.DUPLICATE] for lane in lanes),
            late=admission.late,
            holes=admission.holes,
            connects=sum(shard.connects for shard in shards),
            subscribed=all(shard.subscribed for shard in shards),
            quarantine=tuple(sink.quarantine),
            shards=shards,
            books=BookFigures() if self._books is None else self._books.figures(),
        )


@asynccontextmanager
async def open_books(orders: WorkerOrders) -> AsyncIterator[BookKeeper | None]:
    """The order books of a run for the time of a block, if it has any."""
    if orders.board_fd < 0:
        yield None
        return
    # They take a tenth of a second to load, which a run without them does not have to wait for.
    from aegis.actors.book_keeper import BookKeeper  # noqa: PLC0415
    from aegis.venue.depth_books import DepthBooks  # noqa: PLC0415

    with Board.attach(BOOK_TOP, fd=orders.board_fd) as board, board.writer() as rows:
        places = [rows.address(row) for row in range(len(orders.symbols))]
        books = DepthBooks(np.array(places, np.int64))
        async with DepthSnapshots(orders.rest_url, SystemClock()) as snapshots:
            yield BookKeeper(books, orders.symbols, snapshots)


async def work() -> None:
    """Take the orders, and carry them out until the input ends."""
    lines = LineReader(trio.lowlevel.FdStream(os.dup(0)), LINE_BYTES_MAX)
    line = await lines.read()
    if line is None:
        return
    orders = msgspec.json.decode(line, type=WorkerOrders)
    output = trio.lowlevel.FdStream(os.dup(1))
    with (
        Ring.attach(TICK, fd=orders.ring_fd, wake_fds=orders.wake_fds) as ring,
        ring.writer() as w,
        read_while_idle() as idle,
    ):
        collector = Collector()
        collector.begin()
        async with open_books(orders) as books, trio.open_nursery() as nursery:
            forbid_compiling()
            leave_the_last_core()  # not before: until here it takes what it can get
            worker = Worker(orders, w, idle, books)
            nursery.start_soon(worker.run)
            nursery.start_soon(worker.report, output)
            nursery.start_soon(_tidy, collector)
            while await lines.read() is not None:
                pass  # nothing more is said to it; the end is what it waits for
            nursery.cancel_scope.cancel()


async def _tidy(collector: Collector) -> None:
    """Collect what is due once a second: a socket that was replaced leaves cycles, and nothing else does."""
    while True:
        await trio.sleep(_TIDY_S)
        collector.tidy(is_idle=True)
