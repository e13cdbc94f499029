"""The step: entries, protective stops, bad values, and independence of how ticks are cut into calls."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind
from aegis.market.signals import Reason, SignalKind

START_NS = 1_700_006_400_000 * 1_000_000
UPWARD = (10.0, 11.0, 12.0, 15.0, 12.0, 11.0, 12.0, 13.0, 16.0)


def rising_break(tape: Any) -> Any:
    """Bars with a swing high of 15 and a close of 16 above it, closed by one more trade."""
    for number, close in enumerate(UPWARD):
        tape.bar(number, (close,))
    return tape.trade(len(UPWARD) * 1000, 16.0)


def test_entry_says_all_the_gate_needs(tape: Any, make_analysis: Any) -> None:
    """An entry has the close, the stop 1.5 ATR away, the bar, and the tick that made it known."""
    analysis = make_analysis(pivot_bars=2, atr_period=2)
    (signal,) = analysis.step(rising_break(tape).ticks())
    atr = analysis.row(0)["indicators"]["atr"]
    assert SignalKind(int(signal["kind"])) is SignalKind.ENTRY_LONG
    assert Reason(int(signal["reason"])) is Reason.BOS
    assert (signal["side"], signal["price"], signal["symbol"]) == (1, 16.0, 0)
    assert signal["atr"] == atr > 0.0
    assert signal["stop"] == 16.0 - 1.5 * atr
    assert signal["bar_ns"] == START_NS + 8_000_000_000
    assert signal["known_ns"] == START_NS + 9_000_000_000
    assert signal["recv_us"] == 9


def test_mirrored_prices_make_the_mirrored_entry(tape: Any, make_analysis: Any) -> None:
    """A break of a swing low is the break of a high seen in a mirror."""
    for number, close in enumerate(UPWARD):
        tape.bar(number, (100.0 - close,))
    analysis = make_analysis(pivot_bars=2, atr_period=2)
    (signal,) = analysis.step(tape.trade(9000, 84.0).ticks())
    assert SignalKind(int(signal["kind"])) is SignalKind.ENTRY_SHORT
    assert signal["side"] == -1
    assert signal["stop"] == 84.0 + 1.5 * signal["atr"]


def test_no_entry_before_the_atr_is_warm(tape: Any, make_analysis: Any) -> None:
    """A break without a warm ATR has no stop, so it proposes nothing."""
    analysis = make_analysis(pivot_bars=2, atr_period=14)
    assert len(analysis.step(rising_break(tape).ticks())) == 0


def test_no_entry_on_a_broken_bar(tape: Any, make_analysis: Any) -> None:
    """A bar that may miss trades breaks the swing but proposes nothing."""
    for number, close in enumerate(UPWARD):
        tape.bar(number, (close,))
    analysis = make_analysis(pivot_bars=2, atr_period=2)
    assert len(analysis.step(tape.gap(8500).trade(9000, 16.0).ticks())) == 0
    assert analysis.row(0)["structure"]["swings"][0]["edge"] == np.inf


def test_no_entry_without_room_for_its_stop(tape: Any, make_analysis: Any) -> None:
    """An entry whose stop would lie at or below zero is not proposed: it could not be guarded."""
    analysis = make_analysis(pivot_bars=2, atr_period=2, stop_atr=100.0)
    assert len(analysis.step(rising_break(tape).ticks())) == 0


@pytest.mark.parametrize(
    ("side", "stop", "quotes", "hit"),
    [
        (1, 99.0, [(99.5, 99.6), (99.01, 99.2), (99.0, 99.1)], 99.0),
        (-1, 101.0, [(100.5, 100.9), (100.9, 100.99), (100.9, 101.2)], 101.2),
    ],
)
def test_stop_exits_once(
    tape: Any,
    make_analysis: Any,
    side: int,
    stop: float,
    quotes: list[tuple[float, float]],
    hit: float,
) -> None:
    """The first quote at or beyond the stop writes one exit with the price that hit it, and the next ones none."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 100.0).ticks())
    analysis.arm_stop(0, side, stop)
    tape.records.clear()
    for at_ms, (bid, ask) in enumerate(quotes + quotes[-1:]):
        tape.quote(at_ms, bid, ask)
    (signal,) = analysis.step(tape.ticks())
    assert SignalKind(int(signal["kind"])) is SignalKind.EXIT
    assert Reason(int(signal["reason"])) is Reason.STOP
    assert (signal["side"], signal["price"], signal["stop"]) == (-side, hit, stop)
    assert signal["recv_us"] == 2
    assert math.isnan(signal["atr"])


