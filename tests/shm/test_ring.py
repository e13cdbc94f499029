from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import trio

from aegis.errors import Broken, Refused
from aegis.market.records import CANDLE, TICK
from aegis.shm import Policy, Ring, Start
from aegis.shm.layout import Records, Standing


def ticks(first: int, count: int) -> Records:
    records = np.zeros(count, TICK)
    records["event_ns"] = np.arange(first, first + count)
    records["bid"] = records["event_ns"] / 2
    return records


@pytest.fixture
def ring() -> Iterator[Ring]:
    with Ring.create(TICK, 8) as ring:
        yield ring


def numbers(records: Records) -> list[int]:
    return [int(number) for number in records["event_ns"]]


def test_write_gives_every_field_back(ring: Ring) -> None:
    """A record written word by word has its small fields where the dtype puts them."""
    with ring.writer() as writer, ring.reader("r") as reader:
        assert writer.write(-5, 7 | 2 << 16 | 3 << 24 | 9 << 32, 1.5, 2.5, 3.5, -0.0)
        assert reader.take().tolist() == [(-5, 7, 2, 3, 9, 1.5, 2.5, 3.5, -0.0)]


def test_write_refuses_wrong_words(ring: Ring) -> None:
    """A record of too few words, or with something that is no number, never reaches the ring."""
    with ring.writer() as writer:
        for words in ((1, 2, 3.0), (1, 2, 3.0, 4.0, 5.0, None)):
            with pytest.raises((TypeError, ValueError)):
                writer.write(*words)
        assert writer.position == 0


def test_candles_ride_the_same_ring() -> None:
    """A record type of six floats is written and read whole."""
    with Ring.create(CANDLE, 4) as ring, ring.writer() as writer, ring.reader("r") as reader:
        assert writer.write(1.7e12, 1.0, 3.0, 0.5, 2.0, 100.0)
        assert reader.take().tolist() == [(1.7e12, 1.0, 3.0, 0.5, 2.0, 100.0)]


def test_records_wider_than_a_line_travel() -> None:
    """A record of fifteen words takes two cache lines and arrives whole."""
    wide = np.dtype(
        [("rows", "<f8", (3, 4)), ("pair", [("a", "<u4"), ("b", "<u4")]), ("n", "<i8", 2)]
    )
    with Ring.create(wide, 4) as ring, ring.writer() as writer, ring.reader("r") as reader:
        record = np.zeros(1, wide)
        record["rows"] = np.arange(12).reshape(3, 4)
        record["pair"]["b"] = 5
        record["n"] = (6, 7)
        assert writer.write_batch(record) == 1
        assert reader.take().tobytes() == record.tobytes()


def test_gating_reader_holds_the_writer(ring: Ring) -> None:
    """A batch is cut where the slowest gating reader's ring ends, and goes on when it has advanced."""
    with ring.writer() as writer, ring.reader("slow", policy=Policy.GATE) as slow:
        assert writer.write_batch(ticks(0, 20)) == 8
        assert not writer.write(0, 0, 0.0, 0.0, 0.0, 0.0)
        assert writer.stalls == 1
        assert slow.advance(len(slow.view(3))) == 3
        assert writer.write_batch(ticks(8, 20)) == 3
        assert numbers(slow.take()) == list(range(3, 11))
        assert slow.lost == 0


def test_lossy_reader_counts_what_it_missed(ring: Ring) -> None:
    """An overtaken reader goes on half a ring behind the newest, and knows exactly how many it missed."""
    with ring.writer() as writer, ring.reader("r") as reader:
        for start in range(0, 40, 8):
            assert writer.write_batch(ticks(start, 8)) == 8
        assert reader.lag == 40
        assert numbers(reader.take()) == [36, 37, 38, 39]
        assert (reader.lost, reader.position, reader.lag) == (36, 40, 0)


def test_view_reads_in_place_and_cannot_write(ring: Ring) -> None:
    """A view is the ring's own memory, ends where that ends, and is read-only down to the page table."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 6))
        assert reader.advance(len(reader.view())) == 6
        writer.write_batch(ticks(6, 5))
        assert numbers(reader.view()) == [6, 7]
        assert numbers(reader.view(1)) == [6]
        with pytest.raises(ValueError, match="read-only"):
            reader.view()["bid"] = 0.0
        reader.advance(2)
        assert numbers(reader.view()) == [8, 9, 10]


def test_advance_says_when_a_view_was_overwritten(ring: Ring) -> None:
    """A lossy reader that looked too long is told, and the records count as lost."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 4))
        view = reader.view()
        writer.write_batch(ticks(4, 5))
        assert reader.advance(len(view)) == 0
        assert reader.lost == 4


