"""Changes of order books, by the lane's compiled reading and by msgspec: the same levels, or none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.compiled import entry_point
from aegis.errors import Refused
from aegis.kernel.clock import ManualClock
from aegis.market.book import LEVEL
from aegis.market.book_top import BOOK_TOP, BookTop, BookTops
from aegis.market.records import TICK
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.venue.binance_market import DepthUpdate, Message, decode_market
from aegis.venue.depth_book import CHANGE_LEVELS_MAX, Fault, Order
from aegis.venue.depth_books import DepthBooks
from aegis.venue.depth_codec import DepthSnapshot, Levels, change_levels, decode_snapshot
from aegis.venue.fastlane import Fate, Lane
from aegis.venue.fastlane_bytes import BEYOND
from aegis.venue.fastlane_depth import read_levels
from aegis.venue.fastlane_symbols import SymbolTable

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
_read_levels = entry_point(read_levels)


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def compiled_levels(text: bytes, room: int = 64) -> list[tuple[int, float]] | None:
    """What the compiled code reads; None if it leaves the text."""
    padded = np.frombuffer(text + bytes(BEYOND), np.uint8)
    out = np.zeros(room, LEVEL)
    count = _read_levels(padded.ctypes.data, out.ctypes.data, room)
    return None if count < 0 else out[:count].tolist()


def decoded_levels(text: bytes) -> list[tuple[int, float]] | None:
    """What msgspec and Decimal make of the same text; None if that is refused."""
    try:
        update = msgspec.json.decode(
            b'{"e":"depthUpdate","s":"A","U":1,"u":1,"pu":0,"T":1,"b":' + text + b',"a":[]}',
            type=DepthUpdate,
        )
        return change_levels(update)[0].tolist()  # type: ignore[no-any-return]
    except (msgspec.DecodeError, ValueError, Refused):
        return None


# ---- levels

PRICES = st.decimals(
    min_value=Decimal("0.00000001"), max_value=Decimal(90_000_000), allow_nan=False, places=8
).map(lambda number: f"{number:f}")
SIZES = st.decimals(min_value=Decimal(0), max_value=Decimal(9_999_999), places=8).map("{:f}".format)
SHORT = st.sampled_from(["0", "0.000", "1", "61800.10", "858.739", "0.5", "12345678.12345678"])
ODD = st.sampled_from(
    ["", "-1", "-0", "01", ".5", "5.", "1e3", "1E-9", "nan", "inf", "0.000000001", "90071993",
     "1.00000000000000000000000000001", "9007199254740993", "123456789012345678", "1" * 17, "0x1"]
)  # fmt: skip


@given(
    st.lists(st.tuples(PRICES | SHORT.filter(lambda s: float(s) > 0), SIZES | SHORT), max_size=20)
)
def test_sound_levels_are_read_compiled(rows: list[tuple[str, str]]) -> None:
    """Up to eight places and fifteen digits, and no white space, as the exchange sends it: all of it is taken."""
    rows = [row for row in rows if all(len(text.replace(".", "")) < 16 for text in row)]
    text = compact(rows)
    assert compiled_levels(text) == decoded_levels(text)
    assert compiled_levels(text) == [
        (int(Decimal(price) * 10**8), float(quantity)) for price, quantity in rows
    ]


@given(st.lists(st.lists(PRICES | SHORT | ODD, min_size=1, max_size=3), max_size=5))
def test_odd_levels_are_left_or_agreed_on(rows: list[list[str]]) -> None:
    """What the compiled code takes, the slow path takes, and finds the same in it."""
    text = compact(rows)
    taken = compiled_levels(text)
    assert taken is None or taken == decoded_levels(text)


@given(
    st.lists(st.tuples(PRICES | SHORT, SIZES), min_size=1, max_size=4).map(compact),
    st.integers(0, 200),
    st.integers(0, 2),
    st.binary(max_size=2),
)
def test_broken_levels_are_left_or_agreed_on(text: bytes, at: int, gone: int, put: bytes) -> None:
    """Some bytes of them are changed, taken out or put in; that it is JSON at all is known before."""
    at = min(at, len(text))
    broken = text[:at] + put + text[at + gone :]
    try:
        json.loads(broken)
    except ValueError:
        return
    taken = compiled_levels(broken)
    assert taken is None or taken == decoded_levels(broken)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-1", "1e999999", "1E-400", "0"])
def test_levels_that_no_market_has_are_refused(text: str) -> None:
    """A price is above zero and exact to the eighth place, a quantity finite and not below zero."""
    assert decoded_levels(compact([[text, "1"]])) is None
    if text not in {"0", "1E-400"}:
        assert decoded_levels(compact([["1", text]])) is None


def test_levels_beyond_the_room_are_left() -> None:
    """They are not cut off."""
    rows = [[str(number + 1), "1"] for number in range(5)]
    assert compiled_levels(compact(rows), room=4) is None
    assert len(compiled_levels(compact(rows), room=5) or []) == 5


def test_snapshot_is_the_same_by_either_reading() -> None:
    """White space sends it to the slow path, which finds the same levels."""
    body = {
        "lastUpdateId": 7,
        "E": 3,
        "T": 2,
        "bids": [["61800.20", "2.909"], ["61800.10", "0.696"]],
        "asks": [["61800.30", "858.739"]],
    }
    fast, slow = decode_snapshot(compact(body), 5), decode_snapshot(json.dumps(body).encode(), 5)
    assert (
        fast.bids.tolist() == slow.bids.tolist() == [(6180020000000, 2.909), (6180010000000, 0.696)]
    )
    assert fast.asks.tolist() == slow.asks.tolist()
    assert (fast.update_id, fast.match_ms, fast.limit) == (7, 2, 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"lastUpdateId": 0},
        {"lastUpdateId": 1 << 63},
        {"lastUpdateId": 10**400},
        {"lastUpdateId": "7"},
        {"bids": [["-1", "1"]]},
        {"asks": [["1"]]},
        {"T": -1},
    ],
)
def test_unsound_snapshots_are_refused(fields: dict[str, Any]) -> None:
    """Nothing of them reaches a book."""
    body = {"lastUpdateId": 7, "T": 2, "bids": [["1", "1"]], "asks": [["2", "1"]]} | fields
    with pytest.raises(Refused):
        decode_snapshot(compact(body), 5)


# ---- changes through a lane


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        work.send(None)


def levels(*rows: tuple[float, float]) -> Levels:
    return np.array([(round(price * 1e8), quantity) for price, quantity in rows], LEVEL)


SNAPSHOT = DepthSnapshot(
    100, 5_000, levels((9.0, 1.0), (8.0, 2.0)), levels((10.0, 1.0), (11.0, 2.0)), 1000
)


def change(previous_id: int, last_id: int, match_ms: int) -> DepthUpdate:
    return DepthUpdate(s="BTCUSDT", U=last_id, u=last_id, pu=previous_id, T=match_ms, b=[], a=[])


class Bench:
    """A lane on two books, the first of them in step."""

    def __init__(self, ring: Ring, board: Board) -> None:
        rows = board.writer()
        self.books = DepthBooks(np.array([rows.address(0), rows.address(1)]))
        self.lane = Lane(
            ring.writer(), SymbolTable(SYMBOLS), ManualClock(), lossless=False, books=self.books
        )
        self.tops = BookTops(board.reader(), SYMBOLS)
        self.books.load(0, SNAPSHOT)
        self.books.put_in_step(0)

    def fate(self, payload: bytes) -> Fate:
        """What the lane does with it; what it leaves, it leaves whole."""
        before = self.lane.fates
        size = len(payload)
        head = b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"))
        self.lane.room()[: len(head) + size] = head + payload
        finish(self.lane.take(len(head) + size))
        (fate,) = (fate for fate, count in self.lane.fates.items() if count > before[fate])
        is_taken = fate in {Fate.QUOTE, Fate.TRADE, Fate.CHANGE}
        assert self.lane.left() == (b"" if is_taken else head + payload)
        return fate

    @property
    def top(self) -> BookTop:
        return self.tops.of("BTCUSDT")


@pytest.fixture
def bench() -> Any:
    with Ring.create(TICK, 1 << 10) as ring, Board.create(BOOK_TOP, 2) as board:
        yield Bench(ring, board)


def update(**fields: Any) -> dict[str, Any]:
    return {
        "e": "depthUpdate", "E": 5_001, "T": 5_001, "s": "BTCUSDT", "U": 105, "u": 110, "pu": 100,
        "b": [["9.5", "3"]], "a": [["10", "0.000"]],
    } | fields  # fmt: skip


def quote(**fields: Any) -> dict[str, Any]:
    return {
        "e": "bookTicker", "u": 110, "s": "BTCUSDT", "b": "9.5", "B": "3", "a": "11", "A": "2.000",
        "T": 5_001, "E": 5_001,
    } | fields  # fmt: skip


@pytest.mark.parametrize("wrap", [False, True])
def test_next_change_is_taken(bench: Bench, wrap: bool) -> None:
    """Bare or combined: it is in the book, and on the board, without anybody being asked."""
    event: dict[str, Any] = update()
    assert (
        bench.fate(compact({"stream": "btcusdt@depth", "data": event} if wrap else event))
        is Fate.CHANGE
    )
    top = bench.top
    assert (top.valid, top.update_id, top.event_ns) == (True, 110, 5_001_000_000)
    assert top.bids.tolist() == [(9.5, 3.0), (9.0, 1.0), (8.0, 2.0)]
    assert top.asks.tolist() == [(11.0, 2.0)]


@pytest.mark.parametrize(
    "fields",
    [
        {"pu": 101},
        {"pu": 99},
        {"pu": 101, "U": 101},  # the rule of spot
        {"u": 99},  # before what it follows
        {"pu": 60, "u": 90, "T": 9_000},  # ids that begin anew
    ],
)
def test_change_that_does_not_follow_takes_the_book_out_of_step(
    bench: Bench, fields: dict[str, Any]
) -> None:
    """It is left, as is all that comes after it; the board says so at once."""
    bench.fate(compact(update()))
    bench.books.load(0, SNAPSHOT)
    bench.books.apply(0, change(90, 100, 5_000), levels(), levels())
    bench.books.put_in_step(0)
    assert bench.fate(compact(update(**fields))) is Fate.OUT_OF_STEP
    assert not bench.top.valid
    assert bench.fate(compact(update())) is Fate.OUT_OF_STEP
    assert bench.books.fault(0) is Fault.NONE


def test_repeated_change_is_dropped(bench: Bench) -> None:
    """As after a socket was replaced by another: it changes nothing."""
    assert bench.fate(compact(update())) is Fate.CHANGE
    assert bench.fate(compact(update())) is Fate.CHANGE
    assert bench.fate(compact(update(u=105, pu=100))) is Fate.CHANGE
    assert bench.top.update_id == 110
    assert bench.books.memory["repeats"][0] == 2
    assert bench.books.memory["changes"][0] == 1


def test_book_that_is_not_in_step_is_left_alone(bench: Bench) -> None:
    """Another symbol's, and that of nobody."""
    assert bench.fate(compact(update(s="ETHUSDT"))) is Fate.OUT_OF_STEP
    assert bench.fate(compact(update(s="DOGEUSDT"))) is Fate.STRANGER
    assert bench.top.valid


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ({"pu": "100"}, Fate.UNREAD),
        ({"u": 110.0}, Fate.UNREAD),
        ({"T": 0}, Fate.UNREAD),
        ({"T": 1 << 62}, Fate.UNREAD),
        ({"b": None}, Fate.OUT_OF_STEP),
        ({"b": [["9.5", "-3"]]}, Fate.OUT_OF_STEP),
        ({"a": [["9.5", "1", "x"]]}, Fate.OUT_OF_STEP),
        ({"a": [["1e3", "1"]]}, Fate.OUT_OF_STEP),
        ({"a": [["0", "1"]]}, Fate.OUT_OF_STEP),
        ({"b": [["1", "1"]] * (CHANGE_LEVELS_MAX + 1)}, Fate.OUT_OF_STEP),
    ],
)  # fmt: skip
def test_change_that_is_not_read_whole_changes_nothing(
    bench: Bench, fields: dict[str, Any], fate: Fate
) -> None:
    """It is left, its book is not valid until somebody has decided about it, and none of its levels is in there."""
    assert bench.fate(compact(update(**fields))) is fate
    assert not bench.top.valid
    bench.books.put_in_step(0)
    assert bench.top.update_id == 100
    assert bench.top.bids.tolist() == [(9.0, 1.0), (8.0, 2.0)]