def test_stop_is_hit_by_a_trade(tape: Any, make_analysis: Any) -> None:
    """A trade through the stop exits as a quote does."""
    analysis = make_analysis()
    analysis.arm_stop(0, 1, 99.0)
    assert len(analysis.step(tape.trade(0, 98.0).ticks())) == 1


def test_rearmed_stop_exits_again(tape: Any, make_analysis: Any) -> None:
    """After an exit a newly armed stop guards again; a disarmed one does not."""
    analysis = make_analysis()
    ticks = tape.quote(0, 98.0, 98.1).ticks()
    assert len(analysis.step(ticks)) == 0
    analysis.arm_stop(0, 1, 99.0)
    assert len(analysis.step(ticks)) == 1
    analysis.arm_stop(0, 1, 99.0)
    assert len(analysis.step(ticks)) == 1
    analysis.arm_stop(0, 1, 99.0)
    analysis.disarm_stop(0)
    assert len(analysis.step(ticks)) == 0


def test_stop_of_one_symbol_is_its_own(tape: Any, make_analysis: Any) -> None:
    """A quote of another symbol does not hit a stop."""
    analysis = make_analysis(symbols=2)
    analysis.arm_stop(0, 1, 99.0)
    assert len(analysis.step(tape.quote(0, 50.0, 50.1, symbol=1).ticks())) == 0


@pytest.mark.parametrize(("side", "price"), [(0, 1.0), (2, 1.0), (1, 0.0), (1, math.nan), (-1, -1)])
def test_impossible_stop_is_refused(make_analysis: Any, side: int, price: float) -> None:
    """A stop without a side or with a price no market has is an error, and arms nothing."""
    analysis = make_analysis()
    with pytest.raises(ValueError, match="a stop needs"):
        analysis.arm_stop(0, side, price)
    assert analysis.row(0)["stop_long"] == -math.inf


BAD: list[dict[str, float]] = [
    {"bid": math.nan},
    {"ask": math.nan},
    {"bid": 0.0},
    {"bid": -1.0},
    {"bid": math.inf, "ask": math.inf},
    {"bid": 1e13, "ask": 1e13},
    {"bid_size": math.nan},
    {"ask_size": -1.0},
    {"ask_size": math.inf},
    {"event_ns": 0},
    {"event_ns": -5},
    {"event_ns": 1 << 62},
    {"kind": 0},
    {"kind": 9},
]


@pytest.mark.parametrize("kind", [TickKind.QUOTE, TickKind.TRADE])
@pytest.mark.parametrize("fields", BAD)
def test_bad_value_reaches_nothing(
    make_analysis: Any, kind: TickKind, fields: dict[str, float]
) -> None:
    """A value that no market has is counted and leaves every other field of the row as it was."""
    tick = np.zeros(1, TICK)
    tick["event_ns"] = START_NS
    tick["kind"] = kind
    tick["bid"] = tick["ask"] = 100.0
    tick["ask_size"] = 1.0
    for name, value in fields.items():
        tick[name] = value
    analysis = make_analysis()
    before = analysis.state.tobytes()
    analysis.step(tick)
    row = analysis.row(0)
    assert row["bad"] == 1
    row["bad"] = 0
    assert analysis.state.tobytes() == before


@pytest.mark.parametrize(
    "fields",
    [{"ask": 101.0}, {"ask_size": 0.0}, {"bid_size": 1.0}],
    ids=["two prices", "no quantity", "two takers"],
)
def test_trade_that_is_none_is_bad(make_analysis: Any, fields: dict[str, float]) -> None:
    """A trade has one price and a quantity on exactly one side."""
    tick = np.zeros(1, TICK)
    tick["event_ns"] = START_NS
    tick["kind"] = TickKind.TRADE
    tick["bid"] = tick["ask"] = 100.0
    tick["ask_size"] = 1.0
    for name, value in fields.items():
        tick[name] = value
    analysis = make_analysis()
    analysis.step(tick)
    assert (analysis.counts()["bad"], analysis.counts()["trades"]) == (1, 0)


