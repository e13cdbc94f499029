"""Conflation: fewer records, and nothing lost that moves a bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN
from aegis.market.conflate import Conflation
from aegis.market.parameters import Parameters

START_NS = 1_700_006_400_000 * 1_000_000


def test_window_has_the_last_quote_and_all_trades(tape: Any) -> None:
    """A window says the newest quote, and the high, low, count and signed volume of its trades."""
    tape.quote(0, 9.0, 11.0).trade(10, 10.0, 2.0).trade(20, 12.0, -1.0).quote(30, 9.5, 10.5)
    conflation = Conflation(1)
    (record,) = conflation.take(tape.trade(100, 11.0).ticks())
    assert (record["bid"], record["ask"], record["quotes"]) == (9.5, 10.5, 2)
    assert record["event_ns"] == START_NS + 30_000_000
    assert record["recv_us"] == 3
    trades = record["trades"]
    assert (trades["start_ns"], trades["known_ns"]) == (START_NS, START_NS + 100_000_000)
    assert [trades[name] for name in ("open", "high", "low", "close")] == [10, 12, 10, 12]
    assert (trades["volume"], trades["signed_volume"], trades["trades"]) == (3.0, 1.0, 2)


def test_window_without_trades_keeps_the_last_price(tape: Any) -> None:
    """A window of quotes alone has no trades, and the price that was traded last."""
    tape.trade(0, 10.0).quote(100, 9.0, 11.0).quote(200, 9.0, 11.0)
    first, second = Conflation(1).take(tape.ticks())
    assert (first["trades"]["trades"], first["quotes"]) == (1, 0)
    assert (second["trades"]["trades"], second["quotes"]) == (0, 1)
    assert second["trades"]["close"] == 10.0


def test_gap_breaks_its_window_and_the_next_trade(tape: Any) -> None:
    """The window that forms at a gap is broken, and so is the one with the next trade."""
    tape.trade(0, 10.0).gap(50).quote(100, 9.0, 11.0).trade(200, 10.0).trade(300, 10.0)
    records = Conflation(1).take(tape.trade(400, 10.0).ticks())
    assert records["trades"]["flags"].tolist() == [FLAG_BROKEN, 0, FLAG_BROKEN, 0]


def test_late_and_bad_ticks_are_counted(tape: Any) -> None:
    """A quote from before its symbol's window, what no market has, and what names no symbol, is counted and dropped."""
    tape.quote(100, 9.0, 10.0).quote(50, 1.0, 2.0).trade(110, -1.0).trade(0, 1.0, symbol=3)
    conflation = Conflation(2)
    conflation.take(tape.ticks())
    assert conflation.counts() == {"late": 1, "bad": 1, "strays": 1}
    assert conflation.windows["forming"]["bid"][0] == 9.0


@pytest.mark.parametrize("is_flushed", [False, True])
def test_a_trade_whose_window_is_closed_counts_in_the_next(tape: Any, is_flushed: bool) -> None:
    """Trades say when they were made, quotes when they were sent: none is lost by that, and the newest trade is the close."""
    conflation = Conflation(1)
    first = tape.trade(90, 10.0).ticks() if is_flushed else tape.trade(90, 10.0).quote(101, 9, 11)
    closed = [conflation.take(first if is_flushed else first.ticks()).copy()]
    if is_flushed:
        closed.append(conflation.flush(START_NS + 100_000_000))
    before = len(tape.ticks())
    tape.trade(97, 12.0, 2.0).trade(98, 11.0).quote(150, 9.0, 11.0).trade(149, 13.0).trade(
        200, 10.0
    )
    closed.append(conflation.take(tape.ticks()[before:]))
    trades = np.concatenate(closed)["trades"]
    assert trades["trades"].tolist() == [1, 3]
    assert trades["start_ns"].tolist() == [START_NS, START_NS + 100_000_000]
    assert [trades[1][name] for name in ("open", "high", "low", "close")] == [12, 13, 11, 13]
    assert trades["volume"].sum() == 5.0