@pytest.mark.parametrize("gone", ["pu", "u", "U", "T", "b", "a", "s", "e"])
def test_change_without_a_field_is_left(bench: Bench, gone: str) -> None:
    """Who lacks what matters is no change."""
    event = update()
    del event[gone]
    assert bench.fate(compact(event)) is Fate.UNREAD


def test_key_that_stands_twice_is_left(bench: Bench) -> None:
    """Which one counts is for the slow path to say."""
    text = compact(update())
    assert bench.fate(text[:-1] + b',"pu":100}') is Fate.UNREAD
    assert bench.fate(text[:-1] + b',"ps":"BTCUSDT","st":1}') is Fate.CHANGE


def test_crossed_book_is_out_of_step(bench: Bench) -> None:
    """A bid at the best ask is no market: the change is left, so that the fault is seen."""
    assert bench.fate(compact(update(a=[], b=[["10", "1"]]))) is Fate.OUT_OF_STEP
    assert not bench.top.valid
    assert bench.books.fault(0) is Fault.UNSOUND


@pytest.mark.parametrize("quote_first", [True, False])
def test_quote_with_the_same_id_confirms_the_book(bench: Bench, quote_first: bool) -> None:
    """Whichever comes first; quotes with other ids say nothing about it."""
    frames = [compact(quote(u=109, b="9")), compact(quote()), compact(update())]
    for each in frames if quote_first else reversed(frames):
        bench.fate(each)
    assert bench.top.valid
    assert bench.books.memory["agreements"][0] == 1


