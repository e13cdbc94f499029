"""The lane on real frames, where they stand beside the project."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aegis.actors.tick_sink import TickSink
from aegis.kernel.clock import ManualClock
from aegis.market.records import TICK
from aegis.shm import Policy, Ring
from aegis.venue.admission import Admission
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_symbols import SymbolTable

Ticks = npt.NDArray[np.void]
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def frame(payload: bytes) -> bytes:
    size = len(payload)
    return b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")) + payload


def finish(work: Coroutine[Any, Any, Any]) -> None:
    """Run what never waits."""
    with pytest.raises(StopIteration):
        work.send(None)


def both_ways(
    frames: Sequence[bytes], events: Sequence[bytes], symbols: tuple[str, ...], *, admits: bool
) -> tuple[Ticks, Ticks, bytes]:
    """The ticks that the lane takes from the frames, those that the sink makes of the events, and what is left."""
    stream = b"".join(map(frame, frames))
    left = []
    with Ring.create(TICK, 1 << 17) as ring, ring.reader("test", policy=Policy.GATE) as reader:
        writer = ring.writer()
        admissions = [Admission(len(symbols)) if admits else None for _ in range(2)]
        table, clock = SymbolTable(symbols), ManualClock()
        lane = Lane(writer, table, clock, lossless=True, admission=admissions[0])
        for start in range(0, len(stream), 4_001):
            piece = stream[start : start + 4_001]
            lane.room()[: len(piece)] = piece
            finish(lane.take(len(piece)))
            left.append(lane.left())
        taken = np.zeros(1 << 17, TICK)
        taken = taken[: reader.read_into(taken)]
        sink = TickSink(writer, symbols, lossless=True, admission=admissions[1])
        for event in events:
            finish(sink.take(event, 0))
        made = np.zeros(1 << 17, TICK)
        return taken, made[: reader.read_into(made)], b"".join(left)


@pytest.mark.parametrize("symbol", ["btcusdt", "ethusdt"])
def test_lane_takes_every_tick_of_the_recordings(symbol: str) -> None:
    """Each is let in and is what the slow path makes of it, in order, and all else is left byte for byte."""
    path = DATA / "recordings" / f"{symbol}_20240808.gz"
    if not path.is_file():
        pytest.skip("the recordings are not beside the project")
    with gzip.open(path) as lines:
        frames = [line.split(b" ", 1)[1].rstrip() for line in lines]
    is_tick = re.compile(rb'{"stream":"\w+@(bookTicker|trade)"').match
    events = [one for one in frames if is_tick(one)]
    taken, made, left = both_ways(frames, events, (symbol.upper(),), admits=True)
    assert len(taken) == len(events) > 60_000
    assert (taken == made).all()
    assert left == b"".join(frame(one) for one in frames if not is_tick(one))


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def documents(text: str) -> Iterator[Any]:
    """A document, or one a line."""
    try:
        yield json.loads(text)
    except ValueError:
        for line in text.splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # comments between examples


def test_lane_takes_the_ticks_among_the_recorded_payloads() -> None:
    """Frames of every stream, and of REST replies: the ticks among them, of whatever year."""
    paths = sorted((DATA / "payloads").rglob("*.json*"))
    if not paths:
        pytest.skip("the recorded payloads are not beside the project")
    found = [one for path in paths for text in documents(path.read_text()) for one in objects(text)]
    frames = [json.dumps(one, separators=(",", ":")).encode() for one in found]
    frames = [one for one in frames if len(one) < 1 << 16]
    symbols = tuple({str(one["s"]) for one in found if "s" in one})
    single = [one for one in frames if b'"data":[' not in one]  # the lane reads no arrays
    taken, made, _ = both_ways(single, single, symbols, admits=False)
    assert len(taken) == len(made) >= 190
    assert (taken == made).all()