def test_advance_refuses_more_than_is_ready(ring: Ring) -> None:
    """A reader cannot step over records that it has not been offered."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 2))
        with pytest.raises(Refused, match="offered"):
            reader.advance(1)
        assert reader.poll() == 2
        with pytest.raises(Refused, match="offered"):
            reader.advance(3)
        with pytest.raises(Refused):
            reader.advance(-1)
        assert reader.position == 0


def test_read_into_stops_before_a_gap(ring: Ring) -> None:
    """Copied records follow each other: what is behind a gap comes with the next call."""
    with ring.writer() as writer, ring.reader("r") as reader:
        out = ticks(0, 8)
        writer.write_batch(ticks(0, 8))
        assert reader.read_into(out[:2]) == 2
        writer.write_batch(ticks(8, 8))
        assert reader.read_into(out) == 4
        assert numbers(out[:4]) == [12, 13, 14, 15]
        assert reader.lost == 10


def test_batches_refuse_foreign_arrays(ring: Ring) -> None:
    """Another dtype, a gap between records or memory that cannot be written is refused before anything moves."""
    locked = ticks(0, 4)
    locked.flags.writeable = False
    with ring.writer() as writer, ring.reader("r") as reader:
        for wrong in (np.zeros(4, CANDLE), ticks(0, 8)[::2], ticks(0, 4).reshape(2, 2)):
            with pytest.raises(Refused, match="contiguous"):
                writer.write_batch(wrong)
            with pytest.raises(Refused, match="contiguous"):
                reader.read_into(wrong)
        with pytest.raises(Refused, match="contiguous"):
            reader.read_into(locked)
        assert writer.write_batch(locked) == 4


def test_claim_writes_in_place(ring: Ring) -> None:
    """Claimed slots become records when the block ends, up to the end of the ring's memory."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 5))
        with writer.claim(5) as view:
            assert len(view) == 3
            view["event_ns"] = [5, 6, 7]
            view["bid"] = 0.5
            assert reader.poll() == 5
        assert numbers(reader.take()) == list(range(8))


def test_claim_that_raises_publishes_nothing(ring: Ring) -> None:
    """A block that fails leaves no record, and the next write takes its place."""
    with ring.writer() as writer, ring.reader("r") as reader:
        with pytest.raises(ZeroDivisionError), writer.claim(2):
            _ = 1 // 0
        assert reader.poll() == 0
        writer.write_batch(ticks(0, 2))
        assert numbers(reader.take()) == [0, 1]


def test_claim_notices_another_write(ring: Ring) -> None:
    """Writing while slots are claimed would publish what nobody wrote, so it stops."""
    with ring.writer() as writer, pytest.raises(Broken, match="claimed"), writer.claim(2):
        writer.write(0, 0, 0.0, 0.0, 0.0, 0.0)