def test_crossed_quote_is_bad(tape: Any, make_analysis: Any) -> None:
    """A bid above the ask is no quote; a bid equal to it is."""
    analysis = make_analysis()
    analysis.step(tape.quote(0, 100.0, 100.0).quote(1, 101.0, 100.0).ticks())
    assert (analysis.counts()["quotes"], analysis.counts()["bad"]) == (1, 1)


def test_stray_symbol_is_counted(tape: Any, make_analysis: Any) -> None:
    """A tick of a symbol without a row is counted and touches no row."""
    analysis = make_analysis(symbols=2)
    before = analysis.state.tobytes()
    analysis.step(tape.trade(0, 1.0, symbol=2).quote(0, 1.0, 1.0, symbol=65535).ticks())
    assert analysis.counts()["strays"] == 2
    assert analysis.state.tobytes() == before


def test_full_signal_array_loses_and_counts_entries(tape: Any, make_analysis: Any) -> None:
    """Entries beyond the capacity are counted and nothing is written past the end."""
    for number, close in enumerate(UPWARD):
        for symbol in range(3):
            tape.trade(number * 1000, close, symbol=symbol)
    for symbol in range(3):
        tape.trade(9000, 16.0, symbol=symbol)
    analysis = make_analysis(symbols=3, signal_capacity=2, pivot_bars=2, atr_period=2)
    signals = analysis.step(tape.ticks())
    assert signals["symbol"].tolist() == [0, 1]
    assert analysis.counts()["signals_lost"] == 1


def test_full_signal_array_keeps_a_stop_armed(tape: Any, make_analysis: Any) -> None:
    """An exit that finds no room is not lost: its stop stays armed and the next tick writes it."""
    analysis = make_analysis(symbols=2, signal_capacity=1)
    analysis.arm_stop(0, 1, 99.0)
    analysis.arm_stop(1, 1, 99.0)
    ticks = tape.quote(0, 98.0, 98.1).quote(0, 98.0, 98.1, symbol=1).ticks()
    assert analysis.step(ticks)["symbol"].tolist() == [0]
    assert analysis.step(ticks)["symbol"].tolist() == [1]


ticks_of_two_symbols = st.lists(
    st.tuples(
        st.sampled_from([TickKind.QUOTE, TickKind.TRADE, TickKind.TRADE, TickKind.GAP]),
        st.integers(0, 1),
        st.integers(0, 900),
        st.integers(90, 110),
    ),
    max_size=150,
)


@settings(max_examples=100, deadline=None)
@given(ticks_of_two_symbols, st.lists(st.integers(1, 40), min_size=1))
def test_cutting_into_calls_changes_nothing(
    steps: list[tuple[TickKind, int, int, int]], cuts: list[int]
) -> None:
    """The same ticks in one call or in many leave the same bytes of state and the same signals."""
    ticks = np.zeros(len(steps), TICK)
    at_ms = 0
    for tick, (kind, symbol, pause_ms, price) in zip(ticks, steps, strict=True):
        at_ms += pause_ms
        tick["event_ns"] = START_NS + at_ms * 1_000_000
        tick["kind"], tick["symbol"] = kind, symbol
        tick["bid"] = tick["ask"] = price
        tick["ask_size"] = 1.0
    parameters = Parameters(interval_ms=1000, pivot_bars=1, atr_period=2)
    whole, cut = Analysis(2, parameters), Analysis(2, parameters)
    expected = whole.step(ticks).tobytes()
    got, position, turn = b"", 0, 0
    while position < len(ticks):
        size = cuts[turn % len(cuts)]
        got += cut.step(ticks[position : position + size]).tobytes()
        position, turn = position + size, turn + 1
    assert got == expected
    assert cut.state.tobytes() == whole.state.tobytes()
    assert whole.counts()["ticks"] == len(ticks)
