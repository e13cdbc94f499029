"""The throttle: never more than the limit in any window, and the exchange's own count is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Broken
from aegis.venue.throttle import Throttle

asked = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 5), st.booleans()), min_size=1, max_size=200
)


@given(asked=asked)
def test_no_window_has_more_than_the_limit(asked: list[tuple[int, int, bool]]) -> None:
    """Wherever a window begins: a bucket that fills again would let out twice as many."""
    throttle, now_ms, taken = Throttle(10, 1000, reserved=3), 0, []
    for pause_ms, units, urgent in asked:
        now_ms += pause_ms
        if throttle.take(now_ms, units, urgent=urgent):
            taken.append((now_ms, units))
    for begin_ms, _ in taken:
        inside = [units for at_ms, units in taken if begin_ms <= at_ms < begin_ms + 1000]
        assert sum(inside) <= 10


def test_the_share_that_is_kept_back_is_for_what_is_urgent() -> None:
    """Entries stop before it, exits use it up."""
    throttle = Throttle(5, 1000, reserved=2)
    assert [throttle.take(0) for _ in range(4)] == [True, True, True, False]
    assert [throttle.take(1, urgent=True) for _ in range(3)] == [True, True, False]
    assert throttle.take(1000)


def test_what_the_exchange_has_counted_beyond_ours_counts_until_it_begins_anew() -> None:
    """At the next multiple of its window; a count of less, or of none, changes nothing."""
    throttle = Throttle(10, 1000)
    assert throttle.take(2300)
    for used in (-1, 0, 1, 9, 9):
        throttle.correct(2400, used)
    assert [throttle.take(2500) for _ in range(2)] == [True, False]
    assert throttle.has(3000, 8)
    assert not throttle.has(3000, 9)  # our own two are still of any window


def test_nothing_is_taken_where_there_is_not_enough() -> None:
    """A request is made whole or not at all."""
    throttle = Throttle(10, 1000)
    assert not throttle.take(0, 11)
    assert throttle.take(0, 10)


def test_what_was_not_used_can_be_given_back() -> None:
    """Once, and not when its time has given it back already."""
    throttle = Throttle(3, 1000)
    for at_ms in (0, 10, 10):
        assert throttle.take(at_ms)
    throttle.give_back(10)
    assert [throttle.take(20) for _ in range(2)] == [True, False]
    throttle.give_back(15)  # nobody took one then
    assert not throttle.has(20)
    assert throttle.take(1000)  # that of 0 is back, and so may not be given back again
    throttle.give_back(0)
    assert not throttle.has(1000)


def test_a_throttle_that_keeps_back_all_it_has_is_a_mistake() -> None:
    """Nobody but exits could ever leave."""
    with pytest.raises(Broken, match="less than it has"):
        Throttle(5, 1000, reserved=5)
