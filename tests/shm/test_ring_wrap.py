"""Sequences that pass 2^31, 2^32, 2^53 and 2^63 while records flow."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from aegis.market.records import TICK
from aegis.shm import Policy, Ring, Start
from aegis.shm.layout import Records, signed

# 2^31 and 2^32: a counter of 32 bits. 2^53: a float. 2^63: a signed word, after 292 years at 10^9 records a second.
EDGES = {2**31 - 2: "2^31", 2**32 - 2: "2^32", 2**53: "2^53", 2**63 - 10: "2^63"}
CAPACITY = 8


def ticks(first: int, count: int) -> Records:
    records = np.zeros(count, TICK)
    records["event_ns"] = np.arange(first, first + count)
    return records


@pytest.fixture(params=EDGES, ids=list(EDGES.values()))
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    with Ring.create(TICK, CAPACITY, first=request.param) as ring:
        yield ring


def test_gate_passes_the_edge(ring: Ring) -> None:
    """A gating reader gets every record in order, and the writer stops at exactly a full ring on either side."""
    with ring.writer() as writer, ring.reader("r", policy=Policy.GATE) as reader:
        first = reader.position
        done = 0
        for count in [1, 3, CAPACITY, 2, 5, CAPACITY, 7, CAPACITY]:
            assert writer.write_batch(ticks(done, count)) == count
            assert writer.write_batch(ticks(0, CAPACITY)) == CAPACITY - count
            assert not writer.write(0, 0, 0.0, 0.0, 0.0, 0.0)
            assert reader.take()["event_ns"][:count].tolist() == list(range(done, done + count))
            done += CAPACITY
        assert reader.lost == 0
        assert reader.position == signed(first + done)


def test_lossy_counts_across_the_edge(ring: Ring) -> None:
    """What was taken and what was lost add up to what was written, whatever the sequence is called."""
    with ring.writer() as writer, ring.reader("r") as reader:
        first, taken = reader.position, 0
        for start in range(0, 200, 5):
            writer.write_batch(ticks(start, 5))
            if start % 3 == 0:
                records = reader.take()
                last = signed(reader.position - first)
                assert records["event_ns"].tolist() == list(range(last - len(records), last))
                taken += len(records)
        assert taken + reader.lost == signed(reader.position - first)
        assert reader.lost > 0


def test_view_passes_the_edge(ring: Ring) -> None:
    """Reading in place finds every record, and a view that is overtaken says so."""
    with ring.writer() as writer, ring.reader("r") as reader:
        for number in range(40):
            writer.write_batch(ticks(number, 1))
            view = reader.view()
            assert view["event_ns"].tolist() == [number]
            if number % 10 == 9:
                writer.write_batch(ticks(0, CAPACITY))
                assert reader.advance(1) == 0
                reader.take()
            else:
                assert reader.advance(1) == 1


def test_successor_finds_its_place_at_the_edge(ring: Ring) -> None:
    """A new writer goes on behind the newest whole record, and a late reader finds the oldest."""
    with ring.reader("r") as reader:
        first = reader.position
    for start in range(0, 60, 4):
        with ring.writer() as writer:
            assert writer.position == signed(first + start)
            writer.write_batch(ticks(start, 4))
        with ring.reader("late", start=Start.OLDEST) as late:
            assert late.take()["event_ns"].tolist() == list(range(max(0, start - 4), start + 4))


def test_writer_waits_for_room_across_the_edge(ring: Ring) -> None:
    """The word by which a writer asks for room wraps as the sequences do."""
    with ring.writer() as writer, ring.reader("r", policy=Policy.GATE) as reader:
        writer.write_batch(ticks(0, CAPACITY))
        for start in range(CAPACITY, 60, 4):
            assert writer._ask_room(4) is False
            reader.read_into(ticks(0, 4))
            assert ring.status().readers[0].lag == CAPACITY - 4
            assert writer._bell._poll.poll(0), "the reader did not ring"
            writer._bell.listen(0)
            writer._bell.silence()
            assert writer.write_batch(ticks(start, 4)) == 4