def test_abandoned_claim_costs_only_the_claimed_slots(ring: Ring) -> None:
    """A lossy reader loses the records whose slots were opened, and no more."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 8))
        with pytest.raises(ZeroDivisionError), writer.claim(3):
            _ = 1 // 0
        assert numbers(reader.take()) + numbers(reader.take()) == [4, 5, 6, 7]
        assert reader.lost == 4
        assert reader.position == 8


def test_read_new_yields_each_record(ring: Ring) -> None:
    """The generator gives what is there, record by record, and then ends."""
    with ring.writer() as writer, ring.reader("r") as reader:
        writer.write_batch(ticks(0, 3))
        assert [int(record["event_ns"]) for record in reader.read_new()] == [0, 1, 2]
        assert list(reader.read_new()) == []


def test_readers_start_where_they_ask(ring: Ring) -> None:
    """A reader may start at the newest, at the oldest still there, or behind a given record."""
    with ring.writer() as writer:
        for start in (0, 6):
            writer.write_batch(ticks(start, 6))
        with (
            ring.reader("newest") as newest,
            ring.reader("oldest", start=Start.OLDEST) as oldest,
            ring.reader("resumed", start=9) as resumed,
        ):
            assert len(newest.take()) == 0
            assert numbers(oldest.take()) == list(range(4, 12))
            assert numbers(resumed.take()) == [9, 10, 11]
        with pytest.raises(Refused, match="record 4 is not in the ring: it has 5 to 12"):
            ring.reader("late", start=3)
        with pytest.raises(Refused, match="record 14 is not in the ring"):
            ring.reader("early", start=13)


def test_eight_readers_and_no_more(ring: Ring) -> None:
    """Every place is taken once; who leaves makes room for another."""
    readers = [ring.reader(f"r{index}") for index in range(8)]
    with pytest.raises(Refused, match="8 readers"):
        ring.reader("one too many")
    readers[3].close()
    assert [r.name for r in ring.status().readers] == ["r0", "r1", "r2", "r4", "r5", "r6", "r7"]
    ring.reader("instead")
    assert ring.status().readers[3].name == "instead"


def test_one_writer_and_no_more(ring: Ring) -> None:
    """A second writer is refused while the first lives, in this process too; afterwards it goes on."""
    with ring.writer() as writer:
        writer.write_batch(ticks(0, 3))
        with pytest.raises(Refused, match="living writer"):
            ring.writer()
    assert not ring.has_writer
    with ring.writer() as successor:
        assert successor.position == 3


def test_leaving_reader_frees_the_writer(ring: Ring) -> None:
    """A gating reader that closes no longer holds anybody."""
    with ring.writer() as writer:
        with ring.reader("brief", policy=Policy.GATE):
            assert writer.write_batch(ticks(0, 20)) == 8
        assert writer.write_batch(ticks(8, 8)) == 8


def test_patience_ends_in_eviction(ring: Ring) -> None:
    """A gating reader that lets the writer wait too long loses its standing, is told, and reads on as a lossy one."""
    with ring.writer() as writer, ring.reader("slow", policy=Policy.GATE, patience_ms=5) as slow:
        assert writer.write_batch(ticks(0, 8)) == 8
        assert not writer.make_room(now_ns=1_000_000)
        assert not writer.make_room(now_ns=5_999_999)
        assert writer.make_room(now_ns=6_000_000)
        assert slow.evicted
        assert writer.write_batch(ticks(8, 8)) == 8
        assert numbers(slow.take()) == [12, 13, 14, 15]
        assert slow.lost == 12


def test_patience_starts_anew_when_the_writer_moves(ring: Ring) -> None:
    """Only waiting at one and the same record counts against a slow reader."""
    with ring.writer() as writer, ring.reader("slow", policy=Policy.GATE, patience_ms=5) as slow:
        writer.write_batch(ticks(0, 8))
        assert not writer.make_room(now_ns=0)
        slow.advance(len(slow.view(1)))
        assert writer.write_batch(ticks(8, 1)) == 1
        assert not writer.make_room(now_ns=9_000_000)
        assert not slow.evicted


def test_status_shows_every_party(ring: Ring) -> None:
    """Positions, lags and heartbeats can be read from outside."""
    with ring.writer() as writer, ring.reader("r", policy=Policy.GATE) as reader:
        writer.write_batch(ticks(0, 5))
        reader.advance(len(reader.view(2)))
        writer.beat(111)
        reader.beat(222)
        status = ring.status()
        assert status.published == 5
        assert status.writer is not None
        assert (status.writer.epoch, status.writer.heartbeat_ns) == (1, 111)
        (seen,) = status.readers
        assert (seen.name, seen.alive, seen.standing) == ("r", True, Standing.GATING)
        assert (seen.position, seen.lag, seen.lost, seen.heartbeat_ns) == (2, 3, 0, 222)
    assert ring.status().writer is None
    assert ring.status().readers == ()


def test_closed_parties_refuse(ring: Ring) -> None:
    """A call on a closed writer or reader is an error, never a touch of unmapped memory; closing twice is none."""
    writer, reader = ring.writer(), ring.reader("r")
    ring.close()
    ring.close()
    calls: list[Callable[[], object]] = [
        *(reader.poll, reader.view, reader.take, lambda: reader.advance(1), reader.wait_blocking),
        *(lambda: reader.handle, lambda: reader.read_into(ticks(0, 1)), lambda: reader.finished),
        *(lambda: writer.write(1), lambda: writer.write_batch(ticks(0, 1)), writer.finish),
        *(lambda: writer.handle, lambda: writer.claim(1).__enter__()),
    ]
    for call in calls:
        with pytest.raises(Refused, match="closed"):
            call()


def test_view_outlives_its_reader(ring: Ring) -> None:
    """An array that the caller still holds stays valid when the reader is closed."""
    with ring.writer() as writer:
        reader = ring.reader("r")
        writer.write_batch(ticks(0, 3))
        view = reader.view()
        reader.close()
        assert numbers(view) == [0, 1, 2]


async def test_async_reader_ends_with_the_writer(ring: Ring) -> None:
    """`async for` gives every record, sleeps in between, and ends when the writer has finished."""
    seen: list[int] = []
    with ring.writer() as writer, ring.reader("r", policy=Policy.GATE) as reader:

        async def read() -> None:
            async for batch in reader:
                seen.extend(numbers(batch))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for start in range(0, 100, 20):
                await writer.write_all(ticks(start, 20))
                await trio.testing.wait_all_tasks_blocked()
            writer.finish()
        assert reader.finished
    assert seen == list(range(100))


async def test_successor_revokes_the_end(ring: Ring) -> None:
    """A finished ring goes on when a new writer comes."""
    with ring.reader("r") as reader:
        with ring.writer() as writer:
            writer.finish()
        assert await reader.wait() == 0
        with ring.writer() as successor:
            assert not reader.finished
            successor.write_batch(ticks(0, 1))
            assert await reader.wait() == 1


async def test_waiting_writer_can_be_cancelled(ring: Ring) -> None:
    """A cancelled `write_all` says by its position how far it came."""
    with ring.writer() as writer, ring.reader("slow", policy=Policy.GATE):
        with trio.move_on_after(0) as scope:
            await writer.write_all(ticks(0, 20))
        assert scope.cancelled_caught
        assert writer.position in {0, 8}


def test_write_wait_gives_up_at_its_deadline(ring: Ring) -> None:
    """A blocking write returns how much it wrote when its time is up."""
    now_ns = iter(range(0, 10_000_000_000, 1_000_000_000))
    with ring.writer() as writer, ring.reader("slow", policy=Policy.GATE):
        assert writer.write_wait(ticks(0, 20), 2_000_000_000, lambda: next(now_ns)) == 8
