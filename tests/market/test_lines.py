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

_ODD = np.dtype([("first", "<i8"), ("rest", "u1", (91,)), ("last", "<f8")])


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


def test_what_a_quote_reads_and_writes_lies_in_two_lines() -> None:
    """A third one would be a tenth of the time that a tick takes."""
    assert ROW.fields is not None
    quote = ("event_ns", "bid", "ask", "bid_size", "ask_size", "flow", "recv_us", "ticks", "quotes")
    guard = ("stop_long", "stop_short", "target_long", "target_short")
    lines = {ROW.fields[name][1] // LINE for name in quote + guard}
    assert lines == {0, 1}


def test_records_in_lines_keep_their_fields() -> None:
    """Only the space between them grows."""
    whole = in_lines(_ODD)
    assert (_ODD.itemsize, whole.itemsize) == (107, 128)
    assert whole.fields == _ODD.fields
    assert not zeros_in_lines(3, whole).view(np.uint8).any()


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
