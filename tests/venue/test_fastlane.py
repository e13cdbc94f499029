"""The lane against the slow path: the same bytes, the same ticks, and nothing else taken."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from aegis.actors.tick_sink import TickSink
from aegis.kernel.clock import ManualClock
from aegis.market.records import TICK, TickKind, received_us
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader
from aegis.shm.writer import Writer
from aegis.venue.admission import Admission, AdmissionRules
from aegis.venue.fastlane import Fate, Lane
from aegis.venue.fastlane_symbols import SymbolTable

SYMBOLS = ("BTCUSDT", "ETHUSDT", "1000000BABYDOGEUSDT", "BTCUSDT_260327", "币安USDT")
NOW_NS = 1_234_567_000
RECV_US = received_us(NOW_NS)

BOOK = b'{"e":"bookTicker","u":5123107838717,"s":"ETHUSDT","b":"2681.62","B":"1.165","a":"2681.63","A":"73.077","T":1723161256310,"E":1723161256311}'
AGG = b'{"e":"aggTrade","E":1616202009196,"a":389551486,"s":"BTCUSDT","p":"58665.00","q":"0.043","f":621622993,"l":621622993,"T":1616202009188,"m":false}'
TRADE = b'{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":true}'
MARK = b'{"e":"markPriceUpdate","E":1654858692000,"s":"BTCUSDT","p":"29968.93335956","ap":"29968.9","P":"29948.78869641","i":"29980.66509373","r":"-0.00010000","T":1654876800000,"st":1}'
REPLY = b'{"result":null,"id":2}'


def combined(payload: bytes) -> bytes:
    return b'{"stream":"btcusdt@some","data":' + payload + b"}"


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A server's frame."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 1 << 16:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


def takes(fates: dict[Fate, int]) -> int:
    """How many frames were taken."""
    return fates[Fate.QUOTE] + fates[Fate.TRADE] + fates[Fate.MARK]


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        work.send(None)


class Feed:
    """Both ways into the ring, as in the worker: what the lane leaves goes through the library to the sink."""

    def __init__(
        self, writer: Writer, reader: Reader, *, lane: bool, rules: AdmissionRules | None = None
    ) -> None:
        self._reader = reader
        table, clock = SymbolTable(SYMBOLS), ManualClock(NOW_NS)
        admission = Admission(len(SYMBOLS), rules) if rules is not None else None
        self.lane = Lane(writer, table, clock, lossless=True, admission=admission) if lane else None
        self.sink = TickSink(writer, SYMBOLS, lossless=True, admission=admission)
        self.library = Connection(ConnectionType.CLIENT)
        self.left = b""
        self.controls: list[object] = []
        self._message = ""

    def receive(self, data: bytes) -> None:
        if self.lane is None:
            self._hand_on(data)
            return
        while data:
            room = self.lane.room()
            count = min(len(room), len(data))
            room[:count] = data[:count]
            finish(self.lane.take(count))
            data = data[count:]
            self._hand_on(self.lane.left())

    def _hand_on(self, data: bytes) -> None:
        self.left += data
        if data and not any(isinstance(event, CloseConnection) for event in self.controls):
            self.library.receive_data(data)
            for event in self.library.events():
                self._handle(event)

    def _handle(self, event: object) -> None:
        if isinstance(event, TextMessage):
            self._message += event.data
            if event.message_finished:
                finish(self.sink.take(self._message, RECV_US))
                self._message = ""
        elif isinstance(event, Ping | Pong | CloseConnection):
            self.controls.append(event)

    def ticks(self) -> list[tuple[float, ...]]:
        found = np.zeros(1 << 12, TICK)
        return found[: self._reader.read_into(found)].tolist()  # type: ignore[no-any-return]


class Rings:
    """A ring for a feed with the lane, and one for a feed without."""

    def __init__(self, *ends: tuple[Writer, Reader]) -> None:
        self._ends = ends
        self.left = b""
        self.taken: list[tuple[float, ...]] = []

    def agree(
        self, data: bytes, cuts: Sequence[int] = (), rules: AdmissionRules | None = None
    ) -> dict[Fate, int]:
        """Feed the bytes, in pieces, to both: all that can be told from outside has to be the same."""
        (one, other) = self._ends
        fast, slow = Feed(*one, lane=True, rules=rules), Feed(*other, lane=False, rules=rules)
        slow.receive(data)
        for start, stop in pairwise([0, *cuts, len(data)]):
            fast.receive(data[start:stop])
        # In the ring, a frame that was left comes behind those taken after it.
        self.taken, self.left = fast.ticks(), fast.left
        assert sorted(self.taken) == sorted(slow.ticks())
        assert fast.controls == slow.controls
        assert fast.sink.malformed == slow.sink.malformed
        assert fast.sink.strangers == slow.sink.strangers
        assert list(fast.sink.quarantine) == list(slow.sink.quarantine)
        assert fast.lane is not None
        assert fast.lane.gaps + fast.sink.gaps == slow.sink.gaps
        assert fast.lane.fates[Fate.DUPLICATE] + fast.sink.duplicates == slow.sink.duplicates
        return fast.lane.fates

    def lane(self) -> Lane:
        """Another one."""
        return Lane(self._ends[0][0], SymbolTable(SYMBOLS), ManualClock(NOW_NS), lossless=True)

    def fate(self, payload: bytes) -> Fate:
        """What the lane does with this payload, which the slow path has to confirm."""
        (fate,) = (fate for fate, count in self.agree(frame(payload)).items() if count)
        return fate


@pytest.fixture(scope="module")
def rings() -> Iterator[Rings]:
    with ExitStack() as stack:
        ends = []
        for _ in range(2):
            ring = stack.enter_context(Ring.create(TICK, 1 << 12))
            ends.append((ring.writer(), ring.reader("test", policy=Policy.GATE)))
        yield Rings(*ends)


# ---- frames made by Hypothesis

DECIMALS = st.decimals(
    min_value=Decimal("0.00000001"), max_value=Decimal(9_999_999), allow_nan=False, places=8
).map(lambda number: f"{number:f}")
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
PLAIN = st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\')
KEYS = st.text(PLAIN, max_size=12).filter(lambda key: key != "data")


def json_values(characters: st.SearchStrategy[str], keys: st.SearchStrategy[str]) -> Any:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(characters, max_size=30),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    )


RATES = st.from_regex(r"\A-?0\.[0-9]{1,15}\Z")
TIMES = st.integers(1, 4_000_000_000_000)
ODD_NUMBERS = st.sampled_from(
    ["0", "-1", "01", ".5", "5.", "1e3", "nan", "inf", "9007.199254740993"]
)
ODD_NAMES = st.sampled_from(
    ["DOGEUSDT", "BTCUSDT", "币安USDT", 'X"Y', "trade", "bookTicker", "kline"]
)
ODD_TIMES = st.sampled_from([1.5, 10.0, 4_611_686_018_428, 9_223_372_036_854])
ODD_TYPES = st.sampled_from([True, None, "", "true"])
ODD_VALUES = ODD_NUMBERS | ODD_NAMES | ODD_TIMES | ODD_TYPES | st.integers(-5, 5)
EXTRAS = st.dictionaries(KEYS, json_values(ASCII, KEYS), max_size=4)
ODD_KEYS = st.text(ASCII, max_size=12) | st.sampled_from(["data", "stream", "e", "s", "b", "st"])
TEXT = st.characters(exclude_categories=["Cs"])
ODD_EXTRAS = st.dictionaries(ODD_KEYS, json_values(TEXT, ODD_KEYS), max_size=4)


@st.composite
def events(draw: st.DrawFn) -> dict[str, object]:
    """An event as the exchange may send it, its keys in any order, some unknown."""
    name = draw(st.sampled_from(["bookTicker", "aggTrade", "trade", "markPriceUpdate"]))
    event = {"e": name, "E": draw(TIMES), "T": draw(TIMES), "s": draw(st.sampled_from(SYMBOLS[:4]))}
    if name == "bookTicker":
        low, high = sorted([draw(DECIMALS), draw(DECIMALS)], key=Decimal)
        event |= {"b": low, "a": high, "B": draw(DECIMALS), "A": draw(DECIMALS), "u": 1}
    elif name == "markPriceUpdate":
        event |= {"p": draw(DECIMALS), "i": draw(DECIMALS), "r": draw(RATES), "st": 1}
    else:
        event |= {"p": draw(DECIMALS), "q": draw(DECIMALS), "m": draw(st.booleans()), "a": 5}
    return dict(draw(st.permutations(list((draw(EXTRAS) | event).items()))))


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@st.composite
def sound_payloads(draw: st.DrawFn) -> bytes:
    """An event as JSON, bare or combined."""
    event = draw(events())
    forms = [event, {"stream": "a@b", "data": event}, {"data": event, "stream": "a@b"}]
    return compact(draw(st.sampled_from(forms)))


@st.composite
def odd_payloads(draw: st.DrawFn) -> bytes:
    """An event with one thing wrong: a field, the wrapping, the spelling, or a few bytes."""
    event = draw(events())
    kind = draw(st.sampled_from(["field", "gone", "more", "wrapping", "spaces", "bytes", "bytes"]))
    if kind == "field":
        event[draw(st.sampled_from(sorted(event)))] = draw(ODD_VALUES)
    elif kind == "gone":
        del event[draw(st.sampled_from(sorted(event)))]
    elif kind == "more":
        event |= draw(ODD_EXTRAS)
    elif kind == "wrapping":
        return compact({**draw(ODD_EXTRAS), "data": event, **draw(ODD_EXTRAS)})
    elif kind == "spaces":
        return json.dumps(event, ensure_ascii=False).encode()
    text = compact(event)
    if kind == "bytes":
        at, gone = draw(st.integers(0, len(text) - 1)), draw(st.integers(0, 2))
        text = text[:at] + draw(st.binary(max_size=2)) + text[at + gone :]
    return text


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@st.composite
def server_frames(draw: st.DrawFn) -> bytes:
    """One frame, or the frames of one message, as a server may send them."""
    kind = draw(st.sampled_from(["event", "event", "event", "odd", "control", "parts", "binary"]))
    if kind == "control":
        return frame(draw(st.binary(max_size=125)), draw(st.sampled_from([0x89, 0x8A])))
    if kind == "binary":
        return frame(draw(st.binary(max_size=200)), 0x82)
    payload = draw(odd_payloads().filter(is_utf8) if kind == "odd" else sound_payloads())
    if kind != "parts":
        return frame(payload)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), min_size=1, max_size=3)))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    between = draw(st.sampled_from([b"", frame(b"hi", 0x89)]))
    whole = frame(parts[0], 0x01)
    for part in parts[1:-1]:
        whole += between + frame(part, 0x00)
    return whole + between + frame(parts[-1], 0x80)


@settings(deadline=None)
@given(sound_payloads())
def test_lane_takes_every_sound_event(rings: Rings, payload: bytes) -> None:
    """Keys in any order, unknown keys of any kind, both forms: what the exchange may send is taken."""
    assert takes(rings.agree(frame(payload))) == 1


@settings(max_examples=400, deadline=None)
@given(odd_payloads().filter(is_utf8))
def test_lane_takes_nothing_that_the_slow_path_reads_otherwise(
    rings: Rings, payload: bytes
) -> None:
    """Damaged, incomplete, wrong or strange: the outcome is always that of the slow path."""
    rings.agree(frame(payload))


@settings(deadline=None)
@given(st.lists(server_frames(), max_size=12), st.data())
def test_lane_leaves_exactly_what_it_does_not_take(
    rings: Rings, frames: list[bytes], data: st.DataObject
) -> None:
    """Whatever comes between events, in whatever pieces: each byte is taken or left, and in order."""
    stream = b"".join(frames)
    alone = [rings.agree(one) for one in frames]
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    fates = rings.agree(stream, cuts)
    left = [one for one, fate in zip(frames, alone, strict=True) if not takes(fate)]
    assert rings.left == b"".join(left)
    assert takes(fates) == len(frames) - len(left)


def test_lane_agrees_on_every_cut(rings: Rings) -> None:
    """Cut at each byte boundary, and cut into single bytes."""
    odd = AGG.replace(b"58665.00", b"1e3")
    stream = frame(BOOK) + frame(b"ping", 0x89) + frame(combined(AGG)) + frame(odd) + frame(REPLY)
    stream += frame(TRADE[:50], 0x01) + frame(b"", 0x8A) + frame(TRADE[50:], 0x80) + frame(TRADE)
    stream += frame(combined(MARK))
    for cut in range(len(stream) + 1):
        assert takes(rings.agree(stream, [cut])) == 4
    assert takes(rings.agree(stream, range(1, len(stream)))) == 4


@st.composite
def sequences(draw: st.DrawFn) -> list[bytes]:
    """What one connection brings of two symbols: ids that repeat, skip or begin anew, and times and prices astray."""
    frames, price, at = [], 100.0, 1_616_202_000_000
    ids = dict.fromkeys(("u", "a", "t", "E"), 100)
    for _ in range(draw(st.integers(1, 40))):
        name, letter = draw(
            st.sampled_from([("bookTicker", "u"), ("aggTrade", "a"), ("trade", "t")])
        )
        ids[letter] += draw(st.sampled_from([1, 1, 1, 1, 0, 2, -1, -2, -50]))
        at += draw(st.sampled_from([0, 1, 5, 100]))
        far = draw(st.sampled_from([0, 0, 0, 0, 0, 11_000, -11_000, 86_400_000]))
        price *= draw(st.sampled_from([1.0, 1.0, 1.0001, 0.9999, 1.005, 1.5]))
        shown = price * draw(st.sampled_from([1.0, 1.0, 1.0, 1.0, 10.0]))
        symbol = draw(st.sampled_from(SYMBOLS[:2]))
        event = {"e": name, "E": at + far, "T": at + far, "s": symbol, letter: ids[letter]}
        if name == "bookTicker":
            event |= {"b": f"{shown:.4f}", "a": f"{shown * 1.0001:.4f}", "B": "1", "A": "2"}
        else:
            event |= {"p": f"{shown:.4f}", "q": "1", "m": draw(st.booleans())}
        frames.append(frame(compact(event)))
    return frames


@settings(max_examples=200, deadline=None)
@given(sequences(), st.data())
def test_lane_lets_in_what_the_slow_path_lets_in(
    rings: Rings, frames: list[bytes], data: st.DataObject
) -> None:
    """One table decides for both: the same ticks and GAPs, each frame by itself, and whatever is left in time."""
    stream = b"".join(frames)
    whole = sorted({0, *np.cumsum([len(one) for one in frames]).tolist()})[1:-1]
    rings.agree(stream, whole, AdmissionRules())
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    rings.agree(stream, cuts, AdmissionRules(future_ms=0, jump_sigmas=0.0))


def test_lane_drops_what_it_has_let_in_before(rings: Rings) -> None:
    """A frame that comes twice makes one tick, of whatever kind."""
    for payload in (BOOK, AGG, TRADE, MARK):
        fates = rings.agree(frame(payload) * 3, rules=AdmissionRules())
        assert (takes(fates), fates[Fate.DUPLICATE]) == (1, 2)
        assert rings.left == b""


def test_lane_puts_a_gap_where_an_aggregate_is_missing(rings: Rings) -> None:
    """The GAP stands right before the tick, also where a batch ends."""
    count = 3 * 64 + 5
    frames = [frame(AGG.replace(b"389551486", b"%d" % (2 * number + 1))) for number in range(count)]
    rings.agree(b"".join(frames), rules=AdmissionRules())
    kinds = [tick[2] for tick in rings.taken]
    assert kinds == [TickKind.TRADE] + [TickKind.GAP, TickKind.TRADE] * (count - 1)


def test_lane_leaves_what_is_adrift_to_the_slow_path(rings: Rings) -> None:
    """A price of another order is left, and quarantined there with its frame."""
    absurd = AGG.replace(b"389551486", b"389551487").replace(b"58665.00", b"586650.00")
    fates = rings.agree(frame(AGG) + frame(absurd), rules=AdmissionRules())
    assert (fates[Fate.TRADE], fates[Fate.ADRIFT]) == (1, 1)
    assert rings.left == frame(absurd)


def test_lane_leaves_frames_of_64_bit_length(rings: Rings) -> None:
    """The longest frame that is taken has a 16-bit length; a longer one passes in pieces as it comes."""
    for length, fate in ((0xFFFF, Fate.QUOTE), (0x10000, Fate.OTHER)):
        start = combined(BOOK[:-1] + b',"note":"')
        start = start[:-1]
        payload = start + b"x" * (length - len(start) - 3) + b'"}}'
        assert len(payload) == length
        stream = frame(payload) + frame(TRADE)
        fates = rings.agree(stream, range(1_000, len(stream), 4_999))
        assert (fates[fate], fates[Fate.TRADE]) == (1, 1)


@pytest.mark.parametrize(
    "illegal",
    [
        b"\x81\xfe" + frame(BOOK)[2:],  # masked
        b"\xc1" + frame(BOOK)[1:],  # said to be compressed
        b"\x83" + frame(BOOK)[1:],  # of a kind that does not exist
        frame(b"x" * 126, 0x89),  # a ping that is too long
        frame(b"ping", 0x09),  # a ping in parts
        b"\x81\x7e\x00\x05hello",  # not the shortest length
        b"\x81\x7f" + bytes(6) + b"\x00\x05hello",
        frame(b"", 0x80),  # the end of nothing
        frame(b"", 0x01) + frame(BOOK),  # a message inside another
        frame(b"\x03\xe8", 0x88),  # the end of the connection
    ],
)
def test_lane_takes_nothing_behind_the_end(rings: Rings, illegal: bytes) -> None:
    """A frame that ends the connection, by rule or by fault, is the library's with all that follows."""
    stream = frame(AGG) + illegal + frame(BOOK) * 3
    for step in (7, len(stream)):
        assert takes(rings.agree(stream, range(step, len(stream), step))) == 1
        assert rings.left == illegal + frame(BOOK) * 3


