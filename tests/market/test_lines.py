"""Cache lines: where the rows of the state lie, and that asking for lines changes nothing."""

from __future__ import annotations

import re
from typing import Any

import numba
import numpy as np
import pytest

from aegis.compiled import compiled
from aegis.market.analysis import Analysis
from aegis.market.kernel import array_of
from aegis.market.lines import LINE, claim, in_lines, zeros_in_lines
from aegis.market.state import ROW

_FIELDS = [("first", "<i8"), ("rest", "u1", (91,)), ("last", "<f8")]
_ODD = np.dtype(_FIELDS)


_OF_ODD = numba.types.void(array_of(_ODD))


def _claim_each(records: Any) -> None:
    for index in range(records.shape[0]):
        claim(records[index])


@pytest.mark.parametrize("symbols", [1, 2, 300])
def test_each_row_of_the_state_begins_with_a_cache_line(symbols: int) -> None:
    """Wherever the memory came from."""
    state = Analysis(symbols).state
    assert state.ctypes.data % LINE == 0
    assert ROW.itemsize % LINE == 0
    assert len(state) == symbols


_EACH = ("event_ns", "recv_us", "stop_long", "stop_short", "target_long", "target_short")
_QUOTE = ("bid", "ask", "bid_size", "ask_size", "flow", "quotes")
_TRADE = ("gap", "trade_ns", "trades", "start_ns", "end_ns", "begin_ns", "price", "forming")


@pytest.mark.parametrize(("names", "lines"), [(_QUOTE, {0, 1}), (_TRADE, {1, 2, 3})])
def test_a_tick_reads_and_writes_few_lines(names: tuple[str, ...], lines: set[int]) -> None:
    """Two for a quote, three for a trade: one more would be a tenth of the time that it takes."""
    assert ROW.fields is not None
    places = [(ROW.fields[name][1], ROW[name].itemsize) for name in _EACH + names]
    assert {at // LINE for first, size in places for at in (first, first + size - 1)} == lines


def test_a_close_looks_first_at_a_line_that_trades_have_just_used() -> None:
    """Whether a bar fits, and which one it is: no line of its own is fetched for that."""
    assert ROW.fields is not None
    last = ROW.fields["forming"][1] + ROW["forming"].itemsize - 1
    places = [ROW.fields[name][1] for name in ("start_ns", "closed_ns", "bars")]
    assert {at // LINE for at in (last, *places)} == {3}


def test_records_in_lines_have_the_same_fields_in_their_order() -> None:
    """Only the space between them grows, as each kind of number asks for it."""
    whole = in_lines(_FIELDS)
    assert whole.names == ("first", "rest", "last")
    assert [whole[name] for name in whole.names] == [_ODD[name] for name in whole.names]
    assert whole.fields is not None
    assert [whole.fields[name][1] for name in whole.names] == [0, 8, 104]
    assert whole.itemsize == 2 * LINE
    assert not zeros_in_lines(3, whole).view(np.uint8).any()


def test_what_fills_whole_lines_begins_with_one() -> None:
    """So that none of the pairs in it lies across two lines."""
    whole = in_lines([("head", "<i8"), ("pairs", "<f8", (8, 2)), ("tail", "u1")])
    assert whole.fields is not None
    assert whole.fields["pairs"][1] == LINE
    assert whole.fields["tail"][1] == 3 * LINE
    assert whole.itemsize == 4 * LINE


def test_claim_asks_for_the_first_line_and_the_last() -> None:
    """Once each, to write to it: by the record's first byte and by its last."""
    kernel = numba.njit(_OF_ODD)(lambda records: claim(records[0]))  # not out of the cache
    (code,) = kernel.inspect_llvm().values()
    asked = re.findall(r"call void @llvm\.prefetch\S*\(\S+ (%\S+), i32 1, i32 3, i32 1\)", code)
    assert len(asked) == len(set(asked)) == 2
    assert re.search(rf"getelementptr .*\b{_ODD.itemsize - 1}\b", code)


def test_claiming_a_record_changes_no_byte() -> None:
    """Also where it begins in the middle of a line, and ends in another."""
    records = np.random.default_rng(1).integers(0, 255, 5 * _ODD.itemsize, np.uint8).view(_ODD)
    before = records.tobytes()
    compiled(_OF_ODD)(_claim_each)(records)
    assert records.tobytes() == before
