"""The order books of a whole engine: from the exchange's streams and snapshots to what a strategy reads."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from aegis.actors.feed_protocol import BookFigures
from aegis.config import Config, FeedConfig
from aegis.engine import Engine, open_engine
from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.market.book_top import SHOWN, BookTop
from aegis.market.parameters import Parameters
from aegis.sim import ExchangeOptions, Server, TapeRate, serve_exchange
from aegis.sim.routes import Route
from aegis.store.journal import Journal
from aegis.venue.addresses import Addresses
from aegis.venue.signing import Credentials

pytestmark = pytest.mark.processes

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CONFIG = Config(
    symbols=SYMBOLS,
    strategy=Parameters(interval_ms=100, pivot_bars=1, atr_period=2),
    feed=FeedConfig(depth="100ms"),
)


def wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@asynccontextmanager
async def trading(path: Path, config: Config = CONFIG) -> AsyncIterator[tuple[Server, Engine]]:
    """An exchange and an engine that keeps its order books."""
    options = ExchangeOptions(seed=11, symbols=SYMBOLS, rate=TapeRate(8, 8))  # time to compare
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, options, wall_ms=wall_ms))
        addresses = Addresses(server.rest_url, server.streams_url)
        credentials = Credentials(options.api_key, options.api_secret)
        with closing(Journal(path / "journal.db")) as journal, trio.fail_after(60):
            async with open_engine(config, addresses, credentials, journal) as engine:
                yield server, engine
        nursery.cancel_scope.cancel()


async def until(engine: Engine, reached: Callable[[BookFigures], bool]) -> BookFigures:
    """Wait for what the feed reports of its books; `trading` bounds it."""
    while True:
        books = (await engine.report()).feed.books
        if reached(books):
            return books
        await trio.sleep(0.02)


async def top_at_the_exchange(server: Server, engine: Engine, symbol: str) -> BookTop:
    """Wait until a book is as new as the exchange's own, which is in the same process, and compare them."""
    assert engine.books is not None
    book = server.exchange.listing(symbol).public_book
    while True:
        await trio.sleep(0.001)
        top, shown = engine.books.of(symbol), book.show(SHOWN)
        if top.valid and top.update_id == shown.update_id:
            assert top.bids.tolist() == [(float(price), float(size)) for price, size in shown.bids]
            assert top.asks.tolist() == [(float(price), float(size)) for price, size in shown.asks]
            return top


def all_valid(books: BookFigures) -> bool:
    return books.valid == len(SYMBOLS)


async def test_books_are_those_of_the_exchange(tmp_path: Path) -> None:
    """Every symbol's book becomes valid, with one snapshot each; its levels are the exchange's, and agree with quotes."""
    async with trading(tmp_path) as (server, engine):
        await until(engine, all_valid)
        for symbol in SYMBOLS:
            top = await top_at_the_exchange(server, engine, symbol)
            assert len(top.bids) == len(top.asks) == SHOWN
            assert -1.0 <= top.imbalance(5) <= 1.0
            assert top.event_ns > 0
        books = await until(engine, lambda books: books.agreements >= 20)
        assert (books.snapshots, books.resyncs, books.mismatches) == (len(SYMBOLS), 0, 0)
        assert (await engine.report()).feed.malformed == 0


async def test_lost_change_is_healed(tmp_path: Path) -> None:
    """One book misses a change: it is not valid from the next one on, and the exchange's again a snapshot later."""
    async with trading(tmp_path) as (server, engine):
        await until(engine, all_valid)
        for number, symbol in enumerate(SYMBOLS, 1):
            server.faults.lose_next(f"{symbol.lower()}@depth@100ms")
            books = await until(engine, lambda books, number=number: books.resyncs == number)  # type: ignore[misc]
            await until(engine, all_valid)
            await top_at_the_exchange(server, engine, symbol)
        books = await until(engine, lambda books: books.snapshots == 2 * len(SYMBOLS))
        assert (books.resyncs, books.mismatches) == (len(SYMBOLS), 0)


async def test_books_come_back_after_their_connection(tmp_path: Path) -> None:
    """A cut connection makes them all not valid at once, and a new one brings them back."""
    async with trading(tmp_path) as (server, engine):
        await until(engine, all_valid)
        server.faults.drop_connections(Route.PUBLIC)
        await until(engine, lambda books: books.valid < len(SYMBOLS))
        await until(engine, all_valid)
        for symbol in SYMBOLS:
            await top_at_the_exchange(server, engine, symbol)


async def test_books_die_and_come_back_with_the_worker(tmp_path: Path) -> None:
    """No book is valid while nobody keeps it, though its last row still stands there."""
    async with trading(tmp_path) as (server, engine):
        await until(engine, all_valid)
        assert engine.books is not None
        worker = (await engine.report()).feed.worker_pid
        os.kill(worker, signal.SIGKILL)
        while engine.books.of("BTCUSDT").valid:
            await trio.sleep(0.001)
        replaced = False
        while not replaced:
            with suppress(Unavailable):  # the Feed is just being restarted
                replaced = (await engine.report()).feed.worker_pid not in {0, worker}
            await trio.sleep(0.02)
        await until(engine, all_valid)
        await top_at_the_exchange(server, engine, "BTCUSDT")


async def test_without_depth_there_are_no_books(tmp_path: Path) -> None:
    """The default: nothing is subscribed to, and nothing is kept."""
    async with trading(tmp_path, attrs.evolve(CONFIG, feed=FeedConfig())) as (server, engine):
        await engine.ready()
        assert engine.books is None
        assert (await engine.report()).feed.books == BookFigures()
        assert not server.hub.heard("btcusdt@depth@100ms")
