"""The order books on real frames, where they stand beside the project: kept up as in the worker, by lane and keeper."""

from __future__ import annotations

import bisect
import gzip
from collections.abc import Coroutine, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis.actors.book_keeper import BookKeeper
from aegis.actors.tick_sink import TickSink
from aegis.kernel.clock import ManualClock
from aegis.market.book import LEVEL
from aegis.market.book_top import BOOK_TOP, SHOWN, BookTop, BookTops
from aegis.market.records import TICK
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.venue.depth_books import DepthBooks
from aegis.venue.depth_codec import DepthSnapshot, Levels
from aegis.venue.fastlane import Fate, Lane
from aegis.venue.fastlane_symbols import SymbolTable

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "data" / "recordings"
SYMBOLS = ["BTCUSDT", "ETHUSDT"]
LIMIT = 1000
Rows = list[tuple[str, str]]


class Event(msgspec.Struct):
    """What a book is made from, as far as the model needs it."""

    e: str
    u: int
    T: int = 0
    pu: int = 0
    b: Any = None
    a: Any = None
    B: str = ""
    A: str = ""


class Line(NamedTuple):
    """A line of a recording: a frame with an event, or the snapshot."""

    at_s: float
    frame: bytes
    event: Event | None
    snapshot: dict[str, Any] | None = None


@cache
def recording(symbol: str, changes: int) -> list[Line]:
    """The quotes and changes of a recording up to so many changes."""
    path = RECORDINGS / f"{symbol.lower()}_20240808.gz"
    if not path.is_file():
        pytest.skip("the recordings are not beside the project")
    lines: list[Line] = []
    combined = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    event = msgspec.json.Decoder(Event).decode
    left = changes
    with gzip.open(path) as file:
        for line in file:
            stamp, _, frame = line.rstrip().partition(b" ")
            if frame.startswith(b'{"lastUpdateId"'):
                lines.append(Line(int(stamp) / 1e9, frame, None, msgspec.json.decode(frame)))
            elif b"@trade" not in frame[:40]:
                found = event(combined(frame)["data"])
                lines.append(Line(int(stamp) / 1e9, frame, found))
                left -= found.e == "depthUpdate"
                if not left:
                    break
    return lines


class Exchange:
    """The exchange's own book, in dictionaries: what snapshots are taken from."""

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.update_id = self.match_ms = self.asked = 0
        self.opened = trio.Event()

    async def budget(self) -> None:
        """Nothing to wait for."""

    async def fetch(self, symbol: str) -> DepthSnapshot:
        self.asked += 1
        await self.opened.wait()
        await trio.sleep(0.05)
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        sides = levels(bids[:LIMIT]), levels(asks[:LIMIT])
        return DepthSnapshot(self.update_id, self.match_ms, *sides, LIMIT)

    def open(self, snapshot: dict[str, Any]) -> None:
        for side, rows in ((self.bids, snapshot["bids"]), (self.asks, snapshot["asks"])):
            change(side, rows)
        self.update_id, self.match_ms = snapshot["lastUpdateId"], snapshot["T"]
        self.opened.set()

    def take(self, event: Event) -> None:
        if event.u >= self.update_id:
            change(self.bids, event.b)
            change(self.asks, event.a)
            self.update_id, self.match_ms = event.u, event.T

    def best(self) -> tuple[float, float, float, float]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def change(side: dict[float, float], rows: Rows) -> None:
    for price, quantity in rows:
        side[float(price)] = float(quantity)
        if not float(quantity):
            del side[float(price)]


def levels(rows: Sequence[tuple[float, float]]) -> Levels:
    return np.array([(round(price * 1e8), quantity) for price, quantity in rows], LEVEL)


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        work.send(None)


class Feed:
    """A lane, a sink and a keeper on one symbol, as in the worker, with a reader of the board."""

    def __init__(self, symbol: str, ring: Ring, board: Board) -> None:
        self.symbol = symbol
        symbols = (symbol,)
        writer = ring.writer()
        rows = board.writer()
        self.exchange = Exchange()
        self.books = DepthBooks(np.array([rows.address(0)]))
        self.keeper = BookKeeper(self.books, symbols, self.exchange)
        self.sink = TickSink(writer, symbols, lossless=False, books=self.keeper)
        table = SymbolTable(symbols)
        self.lane = Lane(writer, table, ManualClock(), lossless=False, books=self.books)
        self.tops = BookTops(board.reader(), symbols)

    def receive(self, frame: bytes) -> None:
        """What the lane leaves goes to the sink, as it does through the library."""
        size = len(frame)
        head = b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"))
        self.lane.room()[: len(head) + size] = head + frame
        finish(self.lane.take(len(head) + size))
        if self.lane.left():
            finish(self.sink.take(frame, 0))

    @property
    def top(self) -> BookTop:
        return self.tops.of(self.symbol)

    def shows_the_exchange(self) -> bool:
        """Whether each side is the exchange's, as far down as it is known."""
        book = self.books.memory["book"][0]
        for name, sign, side in (("bids", 1, self.exchange.bids), ("asks", -1, self.exchange.asks)):
            known = book[name]
            count = int(known["count"])
            found = dict(
                zip(sign * known["keys"][:count] / 1e8, known["quantities"][:count], strict=True)
            )
            if found != {
                price: size
                for price, size in side.items()
                if sign * round(price * 1e8) >= known["edge"]
            }:
                return False
        return True


