"""Reads recorded frames: gzip, `<local receive time in ns> <combined-stream JSON>` a line."""

from __future__ import annotations

import gzip
import heapq
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import attrs
import msgspec

from aegis.errors import Refused
from aegis.sim.book import Quote
from aegis.sim.catalogue import recorded_contract
from aegis.sim.contract import Contract

__all__ = [
    "SNAPSHOT",
    "Frame",
    "RecordedTrade",
    "Recording",
    "Survey",
    "merged",
    "recorded_quote",
    "recorded_trade",
    "survey",
    "symbol_and_kind",
]

SNAPSHOT = "snapshot"
DRIVING = frozenset({"bookTicker", "trade", "aggTrade"})
_NAME = b'{"stream":"'
_LEAST, _MOST = Decimal("1e-12"), Decimal("1e12")
_SAMPLE = 500  # frames a stream that are decoded to learn what is in it


class Frame(NamedTuple):
    """One recorded stream frame: the whole as it was received, and the payload inside it.

    A depth snapshot, which recorders write between the frames, has the stream `<symbol>@snapshot`, and is its payload.
    """

    local_ns: int
    stream: str
    frame: bytes
    payload: msgspec.Raw


class _Combined(msgspec.Struct):
    stream: str
    data: msgspec.Raw


class _Quote(msgspec.Struct):
    b: Decimal
    B: Decimal
    a: Decimal
    A: Decimal
    u: int = 0


class RecordedTrade(msgspec.Struct):
    """What trade and aggTrade frames have in common: price, quantity, buyer is maker, trade time in ms."""

    p: Decimal
    q: Decimal
    m: bool
    T: int


_combined = msgspec.json.Decoder(_Combined).decode
_quote = msgspec.json.Decoder(_Quote).decode
_trade = msgspec.json.Decoder(RecordedTrade).decode


def recorded_quote(payload: msgspec.Raw) -> Quote | None:
    """Read a bookTicker payload; None for one without sound prices and sizes."""
    try:
        found = _quote(payload)
    except msgspec.ValidationError:
        return None
    if not (_are_sound(found.b, found.a) and _are_sound(found.B, found.A)):
        return None
    return Quote(found.b, found.B, found.a, found.A, found.u)


def recorded_trade(payload: msgspec.Raw) -> RecordedTrade | None:
    """Read a trade or aggTrade payload; None for one without a sound price and quantity."""
    try:
        found = _trade(payload)
    except msgspec.ValidationError:
        return None
    return found if _are_sound(found.p, found.q) else None


def _are_sound(*numbers: Decimal) -> bool:
    """Return whether numbers are such as a market has: a NaN or 1e99 would break arithmetic later."""
    return all(each.is_finite() and _LEAST <= each <= _MOST for each in numbers)


def symbol_and_kind(stream: str) -> tuple[str, str]:
    """Split a stream name: `btcusdt@depth@0ms` -> BTCUSDT, depth."""
    symbol, _, rest = stream.partition("@")
    return symbol.upper(), rest.partition("@")[0]


class Recording:
    """One file, read as a stream: a frame at a time, never the whole.

    A line that is no frame is counted in `malformed` and skipped; so is the rest of a file that breaks off. A REST
    depth snapshot, which recorders write between the frames, is neither: it belongs to the symbol whose depth stream
    came last, as it does not name one.
    """

    def __init__(self, path: Path) -> None:
        """Look at the file's beginning.

        Raises:
            Refused: naming the file, when it is absent, unreadable or not gzip.
        """
        self.path = path
        self.malformed = 0
        try:
            with gzip.open(path) as file:
                file.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"recording {path}: expected a readable gzip file: {error}") from error

    def frames(self, *, snapshots: bool = False) -> Iterator[Frame]:
        """Yield the frames, and the snapshots if asked to, in the order of the file; `malformed` starts again from 0."""
        self.malformed = 0
        depth = ""
        for line in self.lines():
            frame = self.read(line)
            if frame is not None:
                if "@depth" in frame.stream:
                    depth = frame.stream
                yield frame
            elif snapshots and depth and (found := _snapshot_in(line)) is not None:
                at_ns, body = found
                yield Frame(at_ns, f"{depth.partition('@')[0]}@{SNAPSHOT}", body, msgspec.Raw(body))

    def lines(self) -> Iterator[bytes]:
        """Yield the lines as they are."""
        with gzip.open(self.path) as file:
            try:
                yield from file
            except (OSError, EOFError, zlib.error):
                self.malformed += 1

    def read(self, line: bytes) -> Frame | None:
        """Read one line; None for one that is no frame."""
        stamp, _, frame = line.rstrip().partition(b" ")
        try:
            if not frame.isascii():
                frame.decode()
            found = _combined(frame)
            return Frame(int(stamp), found.stream, frame, found.data)
        except (ValueError, msgspec.DecodeError, RecursionError):
            if _snapshot_in(line) is None:
                self.malformed += 1
            return None


def _snapshot_in(line: bytes) -> tuple[int, bytes] | None:
    """The local time in ns and the text of a depth snapshot; None for anything else."""
    stamp, _, body = line.rstrip().partition(b" ")
    if not body.startswith(b'{"lastUpdateId"') or not stamp.isdigit():
        return None
    return int(stamp), body


@attrs.frozen
class Survey:
    """What is in some recordings: contracts, and the streams that carry quotes and trades."""

    contracts: Sequence[Contract]
    driving: Sequence[str]


def survey(recordings: Iterable[Recording]) -> Survey:
    """Read recordings through once to learn what is in them, decoding no more than a sample of their quotes.

    Raises:
        Refused: naming the file, when one has no quote in it: there would be nothing to trade against.
    """
    quotes: defaultdict[str, list[Quote]] = defaultdict(list)
    driving: dict[str, None] = {}
    for recording in recordings:
        names = _sampled_names(recording, quotes)
        if not any(symbol_and_kind(each)[1] == "bookTicker" for each in names):
            raise Refused(f"recording {recording.path}: expected bookTicker frames in it")
        driving |= {each: None for each in names if symbol_and_kind(each)[1] in DRIVING}
    contracts = [_contract(symbol, some) for symbol, some in quotes.items() if some]
    return Survey(contracts, [each for each in driving if quotes[symbol_and_kind(each)[0]]])


def _sampled_names(recording: Recording, quotes: dict[str, list[Quote]]) -> list[str]:
    """Return a recording's stream names, and add some quotes of each symbol to `quotes`."""
    seen: Counter[bytes] = Counter()
    names: dict[str, None] = {}
    for line in recording.lines():
        start = line.find(_NAME) + len(_NAME)
        name = line[start : line.find(b'"', start)]
        seen[name] += 1
        if seen[name] <= _SAMPLE and (frame := recording.read(line)) is not None:
            names[frame.stream] = None
            symbol, kind = symbol_and_kind(frame.stream)
            quote = recorded_quote(frame.payload) if kind == "bookTicker" else None
            if quote is not None:
                quotes[symbol].append(quote)
    return list(names)


def _contract(symbol: str, quotes: list[Quote]) -> Contract:
    prices = [price for each in quotes for price in (each.bid, each.ask)]
    quantities = [size for each in quotes for size in (each.bid_quantity, each.ask_quantity)]
    return recorded_contract(symbol, prices, quantities)


def merged(recordings: Iterable[Recording]) -> Iterator[Frame]:
    """Yield the frames and snapshots of several recordings as they were received, by local time."""
    frames = (each.frames(snapshots=True) for each in recordings)
    return heapq.merge(*frames, key=lambda frame: frame.local_ns)
