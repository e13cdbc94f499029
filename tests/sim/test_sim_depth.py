"""Order books as the venue publishes them: streams of changes, and snapshots that fit in between."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from aegis.errors import Rejected
from aegis.sim import MAX_SPEED
from aegis.sim.depth import VISIBLE, RecordedBook, depth_stream
from aegis.sim.hub import Hub
from aegis.sim.market import TapeRate
from aegis.sim.order import Side
from aegis.sim.recording import Recording
from aegis.sim.routes import Route
from aegis.sim.synthetic import Synthetic

START_MS = 1_700_000_000_000
Levels = dict[float, float]


class Ear:
    """A subscriber that keeps what it hears."""

    route = Route.PUBLIC
    combined = False
    events: frozenset[str] | None = None

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, frame: bytes) -> None:
        self.heard.append(msgspec.json.decode(frame[frame.index(b'{"') :]))

    async def drained(self, size: int) -> None:
        """Keep nobody waiting."""

    def of(self, event: str) -> list[dict[str, Any]]:
        return [each for each in self.heard if each["e"] == event]


class Market:
    """A synthetic market of two symbols, and who hears the first of them."""

    def __init__(self, venue: Any, *streams: str) -> None:
        self.hub = Hub()
        self.ear = Ear()
        self.hub.subscribe(self.ear, streams)
        self.exchange = venue.exchange
        self.synthetic = Synthetic(self.exchange, self.hub, 7, TapeRate(100, 50))
        self.synthetic.open(START_MS)
        self.now_ms = START_MS

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.now_ms += 10
            self.synthetic.step(self.now_ms)

    def snapshot(self) -> tuple[int, Levels, Levels]:
        shown = self.exchange.listing("BTCUSDT").public_book.show(1000)
        sides = ({float(p): float(q) for p, q in rows} for rows in (shown.bids, shown.asks))
        return (shown.update_id, *sides)


def apply(side: Levels, rows: list[tuple[str, str]]) -> None:
    for price, quantity in rows:
        side.pop(float(price), None)
        if float(quantity):
            side[float(price)] = float(quantity)


@pytest.mark.parametrize("speed_ms", [10, 100, 250, 500])
def test_changes_lead_from_any_snapshot_to_the_book(venue: Any, speed_ms: int) -> None:
    """Whenever a snapshot is taken: with the changes behind it, it is the book of later on, never crossed, and the quote's."""
    stream = depth_stream("btcusdt", speed_ms)
    market = Market(venue, stream, "btcusdt@bookTicker")
    market.run(100)
    snapshots = []
    for _ in range(60):
        market.run(1)
        snapshots.append(market.snapshot())
    market.run(340)
    quotes = {each["u"]: each for each in market.ear.of("bookTicker")}
    compared = 0
    for update_id, bids, asks in snapshots:
        last_id = None
        for event in market.ear.of("depthUpdate"):
            if event["u"] < update_id:
                continue
            assert event["pu"] <= update_id if last_id is None else event["pu"] == last_id
            last_id = event["u"]
            apply(bids, event["b"])
            apply(asks, event["a"])
            assert max(bids) < min(asks)
            if (quote := quotes.get(last_id)) is not None:
                best = max(bids), min(asks)
                assert best == (float(quote["b"]), float(quote["a"]))
                assert bids[best[0]] == float(quote["B"])
                compared += 1
        assert (last_id, bids, asks) == market.snapshot()
        assert len(bids) == len(asks) == VISIBLE
    assert compared >= 120


def test_ids_are_counted_for_all_symbols_together(venue: Any) -> None:
    """`pu` is the id before, always; `U == pu + 1`, which holds at spot, fails as soon as another symbol moves."""
    market = Market(venue, "btcusdt@depth@100ms")
    market.run(400)
    events = market.ear.of("depthUpdate")
    assert len(events) > 20
    assert all(two["pu"] == one["u"] < two["U"] <= two["u"] for one, two in pairwise(events))
    assert sum(two["U"] == one["u"] + 1 for one, two in pairwise(events)) < len(events) * 0.7
    assert [list(each) for each in events[:1]] == [
        ["e", "E", "T", "s", "U", "u", "pu", "b", "a", "st"]
    ]