@pytest.mark.parametrize("quote_first", [True, False])
@pytest.mark.parametrize(
    "fields", [{"b": "9.4"}, {"B": "3.001"}, {"a": "11.00000001"}, {"A": "2.1"}]
)
def test_quote_with_the_same_id_that_differs_breaks_the_book(
    bench: Bench, quote_first: bool, fields: dict[str, str]
) -> None:
    """To the last digit of each price and size."""
    frames = [compact(quote(**fields)), compact(update())]
    for each in frames if quote_first else reversed(frames):
        bench.fate(each)
    assert not bench.top.valid
    assert bench.books.fault(0) is Fault.MISMATCH


def test_quotes_are_remembered_for_a_while(bench: Bench) -> None:
    """A change comes later than quotes of higher ids; one of more than sixty before is forgotten."""
    for number in range(110, 110 + 60):
        bench.fate(compact(quote(u=number, B="3" if number == 110 else "4")))
    bench.fate(compact(update()))
    assert bench.books.memory["agreements"][0] == 1
    for number in range(200, 200 + 70):
        bench.fate(compact(quote(u=number)))
    bench.fate(compact(update(pu=110, u=200)))
    assert bench.books.memory["agreements"][0] == 1
    assert bench.top.valid


def test_order_of_a_change(bench: Bench) -> None:
    """It follows, repeats, or is ahead; after a snapshot nobody knows yet at what time its last change was."""
    order = bench.books.order
    assert order(0, change(100, 110, 5_001)) is Order.FOLLOWS
    assert order(0, change(90, 100, 9_999)) is Order.REPEATED
    assert order(0, change(101, 110, 5_001)) is Order.AHEAD
    bench.books.apply(0, change(100, 110, 5_001), levels(), levels())
    assert order(0, change(100, 110, 5_001)) is Order.REPEATED
    assert order(0, change(90, 95, 9_999)) is Order.AHEAD


