"""Order flow at the top of the book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.market.analysis import Analysis


@pytest.mark.parametrize(
    ("quote", "flow"),
    [
        ((10.0, 11.0, (7.0, 5.0)), 2.0),  # two more on the bid
        ((10.0, 11.0, (5.0, 8.0)), -3.0),  # three more on the ask
        ((10.5, 11.0, (4.0, 5.0)), 4.0),  # a better bid: all of it came
        ((9.5, 11.0, (4.0, 5.0)), -5.0),  # the bid went away: all that was there left
        ((10.0, 10.5, (5.0, 4.0)), -4.0),  # a better ask
        ((10.0, 11.5, (5.0, 4.0)), 5.0),  # the ask went away
        ((10.0, 11.0, (5.0, 5.0)), 0.0),
    ],
)
def test_quote_adds_what_came_and_left(
    tape: Any, make_analysis: Any, quote: tuple[float, float, Any], flow: float
) -> None:
    """Each change of the best quote counts as its definition says, bid and ask with opposite signs."""
    tape.trade(0, 10.5).quote(1, 10.0, 11.0, sizes=(5.0, 5.0)).quote(2, *quote[:2], sizes=quote[2])
    analysis = make_analysis()
    analysis.step(tape.trade(1000, 10.5).ticks())
    assert analysis.row(0)["flow"]["order_flow"] == flow


def test_flow_is_warm_with_the_second_quote(tape: Any, make_analysis: Any) -> None:
    """The first quote has none to be compared with and adds nothing; the queue imbalance is known with it."""
    tape.trade(0, 10.5).quote(1, 10.0, 11.0, sizes=(9.0, 3.0)).trade(1000, 10.5)
    analysis = make_analysis()
    analysis.step(tape.ticks())
    flow = analysis.row(0)["flow"]
    assert (flow["order_flow"], flow["queue"]) == (0.0, 0.5)


def test_flow_starts_anew_with_each_bar(tape: Any, make_analysis: Any) -> None:
    """What came before a bar closed belongs to it, and not to the next one."""
    analysis = make_analysis()
    tape.trade(0, 10.5).quote(1, 10.0, 11.0).quote(2, 10.0, 11.0, sizes=(4.0, 1.0))
    analysis.step(tape.trade(1000, 10.5).ticks())
    assert (analysis.row(0)["flow"]["order_flow"], analysis.row(0)["flow"]["queue"]) == (3.0, 0.6)
    tape.records.clear()
    analysis.step(tape.trade(2000, 10.5).ticks())
    assert analysis.row(0)["flow"]["order_flow"] == 0.0


def test_queue_is_unknown_without_a_quote(tape: Any, make_analysis: Any) -> None:
    """A bar before the first quote has no queue imbalance."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).trade(1000, 10.0).ticks())
    assert np.isnan(analysis.row(0)["flow"]["queue"])


quotes = st.lists(
    st.tuples(st.integers(90, 95), st.integers(96, 99), st.integers(0, 9), st.integers(0, 9)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=quotes)
def test_mirrored_book_has_the_opposite_flow(
    make_tape: Any, make_analysis: Any, steps: list[tuple[int, int, int, int]]
) -> None:
    """Swap bid and ask in a mirror, and the order flow and the queue imbalance change sign, exactly."""

    def closed(mirror: bool) -> Analysis:
        tape = make_tape().trade(0, 95.5)
        for bid, ask, bid_size, ask_size in steps:
            if mirror:
                tape.quote(1, 191.0 - ask, 191.0 - bid, sizes=(ask_size, bid_size))
            else:
                tape.quote(1, bid, ask, sizes=(bid_size, ask_size))
        analysis: Analysis = make_analysis()
        analysis.step(tape.trade(1000, 95.5).ticks())
        return analysis

    here, there = closed(mirror=False).row(0)["flow"], closed(mirror=True).row(0)["flow"]
    assert here["order_flow"] == -there["order_flow"]
    assert here["queue"] == -there["queue"] or np.isnan(here["queue"])