def test_streams_keep_their_pace(venue: Any) -> None:
    """One event in so many milliseconds at most, each with an id of its own before it."""
    market = Market(venue, *(depth_stream("btcusdt", speed) for speed in (100, 500)))
    market.run(1_000)
    times = [each["E"] for each in market.ear.of("depthUpdate")]
    fast = [at for at in times if (at - START_MS) % 500]
    assert all((at - START_MS) % 100 == 0 for at in fast)
    assert 60 <= len(fast) <= 80
    assert len(times) - len(fast) >= 30


def test_silence_is_made_up_for(venue: Any) -> None:
    """A stream that nobody heard for a while goes on with one event that holds all that changed."""
    market = Market(venue, "btcusdt@depth@100ms")
    market.run(100)
    market.hub.unsubscribe(market.ear, ["btcusdt@depth@100ms"])
    update_id, bids, asks = market.snapshot()
    before = market.ear.of("depthUpdate")[-1]
    market.run(200)
    market.hub.subscribe(market.ear, ["btcusdt@depth@100ms"])
    market.run(10)
    after = market.ear.of("depthUpdate")[-1]
    assert before["u"] == update_id == after["pu"]
    apply(bids, after["b"])
    apply(asks, after["a"])
    assert (after["u"], bids, asks) == market.snapshot()


def test_own_fills_do_not_show_before_the_next_quote(venue: Any) -> None:
    """The public book is the market's: a quote and a snapshot with the same id have the same touch."""
    market = Market(venue)
    before = market.snapshot()
    venue.now_ms = START_MS
    venue.place(Side.BUY, "0.5")
    assert market.exchange.trades
    assert market.snapshot() == before


def test_lost_frame_leaves_a_gap(venue: Any) -> None:
    """The next frame of a stream is lost on command, once, and the one after it says so by its `pu`."""
    market = Market(venue, "btcusdt@depth@100ms", "btcusdt@bookTicker")
    market.run(50)
    market.hub.losing.add("btcusdt@depth@100ms")
    market.run(50)
    events = market.ear.of("depthUpdate")
    assert sum(two["pu"] != one["u"] for one, two in pairwise(events)) == 1
    assert not market.hub.losing


# ---- recordings


def change(previous: int, last: int, bids: Any, asks: Any) -> msgspec.Raw:
    event = {
        "e": "depthUpdate",
        "s": "X",
        "U": last,
        "u": last,
        "pu": previous,
        "b": bids,
        "a": asks,
    }
    return msgspec.Raw(msgspec.json.encode(event))


SNAPSHOT = msgspec.json.encode(
    {"lastUpdateId": 20, "E": 1, "T": 1, "bids": [["9", "1"], ["8", "2"]], "asks": [["10", "1"]]}
)


def test_recorded_book_begins_with_the_recorded_snapshot() -> None:
    """Changes from before it are in it, those behind it are made, and a text stays as it was written."""
    book = RecordedBook()
    book.change(change(5, 10, [["7", "7"]], []))
    book.change(change(10, 25, [["9", "0.0"], ["8.50", "5.00"]], []))
    with pytest.raises(Rejected):
        book.show(5)
    book.begin(SNAPSHOT)
    book.change(change(25, 30, [], [["10.5", "3"]]))
    book.begin(SNAPSHOT)  # a later one would bring nothing new
    shown = book.show(5)
    assert shown.update_id == 30
    assert shown.bids == [("8.50", "5.00"), ("8", "2")]
    assert shown.asks == [("10", "1"), ("10.5", "3")]
    assert book.show(1).asks == [("10", "1")]


