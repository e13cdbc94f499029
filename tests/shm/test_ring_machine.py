"""The ring against a list: whatever the order of calls, what is read is what was written."""

from __future__ import annotations

import contextlib

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from aegis.shm import Policy, Ring, Start
from aegis.shm.layout import Records, signed
from aegis.shm.reader import Reader

NUMBER = np.dtype([("number", "<i8"), ("twice", "<i8")])
CAPACITY = 8
STARTS = (0, 2**31 - 2, 2**32 - 2, 2**53, 2**63 - 10)


def numbered(first: int, count: int) -> Records:
    """Records `first`, `first + 1`... as the list knows them; they are told apart by their place in it."""
    records = np.zeros(count, NUMBER)
    records["number"] = np.arange(first, first + count)
    records["twice"] = 2 * records["number"]
    return records


class RingMachine(RuleBasedStateMachine):
    """The list is `range(written)`: record number `n` holds `n`. A reader's place in it is `place[reader]`."""

    readers: Bundle[Reader] = Bundle("readers")

    @initialize(first=st.sampled_from(STARTS))
    def create(self, first: int) -> None:
        self.first = first
        self.written = 0
        self.spoiled = 0  # records below this may be gone although no newer one took their slot: claimed in vain
        self.place: dict[Reader, int] = {}
        self.joined: dict[Reader, int] = {}
        self.ring = Ring.create(NUMBER, CAPACITY, first=first)
        self.writer = self.ring.writer()

    def teardown(self) -> None:
        self.ring.close()

    def room(self) -> int:
        gates = [place for reader, place in self.place.items() if reader.policy is Policy.GATE]
        return CAPACITY - (self.written - min(gates, default=self.written))

    # ---- the writer

    @rule(count=st.integers(0, 3 * CAPACITY))
    def write_batch(self, count: int) -> None:
        accepted = self.writer.write_batch(numbered(self.written, count))
        assert accepted == min(count, self.room())
        self.written += accepted

    @rule()
    def write(self) -> None:
        accepted = self.writer.write(self.written, 2 * self.written)
        assert accepted == (self.room() > 0)
        self.written += accepted

    @rule(count=st.integers(0, CAPACITY), fails=st.booleans())
    def claim(self, count: int, fails: bool) -> None:
        room = self.room()
        claimed = 0
        try:
            with self.writer.claim(count) as view:
                claimed = len(view)
                assert claimed <= min(count, room)
                assert claimed > 0 or not min(count, room)
                view[:] = numbered(self.written, claimed)
                if fails:
                    raise InterruptedError  # noqa: TRY301  # stands for whatever a user's block may raise
        except InterruptedError:
            self.spoiled = max(self.spoiled, self.written + claimed - CAPACITY)
        else:
            self.written += claimed

    @rule()
    def replace_writer(self) -> None:
        self.writer.close()
        self.writer = self.ring.writer()
        assert self.writer.position == signed(self.first + self.written)

    # ---- readers

    @precondition(lambda self: len(self.place) < 8)
    @rule(target=readers, policy=st.sampled_from(Policy))
    def join(self, policy: Policy) -> Reader:
        reader = self.ring.reader("r", policy=policy)
        self.place[reader] = self.joined[reader] = self.written
        return reader

    @precondition(lambda self: len(self.place) < 8)
    @rule(target=readers)
    def join_at_the_oldest(self) -> Reader:
        reader = self.ring.reader("r", start=Start.OLDEST)
        place = self.written - signed(self.first + self.written - reader.position)
        assert place == max(0, self.written - CAPACITY, min(self.spoiled, self.written))
        self.place[reader] = self.joined[reader] = place
        return reader

    @rule(reader=consumes(readers))
    def leave(self, reader: Reader) -> None:
        reader.close()
        del self.place[reader]

    @rule(reader=readers, count=st.integers(0, 2 * CAPACITY))
    def read_into(self, reader: Reader, count: int) -> None:
        out = numbered(-count, count)
        taken = reader.read_into(out)
        self.has_moved(reader, out[:taken])

    @rule(reader=readers, count=st.integers(0, 2 * CAPACITY), late=st.integers(0, 3))
    def look(self, reader: Reader, count: int, late: int) -> None:
        """Look at a view, let the writer write `late` records, and then see whether it was still whole."""
        view = reader.view(count)
        copy = view.copy()
        accepted = self.writer.write_batch(numbered(self.written, late))
        self.written += accepted
        intact = reader.advance(len(view))
        if intact:
            assert intact == len(view)
            assert (view == copy).all()
        self.has_moved(reader, copy[:intact])

    @rule(reader=readers)
    def read_all(self, reader: Reader) -> None:
        while len(records := reader.take()) or reader.poll():
            self.has_moved(reader, records)
        self.has_moved(reader, records)
        assert self.place[reader] == self.written or self.spoiled > self.place[reader]

    def has_moved(self, reader: Reader, records: Records) -> None:
        """Check what a call returned against the list, and where it left the reader."""
        place = self.written - signed(self.first + self.written - reader.position)
        assert records.tolist() == numbered(place - len(records), len(records)).tolist()
        assert place <= self.written
        moved = place - self.place[reader]
        assert moved >= len(records)
        if reader.policy is Policy.GATE:
            assert moved == len(records)
        self.place[reader] = place

    @invariant()
    def figures_agree(self) -> None:
        for reader, place in getattr(self, "place", {}).items():
            assert reader.lag == self.written - place
            if reader.policy is Policy.GATE:
                assert reader.lost == 0


RingMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRingMachine = RingMachine.TestCase


def test_take_is_empty_with_more_behind_what_was_overwritten() -> None:
    """One call skips a few overwritten records, not any number; `poll` says that there are more, and `read_new` goes on."""
    with Ring.create(NUMBER, CAPACITY, first=6) as ring, ring.writer() as writer:
        writer.write_batch(numbered(0, CAPACITY))
        writer.write_batch(numbered(CAPACITY, 2))
        reader, other = (ring.reader(name, start=Start.OLDEST) for name in "ro")
        with contextlib.suppress(InterruptedError), writer.claim(CAPACITY - 1):
            raise InterruptedError
        assert len(reader.take()) == 0
        assert reader.poll() == 1
        assert reader.take().tolist() == numbered(CAPACITY + 1, 1).tolist()
        assert (reader.poll(), reader.lost) == (0, CAPACITY - 1)
        assert [int(record["number"]) for record in other.read_new()] == [CAPACITY + 1]
