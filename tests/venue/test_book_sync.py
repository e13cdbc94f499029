"""The table by which a book is brought into step, and the changes that wait for its snapshot."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.venue.binance_market import DepthUpdate
from aegis.venue.book_sync import KEPT_MAX, TABLE, Action, Happening, Kept, Phase

WITH_BOOK = {Phase.LIVE, Phase.RENEWING, Phase.PAUSED}
ON_ITS_WAY = (Phase.ASKED, Phase.RENEWING)


def change(previous_id: int, last_id: int) -> DepthUpdate:
    return DepthUpdate(s="X", U=last_id, u=last_id, pu=previous_id, T=last_id, b=[], a=[])


def ids(kept: Kept) -> list[int]:
    return [each.u for each in kept]


def test_every_phase_is_reached_and_left() -> None:
    """From the first on, every phase can come, and none is the last."""
    reached = {Phase.UNSYNCED}
    todo = deque(reached)
    while todo:
        phase = todo.popleft()
        following = {after for (before, _), (after, _) in TABLE.items() if before is phase}
        assert following - {phase}
        todo.extend(following - reached)
        reached |= following
    assert reached == set(Phase)


@pytest.mark.parametrize("phase", Phase)
def test_changes_have_an_answer_in_every_phase(phase: Phase) -> None:
    """Whatever phase a book is in, a change may come that does not follow, and its connection may be lost."""
    assert (phase, Happening.AHEAD) in TABLE
    assert (phase, Happening.CUT) in TABLE
    assert ((phase, Happening.FOLLOWS) in TABLE) is (phase in WITH_BOOK)
    assert ((phase, Happening.FAULT) in TABLE) is (phase in WITH_BOOK)


@pytest.mark.parametrize("phase", ON_ITS_WAY)
def test_a_snapshot_finds_whatever_has_become_of_its_book(phase: Phase) -> None:
    """While it is on its way the book may break or pause: in each phase that can follow, it has a place or none."""
    later = {phase}
    while later != (
        more := later
        | {
            after
            for (before, happening), (after, _) in TABLE.items()
            if before in later and happening in {Happening.AHEAD, Happening.CUT, Happening.FAULT}
        }
    ):
        later = more
    for each in later:
        assert {(each, Happening.SNAPSHOT) in TABLE, (each, Happening.FAILED) in TABLE} == {True}


def test_only_following_changes_are_taken_into_a_live_book() -> None:
    """What does not follow breaks it, and nothing but a snapshot that meets the stream makes it live again."""
    assert TABLE[Phase.LIVE, Happening.AHEAD] == (Phase.BROKEN, Action.BREAK)
    to_live = {(before, h) for (before, h), (after, _) in TABLE.items() if after is Phase.LIVE}
    assert {h for before, h in to_live if before not in WITH_BOOK} == {Happening.MET}
    applied = {
        h
        for (_, h), (_, action) in TABLE.items()
        if action in {Action.APPLY, Action.APPLY_AND_KEEP}
    }
    assert applied == {Happening.FOLLOWS}


@pytest.mark.parametrize(
    ("update_id", "met", "left"),
    [
        (9, Happening.TOO_OLD, [15, 20]),  # before all that was kept
        (10, Happening.MET, [15, 20]),  # just before it
        (12, Happening.MET, [15, 20]),
        (15, Happening.MET, [15, 20]),  # equal to the end of one, which may be taken again
        (16, Happening.MET, [20]),
        (20, Happening.MET, [20]),
        (21, None, []),  # behind all of it: wait
    ],
)
def test_snapshot_meets_the_change_that_it_ends_in(
    update_id: int, met: Happening | None, left: list[int]
) -> None:
    """It belongs before the first change with `pu <= L <= u`; what is older is in it already."""
    kept = Kept()
    for each in (change(10, 15), change(15, 20)):
        kept.add(each)
    assert kept.meeting(update_id) is met
    assert ids(kept) == left


def test_what_is_kept_follows_each_other() -> None:
    """A repetition is left out, and what a gap parts from the newest is of no use."""
    kept = Kept()
    for each in (change(1, 4), change(4, 9), change(1, 4), change(4, 9)):
        kept.add(each)
    assert ids(kept) == [4, 9]
    kept.add(change(11, 12))
    assert ids(kept) == [12]
    kept.add(change(12, 13))
    kept.forget_through(12)
    assert ids(kept) == [13]
    kept.forget()
    assert len(kept) == 0


def test_no_more_is_kept_than_a_snapshot_needs() -> None:
    """The oldest go; a snapshot that ends before the rest is too old."""
    kept = Kept()
    for last_id in range(1, KEPT_MAX + 11):
        kept.add(change(last_id - 1, last_id))
    assert len(kept) == KEPT_MAX
    assert kept.meeting(5) is Happening.TOO_OLD
    assert kept.meeting(10) is Happening.MET


@given(
    steps=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    lost=st.sets(st.integers(0, 19)),
    update_id=st.integers(0, 110),
)
def test_a_met_snapshot_lacks_nothing(steps: list[int], lost: set[int], update_id: int) -> None:
    """Whatever is lost on the way: from the snapshot on, every id up to the newest is in a change that was kept."""
    kept = Kept()
    last_id = 0
    for number, step in enumerate(steps):
        if number not in lost:
            kept.add(change(last_id, last_id + step))
        last_id += step
    if kept.meeting(update_id) is Happening.MET:
        covered = {i for each in kept for i in range(each.pu + 1, each.u + 1)}
        newest = max(ids(kept))
        assert set(range(update_id + 1, newest + 1)) <= covered