@pytest.fixture
def feeds() -> Iterator[Any]:
    """What makes feeds, and ends them."""
    opened: list[Ring | Board] = []

    def make(symbol: str) -> Feed:
        opened.extend((Ring.create(TICK, 4096), Board.create(BOOK_TOP, 1)))
        return Feed(symbol, *opened[-2:])  # type: ignore[arg-type]

    yield make
    for each in opened:
        each.close()


async def play(feed: Feed, lines: Sequence[Line], seen: Any, *, without: int = -1) -> None:
    """Play lines at their own times on a clock that jumps, and call `seen` after each change.

    Args:
        feed: what hears them.
        lines: of a recording.
        seen: is given the number of the change and the line.
        without: the number of a change that gets lost on its way.
    """
    number = -1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed.keeper.run)
        began = trio.current_time() - lines[0].at_s
        for line in lines:
            if began + line.at_s > trio.current_time() + 0.005:
                await trio.sleep_until(began + line.at_s)
            if line.snapshot is not None:
                feed.exchange.open(line.snapshot)
                continue
            assert line.event is not None
            is_change = line.event.e == "depthUpdate"
            number += is_change
            if is_change:
                feed.exchange.take(line.event)
            if not is_change or number != without:
                feed.receive(line.frame)
            if is_change:
                seen(number, line.event)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("symbol", SYMBOLS)
async def test_top_of_the_recorded_book_is_that_of_the_quotes(
    symbol: str, feeds: Any, autojump_clock: trio.testing.MockClock
) -> None:
    """After every change the top is that of the last quote with no higher id; in over 6,500 places, to the last digit.

    At 550 to 630 of them the ids are equal, which the lane compares by itself. The price leaves what the recorded
    snapshot shows, so that others have to be asked for; no moment shows a book that is not valid but the first ones.
    """
    feed = feeds(symbol)
    lines = recording(symbol, 1 << 30)
    quotes = [line.event for line in lines if line.event and line.event.e == "bookTicker"]
    ids = [quote.u for quote in quotes]
    compared = invalid = 0

    def seen(number: int, event: Event) -> None:
        nonlocal compared, invalid
        top = feed.top
        if not top.valid:
            invalid += 1
            return
        assert top.update_id == event.u
        assert top.event_ns == event.T * 1_000_000
        place = bisect.bisect_right(ids, event.u) - 1
        if place >= 0:
            quote = quotes[place]
            best = top.bid, top.bids["quantity"][0], top.ask, top.asks["quantity"][0]
            assert best == (float(quote.b), float(quote.B), float(quote.a), float(quote.A))
            compared += 1

    await play(feed, lines, seen)
    figures = feed.keeper.figures()
    assert compared > 6_500
    assert invalid < 40
    assert figures.agreements >= {"BTCUSDT": 620, "ETHUSDT": 540}[symbol]
    assert (figures.resyncs, figures.mismatches) == (0, 0)
    assert figures.snapshots == feed.exchange.asked
    assert feed.sink.malformed == 0
    assert feed.lane.fates[Fate.CHANGE] > 6_000  # nearly all without a Python object
    assert len(feed.top.bids) == len(feed.top.asks) == SHOWN
    assert feed.shows_the_exchange()


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_price_that_leaves_the_snapshot_asks_for_another(symbol: str) -> None:
    """The recording of BTCUSDT is one of these: without that the test above would show less than it says."""
    lines = recording(symbol, 1 << 30)
    (snapshot,) = (line.snapshot for line in lines if line.snapshot is not None)
    worst = float(snapshot["bids"][-1][0])
    lowest = min(float(line.event.b) for line in lines if line.event and line.event.B)
    assert (lowest < worst) is (symbol == "BTCUSDT")


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(symbol=st.sampled_from(SYMBOLS), lost=st.integers(30, 280))
def test_lost_change_is_seen_at_the_next_one_and_healed(symbol: str, lost: int) -> None:
    """Whichever change is lost: with the next one the book is not valid; a snapshot later it is the exchange's again."""
    lines = recording(symbol, 400)
    healed = 0

    async def main() -> None:
        with Ring.create(TICK, 4096) as ring, Board.create(BOOK_TOP, 1) as board:
            feed = Feed(symbol, ring, board)

            def seen(number: int, event: Event) -> None:
                nonlocal healed
                top = feed.top
                if number == lost - 1:
                    assert top.valid
                elif number == lost + 1:
                    assert not top.valid
                    assert feed.keeper.figures().resyncs == 1
                elif number > lost + 1 and top.valid:
                    assert top.update_id == event.u
                    assert number % 40 or feed.shows_the_exchange()
                    healed += 1

            await play(feed, lines, seen, without=lost)
            figures = feed.keeper.figures()
            assert (figures.valid, figures.resyncs, figures.snapshots) == (1, 1, 2)
            assert feed.shows_the_exchange()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert healed > 50