# ---- recorded changes


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_recorded_changes_are_read_alike(symbol: str) -> None:
    """Every level of every recorded change, by either reading."""
    path = DATA / "recordings" / f"{symbol}_20240808.gz"
    if not path.is_file():
        pytest.skip("the recordings are not beside the project")
    counted = 0
    with gzip.open(path) as lines:
        for line in lines:
            frame = line.rstrip().partition(b" ")[2]
            if b"@depth" not in frame[:40]:
                continue
            said = decode_market(frame)
            assert isinstance(said, Message)
            (event,) = said.events
            assert isinstance(event, DepthUpdate)
            texts = frame.split(b'"b":')[1][:-2].split(b',"a":')
            for side, text in zip(change_levels(event), texts, strict=True):
                assert compiled_levels(text, 2048) == side.tolist()
                counted += len(side)
    assert counted > 400_000


def events_in(text: str) -> Iterator[dict[str, Any]]:
    """Every object in a document, or in one a line, however deep."""
    try:
        todo = [json.loads(text)]
    except ValueError:
        todo = []
        for line in text.splitlines():
            with suppress(ValueError):  # comments between examples
                todo.append(json.loads(line))
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield value
            value = list(value.values())
        todo += value if isinstance(value, list) else []


def test_recorded_payloads_are_read_alike() -> None:
    """Changes of whatever year, in the files of other projects."""
    paths = sorted((DATA / "payloads").rglob("*.json*"))
    if not paths:
        pytest.skip("the recorded payloads are not beside the project")
    counted = 0
    for event in (one for path in paths for one in events_in(path.read_text())):
        if event.get("e") == "depthUpdate" and "pu" in event:
            for name in "ba":
                text = compact(event[name])
                levels = compiled_levels(text, 2048)
                assert levels == decoded_levels(
                    text
                )  # examples in documents have levels without a quantity
                counted += len(levels or ())
    assert counted > 150
