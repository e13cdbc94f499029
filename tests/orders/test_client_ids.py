"""Client order ids: of this run and of no other, whichever journal it writes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.orders.ids import ClientIds, is_forced, is_ours

runs = st.tuples(st.integers(1, 10**6), st.integers(0, 4 * 10**12))


@given(first=runs, second=runs)
def test_ids_of_two_runs_are_never_the_same(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    """Runs of one journal differ by their number, those of two by when they began: a second apart is enough."""
    one, other = (ClientIds(*run).next() for run in (first, second))
    is_same = first[0] == second[0] and first[1] // 1000 == second[1] // 1000
    assert (one == other) == is_same


@given(run=runs)
def test_ids_are_what_the_exchange_takes(run: tuple[int, int]) -> None:
    """In their order, each once, recognisable, of at most 36 characters that it allows."""
    ids = ClientIds(*run)
    made = [ids.next() for _ in range(3)]
    assert [int(each.rpartition("-")[2]) for each in made] == [1, 2, 3]
    assert all(re.fullmatch(r"[\.A-Z:/a-z0-9_-]{1,36}", each) and is_ours(each) for each in made)


@pytest.mark.parametrize(
    ("client_id", "is_the_exchanges"),
    [
        ("autoclose-1616", True),
        ("adl_autoclose", True),
        ("settlement_autoclose-16", True),
        ("aegis-t5w2-1-7", False),
        ("web_autoclose-1", False),
        ("", False),
    ],
)
def test_orders_of_the_exchange_itself_are_known_by_their_names(
    client_id: str, is_the_exchanges: bool
) -> None:
    """Liquidation, deleveraging, and the end of a contract; nobody else is given such a name."""
    assert is_forced(client_id) is is_the_exchanges
