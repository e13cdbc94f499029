"""The order book: `python -m bench.book [--json]`.

The changes of a real recording, in order, from the bytes of a frame to an updated book; timed are those of 60 to 76
levels, the mean of the recording being 65. The lane publishes the book's top for other processes as well; the others
do not. It needs the recording beside the project (`../shared/data`), and says so where it is not there.
"""

from __future__ import annotations

import gzip
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
import numpy as np

from aegis.kernel.clock import ManualClock
from aegis.market.book_top import BOOK_TOP, BookTops
from aegis.market.records import TICK
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.venue.binance_market import DepthUpdate, Message, decode_market
from aegis.venue.depth_books import DepthBooks
from aegis.venue.depth_codec import DepthSnapshot, change_levels, decode_snapshot
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_symbols import SymbolTable
from bench.report import Contestant, Goal, expect, main

LANE, DECODED, PLAIN = "lane", "msgspec, then the same book", "msgspec and dicts"
METRIC: Final = "a change of 68 levels"
RECORDING: Final = (
    Path(__file__).parents[1].parent / "shared" / "data" / "recordings" / "ethusdt_20240808.gz"
)
SYMBOL: Final = "ETHUSDT"
LEVELS: Final = range(60, 77)
LIMIT: Final = 1000

Best = tuple[float, float]


class _Plain(msgspec.Struct):
    """A change as floats, for who keeps a book in dictionaries."""

    u: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class _Combined(msgspec.Struct):
    data: _Plain


_plain: Final = msgspec.json.Decoder(_Combined, strict=False).decode


@attrs.frozen
class Recorded:
    """The changes behind the recording's snapshot, and what the last of them leads to."""

    snapshot: bytes
    frames: Sequence[bytes]
    is_timed: Sequence[bool]
    best: Best
    """Bid and ask in the end, as two dictionaries have them."""


def recorded() -> Recorded:
    """Read the recording."""
    snapshot, frames = b"", []
    with gzip.open(RECORDING) as lines:
        for line in lines:
            frame = line.rstrip().partition(b" ")[2]
            if frame.startswith(b'{"lastUpdateId"'):
                snapshot = frame
            elif b"@depth" in frame[:40]:
                frames.append(frame)
    update_id = decode_snapshot(snapshot, LIMIT).update_id
    frames = [frame for frame in frames if _plain(frame).data.u >= update_id]
    changes = [_plain(frame).data for frame in frames]
    is_timed = [len(change.b) + len(change.a) in LEVELS for change in changes]
    bids, asks = sides(snapshot)
    for change in changes:
        update(bids, change.b)
        update(asks, change.a)
    return Recorded(snapshot, frames, is_timed, (max(bids), min(asks)))


def sides(snapshot: bytes) -> tuple[dict[float, float], dict[float, float]]:
    found = msgspec.json.decode(snapshot)
    bids, asks = ({float(p): float(q) for p, q in found[name]} for name in ("bids", "asks"))
    return bids, asks


def update(side: dict[float, float], rows: Sequence[tuple[float, float]]) -> None:
    for price, quantity in rows:
        if quantity:
            side[price] = quantity
        else:
            side.pop(price, None)


def timed(
    record: Recorded, prepare: Callable[[bytes], Any], take: Callable[[Any], object]
) -> float:
    """Take every change; the median of those that are timed, in us."""
    took = []
    for frame, counts in zip(record.frames, record.is_timed, strict=True):
        prepared = prepare(frame)
        began = time.perf_counter_ns()
        take(prepared)
        if counts:
            took.append(time.perf_counter_ns() - began)
    expect(len(took) > 400, True)
    return statistics.median(took) / 1000


def begun(books: DepthBooks, record: Recorded) -> DepthSnapshot:
    snapshot = decode_snapshot(record.snapshot, LIMIT)
    books.load(0, snapshot)
    return snapshot


def by_lane(record: Recorded) -> float:
    """Bytes as they stand in a connection's buffer; what does not go into the book is left, and found out."""
    with Ring.create(TICK, 64) as ring, Board.create(BOOK_TOP, 1) as board:
        books = DepthBooks(np.array([board.writer().address(0)]))
        lane = Lane(
            ring.writer(), SymbolTable([SYMBOL]), ManualClock(), lossless=False, books=books
        )
        begun(books, record)
        first = change_of(record.frames[0])  # it overlaps the snapshot
        books.apply(0, first, *change_levels(first))
        books.put_in_step(0)

        def prepare(frame: bytes) -> int:
            head = b"\x81\x7e" + len(frame).to_bytes(2, "big")
            if len(frame) < 126:
                head = bytes([0x81, len(frame)])
            lane.room()[: len(head) + len(frame)] = head + frame
            return len(head) + len(frame)

        def take(count: int) -> None:
            try:
                lane.take(count).send(None)
            except StopIteration:
                return

        median = timed(record, prepare, take)
        expect(lane.has_left, False)
        top = BookTops(board.reader()).top(0)
        expect((top.valid, top.bid, top.ask), (True, *record.best))
    return median


def change_of(frame: bytes) -> DepthUpdate:
    said = decode_market(frame)
    assert isinstance(said, Message)
    (change,) = said.events
    assert isinstance(change, DepthUpdate)
    return change


def by_decoder(record: Recorded) -> float:
    """What the worker does with a change that the lane leaves."""
    books = DepthBooks(np.zeros(1, np.int64))
    begun(books, record)

    def take(frame: bytes) -> None:
        change = change_of(frame)
        books.apply(0, change, *change_levels(change))
        books.put_in_step(0)

    median = timed(record, lambda frame: frame, take)
    top = books.memory["top"][0]
    expect((top["bids"]["price"][0], top["asks"]["price"][0]), record.best)
    return median


def by_dicts(record: Recorded) -> float:
    """As many do it: floats in a dictionary a side, and the best found when it is asked for, here never."""
    bids, asks = sides(record.snapshot)

    def take(frame: bytes) -> None:
        change = _plain(frame).data
        update(bids, change.b)
        update(asks, change.a)

    median = timed(record, lambda frame: frame, take)
    expect((max(bids), min(asks)), record.best)
    return median


def contestants(_scale: float) -> Iterator[Contestant]:
    """All of them, in turns; none without the recording."""
    if not RECORDING.is_file():
        sys.stderr.write(f"book: no recording at {RECORDING}, and skipped\n")
        return
    record = recorded()
    for name, run in ((LANE, by_lane), (DECODED, by_decoder), (PLAIN, by_dicts)):
        yield Contestant(name, METRIC, "us", lambda run=run: run(record))  # type: ignore[misc]


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {each.name: each.median for each in everybody}
    if LANE not in median:
        return []
    return [
        Goal(METRIC, median[LANE], "us", 30.0, 60.0),
        Goal(f"{METRIC}, beside {PLAIN}", median[PLAIN] / median[LANE], "x", 2.0, 1.0),
    ]


if __name__ == "__main__":
    sys.exit(main("book", lambda scale: list(contestants(scale)), goals))
