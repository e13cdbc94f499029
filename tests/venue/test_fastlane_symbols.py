from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import Broken
from aegis.venue.fastlane_bytes import BEYOND
from aegis.venue.fastlane_symbols import NAME_BYTES, STRANGER, SymbolTable, find_symbol

NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)


def index_of(table: SymbolTable, name: str) -> int:
    text = np.frombuffer(name.encode() + b"USDT" + bytes(BEYOND), np.uint8)
    return find_symbol(table.address, table.mask, int(text.ctypes.data), len(name.encode()))


@settings(deadline=None)
@given(st.lists(NAMES, unique=True, max_size=40), st.lists(NAMES, max_size=10))
def test_symbol_table_finds_each_name_and_no_other(names: list[str], others: list[str]) -> None:
    """A name that fits gives its index, whatever stands behind it in memory; any other is a stranger."""
    table = SymbolTable(names)
    for name in [*names, *others]:
        known = name in names and len(name) <= NAME_BYTES
        assert index_of(table, name) == (names.index(name) if known else STRANGER)


def test_symbol_table_leaves_names_that_are_not_ascii() -> None:
    """Such a symbol keeps its index, and is the slow path's."""
    table = SymbolTable(["币安USDT", "BTCUSDT"])
    assert index_of(table, "币安USDT") == STRANGER
    assert index_of(table, "BTCUSDT") == 1


def test_symbol_table_of_a_whole_exchange() -> None:
    """Six hundred names that differ in little are told apart."""
    names = [f"1000COIN{number:03}USDT" for number in range(600)]
    table = SymbolTable(names)
    assert [index_of(table, name) for name in names] == list(range(600))


def test_symbol_table_refuses_a_name_twice() -> None:
    """Two indices for one name would be a bug of ours."""
    with pytest.raises(Broken, match="index of its own"):
        SymbolTable(["A", "A"])