def test_what_is_no_change_is_left_out() -> None:
    """A damaged line of a recording does not end the venue."""
    book = RecordedBook()
    book.begin(b'{"lastUpdateId":"x"}')
    book.begin(SNAPSHOT)
    book.change(msgspec.Raw(b'{"u":"x"}'))
    assert book.show(5).update_id == 20


@pytest.mark.parametrize("text", ["1.O", "NaN", "-1", "", "1e5", "6000O.0", "Infinity", "1" * 400])
def test_a_level_that_is_no_number_is_in_no_book(text: str) -> None:
    """One damaged byte of a recording must neither end the venue nor make it show what nobody can read."""
    book = RecordedBook()
    for level in ([text, "1"], ["1", text]):
        bids = msgspec.json.encode({"lastUpdateId": 20, "bids": [level], "asks": []})
        assert not book.begin(bids)
    assert book.begin(SNAPSHOT)
    for level in ([text, "1"], ["9", text]):
        assert not book.change(change(20, 25, [level], []))
    assert not book.change(msgspec.Raw(b"[" * 5000 + b"]" * 5000))
    assert book.show(5).update_id == 20


def test_snapshots_of_a_recording_belong_to_the_symbol_before_them(tmp_path: Path) -> None:
    """A snapshot line names no symbol; it comes with the frames only where it is asked for."""
    event = bytes(change(1, 2, [], [])).decode()
    depth = f'{{"stream":"ab@depth@0ms","data":{event}}}'
    quote = '{"stream":"cd@bookTicker","data":{"b":"1","B":"1","a":"2","A":"1"}}'
    path = tmp_path / "a.gz"
    with gzip.open(path, "wt") as file:
        for number, line in enumerate([SNAPSHOT.decode(), depth, quote, SNAPSHOT.decode()]):
            file.write(f"{number} {line}\n")
    recording = Recording(path)
    assert [each.stream for each in recording.frames()] == ["ab@depth@0ms", "cd@bookTicker"]
    assert [each.stream for each in recording.frames(snapshots=True)][2:] == ["ab@snapshot"]
    assert recording.malformed == 0


@pytest.mark.trio
@pytest.mark.processes
async def test_replay_serves_the_recorded_book(serve: Any, tmp_path: Path) -> None:
    """Over REST it is the recorded book at the moment of asking, not one made from the quote."""
    path = tmp_path / "a.gz"
    with gzip.open(path, "wt") as file:
        stream = '{"stream":"btcusdt@%s","data":%s}'
        quote = (
            '{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"9","B":"1","a":"10","A":"1","T":1,"E":1}'
        )
        lines = [
            stream % ("bookTicker", quote),
            stream % ("depth@0ms", bytes(change(10, 25, [["8.5", "5"]], [])).decode()),
            SNAPSHOT.decode(),
            stream % ("depth@0ms", bytes(change(25, 30, [], [["10.5", "3"]])).decode()),
        ]
        file.writelines(f"{number + 1} {line}\n" for number, line in enumerate(lines))
    server = await serve(recordings=[path], speed=MAX_SPEED)
    ear = Ear()
    server.hub.subscribe(ear, ["btcusdt@bookTicker", "btcusdt@depth@0ms"])
    with trio.fail_after(10):
        await server.replay.ended.wait()
    async with httpx.AsyncClient(base_url=server.rest_url) as http:
        shown = (await http.get("/fapi/v1/depth?symbol=BTCUSDT&limit=5")).json()
    assert shown["lastUpdateId"] == 30
    assert shown["bids"] == [["9", "1"], ["8.5", "5"], ["8", "2"]]
    assert shown["asks"] == [["10", "1"], ["10.5", "3"]]
    assert [each["e"] for each in ear.heard] == ["bookTicker", "depthUpdate", "depthUpdate"]
    assert server.replay.frames.total() == 3
    assert server.replay.malformed == 0