def test_flush_closes_quiet_symbols(tape: Any) -> None:
    """A window without a later tick is told of when its time is over, once, and what is late for it opens no window again."""
    conflation = Conflation(3)
    conflation.take(tape.trade(0, 10.0).trade(150, 20.0, symbol=2).ticks())
    assert len(conflation.flush(START_NS + 99_999_999)) == 0
    (record,) = conflation.flush(START_NS + 100_000_000)
    assert (record["symbol"], record["trades"]["start_ns"]) == (0, START_NS)
    assert record["trades"]["close"] == 10.0
    assert len(conflation.flush(START_NS + 100_000_000)) == 0
    tape.records.clear()
    conflation.take(tape.trade(50, 11.0).ticks())
    (late,) = conflation.flush(START_NS + 200_000_000)[:1]
    assert (late["symbol"], late["trades"]["start_ns"]) == (0, START_NS + 100_000_000)


def test_length_zero_passes_every_good_tick(tape: Any) -> None:
    """With conflation off each good tick is a record of its own, in order of arrival, out of order or not."""
    tape.trade(5, 10.0).quote(3, 9.0, 11.0).gap(4).trade(4, 12.0, -2.0).trade(4, -1.0)
    records = Conflation(1, 0).take(tape.ticks())
    assert records["quotes"].tolist() == [0, 1, 0]
    assert records["trades"]["trades"].tolist() == [1, 0, 1]
    assert records["trades"]["close"].tolist() == [10.0, 10.0, 12.0]
    assert records["trades"]["signed_volume"].tolist() == [1.0, 0.0, -2.0]
    assert records["bid"].tolist() == [0.0, 9.0, 9.0]


def bars_of_windows(records: NDArray[np.void], interval_ns: int) -> list[Any]:
    """The bars that the windows inside each interval make."""
    traded = records["trades"][records["trades"]["trades"] > 0]
    bars = []
    for start in np.unique(traded["start_ns"] // interval_ns):
        inside = traded[traded["start_ns"] // interval_ns == start]
        bars.append(
            (
                inside["open"][0],
                inside["high"].max(),
                inside["low"].min(),
                inside["close"][-1],
                inside["volume"].sum(),
                inside["signed_volume"].sum(),
                inside["value"].sum(),
                inside["trades"].sum(),
            )
        )
    return bars


steps = st.lists(
    st.tuples(st.booleans(), st.integers(0, 400), st.integers(90, 110), st.integers(1, 9)),
    max_size=120,
)


@settings(max_examples=100, deadline=None)
@given(steps=steps, window_ms=st.sampled_from([0, 50, 100, 500, 1000]))
def test_bars_of_windows_are_bars_of_ticks(
    make_tape: Any, steps: list[tuple[bool, int, int, int]], window_ms: int
) -> None:
    """Whatever the length of the window, bars made of conflated records are the bars made of the ticks."""
    tape, at_ms = make_tape(), 0
    for is_trade, pause_ms, price, quantity in steps:
        at_ms += pause_ms
        if is_trade:
            tape.trade(at_ms, price, quantity)
        else:
            tape.quote(at_ms, price, price + 1)
    tape.trade(at_ms + 2000, 100.0)
    analysis = Analysis(1, Parameters(interval_ms=1000))
    analysis.step(tape.ticks())
    names = ["open", "high", "low", "close", "volume", "signed_volume", "value", "trades"]
    records = Conflation(1, window_ms).take(tape.ticks())
    known = records[records["trades"]["start_ns"] < START_NS + (at_ms + 1000) // 1000 * 10**9]
    assert bars_of_windows(known, 10**9) == analysis.bars(0)[names].tolist()


@pytest.mark.parametrize("batch", [1, 7, 4096])
def test_cutting_into_batches_changes_nothing(tape: Any, batch: int) -> None:
    """The same ticks in one call or in many close the same windows."""
    rng = np.random.default_rng(3)
    for at_ms in np.cumsum(rng.integers(0, 60, 300)):
        tape.trade(int(at_ms), float(rng.integers(90, 110)), symbol=int(rng.integers(0, 3)))
    ticks = tape.ticks()
    expected = Conflation(3).take(ticks).tolist()
    cut = Conflation(3)
    got = [
        record
        for first in range(0, len(ticks), batch)
        for record in cut.take(ticks[first : first + batch]).tolist()
    ]
    assert got == expected
