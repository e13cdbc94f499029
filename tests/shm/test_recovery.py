"""What is found in slots that a dead writer, or a disk, has left."""

from __future__ import annotations

import numpy as np
import pytest

from aegis.market.records import TICK
from aegis.shm.header import fill
from aegis.shm.layout import HEADER, Geometry, Records, signed
from aegis.shm.recovery import surviving

CAPACITY = 8
FIRSTS = [0, 2**63 - 5]


def segment(first: int, written: int) -> tuple[Records, Records]:
    """Header and slots of a ring into which `written` records were written."""
    geometry = Geometry(TICK, CAPACITY)
    header, slots = np.zeros(1, HEADER), np.zeros(CAPACITY, geometry.slot_dtype)
    fill(header, slots, geometry, first)
    for number in range(written):
        stamp(slots, first + number + 1)
    header["pub"] = signed(first + written)
    return header, slots


def stamp(slots: Records, sequence: int, *fields: str) -> None:
    slot = slots[signed(sequence - 1) & (CAPACITY - 1)]
    for field in fields or ("begin", "end"):
        slot[field] = signed(sequence)


def run(header: Records, slots: Records) -> tuple[int, int]:
    """The run that was found, counted from the first record ever."""
    first = int(header["first"][0])
    before_oldest, newest = surviving(slots, header)
    return signed(before_oldest - first), signed(newest - first)


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize(
    ("written", "found"), [(0, (0, 0)), (3, (0, 3)), (8, (0, 8)), (21, (13, 21))]
)
def test_whole_ring_is_found(first: int, written: int, found: tuple[int, int]) -> None:
    """The run ends with the newest record and reaches back a whole ring, or to the first."""
    assert run(*segment(first, written)) == found


@pytest.mark.parametrize("first", FIRSTS)
def test_unpublished_records_are_found(first: int) -> None:
    """Records that were complete before PUB was moved count: a reader may have taken them."""
    header, slots = segment(first, 10)
    header["pub"] = signed(first + 7)
    assert run(header, slots) == (2, 10)


@pytest.mark.parametrize("first", FIRSTS)
def test_half_written_slot_is_left_out(first: int) -> None:
    """A slot that was being written is neither the record it held nor the one it was to hold."""
    header, slots = segment(first, 10)
    stamp(slots, first + 11, "begin")
    assert run(header, slots) == (3, 10)


@pytest.mark.parametrize("first", FIRSTS)
def test_run_ends_at_a_hole(first: int) -> None:
    """A disk writes pages in any order: only what hangs together with the newest record is kept."""
    header, slots = segment(first, 10)
    stamp(slots, first + 6 - CAPACITY)
    assert run(header, slots) == (6, 10)


@pytest.mark.parametrize("first", FIRSTS)
def test_claimed_ring_goes_on_at_pub(first: int) -> None:
    """A writer that died with every slot claimed left nothing whole; what it had published still counts."""
    header, slots = segment(first, 10)
    for ahead in range(1, CAPACITY + 1):
        stamp(slots, first + 10 + ahead, "begin")
    assert run(header, slots) == (10, 10)


def test_stamp_in_the_wrong_slot_is_no_record() -> None:
    """Equal stamps are not enough: the sequence must belong into just this slot."""
    header, slots = segment(0, 10)
    slots["begin"][0] = slots["end"][0] = 1002
    assert run(header, slots) == (9, 10)