def test_lane_leaves_a_frame_that_never_becomes_whole(rings: Rings) -> None:
    """At the end of the connection what is there goes to the library."""
    lane = rings.lane()
    for piece in (frame(BOOK)[:100], b""):
        lane.room()[: len(piece)] = piece
        finish(lane.take(len(piece)))
        assert not lane.has_left
    lane.leave()
    finish(lane.take(0))
    assert lane.left() == frame(BOOK)[:100]


# The digits of the last make 2**64 + 5.
ODD_DECIMALS = (b"", b"5.", b".5", b"05", b"+5", b"5.0.0", b"5e0", b"1844.6744073709551621")


@pytest.mark.parametrize(
    ("payload", "fate"),
    [
        (BOOK, Fate.QUOTE),
        (combined(BOOK), Fate.QUOTE),
        (AGG, Fate.TRADE),
        (TRADE, Fate.TRADE),
        (REPLY, Fate.UNREAD),
        (b"", Fate.UNREAD),
        (b"[" + BOOK + b"]", Fate.UNREAD),
        (BOOK + b" ", Fate.UNREAD),
        (combined(BOOK)[:-1] + b"]", Fate.UNREAD),
        (BOOK[:-1] + b',"b":"1"}', Fate.UNREAD),  # a key twice
        (BOOK[:-1] + b',"data":1}', Fate.UNREAD),  # the slow path would take it for an envelope
        (BOOK.replace(b'"b"', b'"\\u0062"'), Fate.UNREAD),
        (BOOK.replace(b"ETHUSDT", b"ETH\\u0055SDT"), Fate.UNREAD),
        (MARK, Fate.MARK),
        (combined(MARK), Fate.MARK),
        (MARK.replace(b'"-0.00010000"', b'"0.00010000"'), Fate.MARK),
        (MARK.replace(b":1654876800000", b":0"), Fate.MARK),  # a contract without funding
        (MARK.replace(b'"-0.00010000"', b'""'), Fate.UNSOUND),
        (MARK.replace(b"-0.00010000", b"-1.00010000"), Fate.UNSOUND),
        (MARK.replace(b"-0.00010000", b"-.0001"), Fate.UNSOUND),
        (MARK.replace(b"-0.00010000", b"--0.0001"), Fate.UNSOUND),
        (MARK.replace(b"-0.00010000", b"0.1234567890123456"), Fate.UNSOUND),
        (MARK.replace(b"29968.93335956", b"-29968.93335956"), Fate.UNSOUND),
        (MARK.replace(b'"i":"29980.66509373",', b""), Fate.UNREAD),
        (MARK.replace(b"markPriceUpdate", b"markPriceUpdat"), Fate.UNREAD),
        (MARK.replace(b"markPriceUpdate", b"markPriceUpdates"), Fate.UNREAD),
        (MARK.replace(b'"st":1', b'"st":2'), Fate.UNREAD),  # margined in the coin
        (MARK.replace(b'"st":1', b'"st":12'), Fate.UNREAD),
        (AGG[:-1] + b',"st":2}', Fate.UNREAD),
        (AGG[:-1] + b',"st":1}', Fate.TRADE),
        (AGG.replace(b'"a":389551486,', b""), Fate.TRADE),  # an id is no condition
        (AGG.replace(b'"a":389551486', b'"a":"389551486"'), Fate.UNSOUND),
        (AGG.replace(b'"a":389551486', b'"a":-1'), Fate.UNSOUND),
        (AGG.replace(b'"a":389551486', b'"a":38955148600000000'), Fate.UNSOUND),
        (BOOK.replace(b"bookTicker", b"markPriceUpdate"), Fate.UNREAD),
        (BOOK.replace(b"ETHUSDT", b"DOGEUSDT"), Fate.STRANGER),
        (BOOK.replace(b'"ETHUSDT"', '"币安USDT"'.encode()), Fate.UNREAD),
        (BOOK.replace(b"2681.62", b"2681.64"), Fate.UNSOUND),  # crossed
        (BOOK.replace(b"2681.62", b"0.00"), Fate.UNSOUND),
        (BOOK.replace(b"1.165", b"-1.165"), Fate.UNSOUND),
        (BOOK.replace(b"73.077", b"-73.077"), Fate.UNSOUND),
        (BOOK.replace(b"1.165", b"0"), Fate.QUOTE),
        (BOOK.replace(b"2681.63", b"1000000000000"), Fate.UNSOUND),  # no market has such a price
        (BOOK.replace(b"73.077", b"1000000000000000"), Fate.UNSOUND),
        (AGG.replace(b'"0.043"', b"0.043"), Fate.UNSOUND),  # a number that is no string
        (AGG.replace(b"58665.00", b"9007199254740993"), Fate.UNSOUND),
        *((AGG.replace(b"58665.00", odd), Fate.UNSOUND) for odd in ODD_DECIMALS),
        (AGG.replace(b":1616202009188", b":0"), Fate.UNSOUND),
        (AGG.replace(b":1616202009188", b":1.0"), Fate.UNSOUND),
        (AGG.replace(b"false", b'"false"'), Fate.UNREAD),
    ],
)
def test_lane_says_what_became_of_a_frame(rings: Rings, payload: bytes, fate: Fate) -> None:
    """Each reason to leave a frame has its count."""
    assert rings.fate(payload) is fate


@settings(deadline=None)
@given(st.from_regex(r"\A(0|[1-9][0-9]{0,12})(\.[0-9]{1,12})?\Z"))
def test_lane_reads_numbers_as_float_does(rings: Rings, number: str) -> None:
    """A number is exactly what `float` says, or it is left."""
    digits = number.replace(".", "")
    exact = int(digits) <= 1 << 53 and len(digits) <= 18
    payload = AGG.replace(b"0.043", number.encode())
    assert rings.fate(payload) is (Fate.TRADE if exact else Fate.UNSOUND)
    assert rings.taken[0][-1] == float(number)
