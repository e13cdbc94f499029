from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Broken
from aegis.orders.instrument import Side
from aegis.orders.order import Order, Trade
from aegis.orders.states import OPEN, TRANSITIONS, Happening, OrderState

QUANTITY = Decimal(3)
MOVES_NOTHING = [h for h in Happening if h not in {Happening.FILL, Happening.LAST_FILL}]


def order() -> Order:
    return Order("aegis-1-1", "BTCUSDT", Side.BUY, QUANTITY, reduce_only=False)


def trade(number: int, quantity: Decimal = Decimal(1)) -> Trade:
    return Trade(
        "BTCUSDT", number, "aegis-1-1", Side.BUY, quantity, Decimal(100), Decimal(0), "USDT", 0
    )


def apply(to: Order, event: Happening | Trade) -> Order:
    return to.traded(event) if isinstance(event, Trade) else to.after(event)


def test_order_table_is_total() -> None:
    """Every happening has a meaning in every state."""
    assert set(TRANSITIONS) == {(s, h) for s in OrderState for h in Happening}


@pytest.mark.parametrize("state", [OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED])
def test_order_final_state_is_left_by_a_fill_only(state: OrderState) -> None:
    """What is over stays over, whatever a late message says."""
    assert all(TRANSITIONS[state, happening] is state for happening in MOVES_NOTHING)


@pytest.mark.parametrize(
    "events",
    [
        [Happening.ACCEPTED, trade(1), trade(2), trade(3)],
        [Happening.LOST, Happening.ACCEPTED, trade(1), trade(2), trade(3)],
        [Happening.ACCEPTED, trade(1), Happening.CANCELLED],
        [Happening.LOST, trade(1), Happening.EXPIRED],
        [Happening.LOST, Happening.ACCEPTED, Happening.CANCELLED],
        [Happening.ABSENT, Happening.ACCEPTED, trade(1)],
    ],
)
def test_order_ends_the_same_in_any_order_of_events(events: list[Happening | Trade]) -> None:
    """Replies and stream events arrive in any order, and the fold does not mind."""
    ends = set()
    for shuffled in permutations(events):
        end = order()
        for event in shuffled:
            end = apply(end, event)
        ends.add((end.state, end.filled, end.trade_ids))
    assert len(ends) == 1


@given(st.lists(st.integers(1, 3), max_size=12))
def test_order_counts_a_trade_once(numbers: list[int]) -> None:
    """A trade that is told twice fills once."""
    end = order()
    for number in numbers:
        end = end.traded(trade(number))
    assert end.filled == len(set(numbers))


def test_order_unknown_keeps_its_exposure() -> None:
    """An order whose answer was lost may still fill, so its quantity still counts."""
    lost = order().after(Happening.LOST)
    assert lost.state in OPEN
    assert lost.remaining == QUANTITY


def test_order_absent_still_takes_a_late_fill() -> None:
    """Money that moved has moved, whatever was proved before."""
    late = order().after(Happening.LOST).after(Happening.ABSENT).traded(trade(1))
    assert late.state is OrderState.PARTIAL
    assert late.filled == 1


def test_order_overfilled_stops_the_engine() -> None:
    """More filled than ordered is no order of ours: a broken invariant."""
    with pytest.raises(Broken, match="more than was ordered"):
        order().traded(trade(1, QUANTITY + 1))


def test_order_after_refuses_a_fill_without_its_trade() -> None:
    """A fill always carries the trade that made it."""
    with pytest.raises(Broken):
        order().after(Happening.FILL)
