from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aegis.orders.exposure import Exposure

SYMBOLS = st.sampled_from(["A", "B", "C"])
NUMBERS = st.integers(-50, 50).map(Decimal)
CHANGES = st.one_of(
    st.builds(lambda symbol, quantity: ("hold", symbol, quantity), SYMBOLS, NUMBERS),
    st.builds(lambda symbol, price: ("value_at", symbol, abs(price)), SYMBOLS, NUMBERS),
    st.builds(
        lambda symbol, key, left: ("reserve", symbol, key, left),
        SYMBOLS,
        st.sampled_from("xyz"),
        NUMBERS,
    ),
)


@given(st.lists(st.integers(-50, 50), max_size=8), st.integers(-50, 50))
def test_exposure_never_understates(orders: list[int], held: int) -> None:
    """Whichever subset of the open orders fills, the worst case was at least that."""
    exposure = Exposure()
    exposure.hold("X", Decimal(held))
    for number, quantity in enumerate(orders):
        exposure.reserve("X", str(number), Decimal(quantity))
    worst = exposure.worst_case("X")
    longs = sum(quantity for quantity in orders if quantity > 0)
    shorts = sum(quantity for quantity in orders if quantity < 0)
    assert worst == max(abs(held + longs), abs(held + shorts))
    assert worst >= abs(held + sum(orders))


@given(st.lists(CHANGES, max_size=40), SYMBOLS)
def test_exposure_is_worth_what_its_symbols_are(
    changes: list[tuple[str, Any]], without: str
) -> None:
    """However it came about, the value over all symbols is that of each at its worst, added up."""
    exposure = Exposure()
    for what, *told in changes:
        getattr(exposure, what)(*told)
    worth = sum(
        exposure.worst_case(each) * exposure.mark(each) for each in "ABC" if each != without
    )
    assert exposure.gross_notional(without) == worth
