"""Bars from trades: what belongs to which bar, and what belongs to none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN, HISTORY
from aegis.market.parameters import BarKind, Parameters
from aegis.market.records import TICK, TickKind

START_NS = 1_700_006_400_000 * 1_000_000


def test_bar_holds_its_trades(tape: Any, make_analysis: Any) -> None:
    """A bar has the first, highest, lowest and last price of its interval, and its volumes."""
    tape.trade(0, 10.0, 2.0).trade(300, 12.0, -1.0).trade(600, 9.0, 4.0).trade(999, 11.0, -0.5)
    analysis = make_analysis()
    analysis.step(tape.trade(1000, 50.0).ticks())
    (bar,) = analysis.bars(0)
    assert bar["start_ns"] == START_NS
    assert bar["known_ns"] == START_NS + 1_000_000_000
    assert [bar[name] for name in ("open", "high", "low", "close")] == [10.0, 12.0, 9.0, 11.0]
    assert (bar["volume"], bar["signed_volume"], bar["trades"]) == (7.5, 4.5, 4)
    assert bar["value"] == 10.0 * 2 + 12.0 + 9.0 * 4 + 11.0 * 0.5
    assert bar["flags"] == FLAG_BROKEN  # nobody knows what was traded before the first tick


@pytest.mark.parametrize("interval_ms", [100, 1000, 60_000, 86_400_000])
def test_bar_starts_at_multiples_of_the_interval(make_analysis: Any, interval_ms: int) -> None:
    """Bars start where the exchange's own do, wherever the first trade falls, from 100 ms up to days."""
    ticks = np.zeros(2, TICK)
    ticks["kind"] = TickKind.TRADE
    ticks["bid"] = ticks["ask"] = ticks["ask_size"] = 1.0
    ticks["event_ns"] = [START_NS + 77_000_000, START_NS + (77 + 2 * interval_ms) * 1_000_000]
    analysis = make_analysis(interval_ms=interval_ms)
    analysis.step(ticks)
    (bar,) = analysis.bars(0)
    assert bar["start_ns"] % (interval_ms * 1_000_000) == 0
    assert 0 <= ticks["event_ns"][0] - bar["start_ns"] < interval_ms * 1_000_000


def test_quotes_make_no_bar(tape: Any, make_analysis: Any) -> None:
    """Only trades make bars: quotes neither open, move nor close one."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).quote(10, 5.0, 20.0).quote(5000, 5.0, 20.0).ticks())
    assert analysis.counts()["bars"] == 0
    assert analysis.row(0)["forming"]["high"] == 10.0


def test_late_trade_is_counted_and_dropped(tape: Any, make_analysis: Any) -> None:
    """A trade before the forming bar changes neither that bar nor the closed one."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).trade(1000, 11.0).trade(999, 99.0).trade(2000, 12.0).ticks())
    assert analysis.bars(0)["high"].tolist() == [10.0, 11.0]
    assert analysis.counts()["late"] == 1
    assert analysis.counts()["trades"] == 3


def test_disorder_inside_a_bar_keeps_the_newest_close(tape: Any, make_analysis: Any) -> None:
    """A trade out of order inside its bar moves high, low and volume, not the close."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).trade(500, 11.0).trade(400, 15.0).trade(1000, 1.0).ticks())
    (bar,) = analysis.bars(0)
    assert (bar["high"], bar["close"], bar["volume"]) == (15.0, 11.0, 3.0)


def test_empty_intervals_make_no_bar(tape: Any, make_analysis: Any) -> None:
    """An hour without a trade leaves no invented bars behind."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).trade(3_600_000, 11.0).trade(3_601_000, 12.0).ticks())
    starts = analysis.bars(0)["start_ns"] - START_NS
    assert starts.tolist() == [0, 3_600_000_000_000]


def test_gap_breaks_the_forming_bar(tape: Any, make_analysis: Any) -> None:
    """The bar that forms at a gap is broken, as the first one is, and the next one is whole again."""
    tape.trade(0, 10.0).trade(1000, 10.0).trade(2000, 10.0).gap(2100).trade(2200, 10.0)
    analysis = make_analysis()
    analysis.step(tape.trade(3000, 10.0).trade(4000, 10.0).ticks())
    assert analysis.bars(0)["flags"].tolist() == [FLAG_BROKEN, 0, FLAG_BROKEN, 0]
    assert (analysis.counts()["gaps"], analysis.counts()["broken_bars"]) == (1, 2)


def test_gap_between_bars_breaks_both(tape: Any, make_analysis: Any) -> None:
    """A gap that lasts into the next interval breaks the bar before it and the bar after it."""
    tape.trade(0, 10.0).trade(1000, 10.0).gap(1900).trade(2500, 10.0).trade(3000, 10.0)
    analysis = make_analysis()
    analysis.step(tape.trade(4000, 10.0).ticks())
    assert analysis.bars(0)["flags"].tolist() == [FLAG_BROKEN, FLAG_BROKEN, FLAG_BROKEN, 0]


def test_gap_of_one_symbol_is_its_own(tape: Any, make_analysis: Any) -> None:
    """A gap in one symbol's stream does not break another's bar."""
    for symbol in (0, 1):
        tape.trade(0, 10.0, symbol=symbol).trade(1000, 10.0, symbol=symbol)
    tape.gap(1100).trade(2000, 10.0).trade(2000, 10.0, symbol=1)
    analysis = make_analysis(symbols=2)
    analysis.step(tape.ticks())
    assert analysis.bars(0)["flags"].tolist() == [FLAG_BROKEN, FLAG_BROKEN]
    assert analysis.bars(1)["flags"].tolist() == [FLAG_BROKEN, 0]


def test_history_keeps_the_last_bars_in_order(make_analysis: Any) -> None:
    """More bars than the ring holds leave the newest ones, oldest first."""
    count = HISTORY + 40
    ticks = np.zeros(count + 1, TICK)
    ticks["kind"] = TickKind.TRADE
    ticks["event_ns"] = START_NS + np.arange(count + 1) * 1_000_000_000
    ticks["bid"] = ticks["ask"] = 1.0 + np.arange(count + 1)
    ticks["ask_size"] = 1.0
    analysis = make_analysis()
    analysis.step(ticks)
    assert analysis.bars(0)["close"].tolist() == (np.arange(40, count) + 1.0).tolist()
    assert analysis.bars(0, last=3)["close"].tolist() == [count - 2.0, count - 1.0, count]
    assert len(analysis.bars(0, last=0)) == 0


@pytest.mark.parametrize(
    ("kind", "size", "closes"),
    [
        (BarKind.TRADES, 3, [12.0, 15.0]),
        (BarKind.VOLUME, 4.0, [12.0, 15.0]),  # 1 + 1 + 2, and 2 + 1 + 3: a trade is not split
        (BarKind.VALUE, 50.0, [13.0]),  # 10 + 11 + 24 + 26
    ],
)
def test_bar_closes_with_the_trade_that_fills_it(
    tape: Any, make_analysis: Any, kind: BarKind, size: float, closes: list[float]
) -> None:
    """A bar of trades, volume or value ends with the trade that brings it to its size, and is known at that trade."""
    quantities = (1.0, 1.0, -2.0, 2.0, 1.0, -3.0)
    for index, quantity in enumerate(quantities):
        tape.trade(1000 * index, 10.0 + index, quantity)
    analysis = make_analysis(bar_kind=kind, bar_size=size)
    analysis.step(tape.ticks())
    bars = analysis.bars(0)
    assert bars["close"].tolist()[: len(closes)] == closes
    assert (bars["known_ns"] == START_NS + (bars["close"] - 10.0) * 1e9).all()
    assert bars["start_ns"][0] == START_NS
    assert (bars["start_ns"][1:] > bars["known_ns"][:-1]).all()


def test_trade_before_the_last_full_bar_is_late(tape: Any, make_analysis: Any) -> None:
    """Between bars that time does not close, a trade older than the last bar's end belongs to no bar."""
    analysis = make_analysis(bar_kind=BarKind.TRADES, bar_size=2)
    tape.trade(0, 10.0).trade(100, 11.0).trade(99, 5.0).trade(100, 12.0).trade(200, 13.0)
    analysis.step(tape.ticks())
    assert analysis.bars(0)["close"].tolist() == [11.0, 13.0]
    assert analysis.counts()["late"] == 1


trades = st.lists(
    st.tuples(
        st.integers(0, 5000), st.integers(1, 1000), st.integers(-50, 50).filter(lambda q: q != 0)
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(trades)
def test_bars_equal_grouping_by_interval(steps: list[tuple[int, int, int]]) -> None:
    """For any trades with times in any order, the closed bars are those of the rules applied one by one."""
    ticks = np.zeros(len(steps), TICK)
    ticks["kind"] = TickKind.TRADE
    for tick, (at_ms, price, quantity) in zip(ticks, steps, strict=True):
        tick["event_ns"] = START_NS + at_ms * 1_000_000
        tick["bid"] = tick["ask"] = price
        tick["ask_size" if quantity > 0 else "bid_size"] = abs(quantity)
    analysis = Analysis(1, Parameters(interval_ms=1000))
    analysis.step(ticks)

    groups: list[list[tuple[int, int, int]]] = []
    late = 0
    for at_ms, price, quantity in steps:
        if not groups or at_ms // 1000 > groups[-1][0][0] // 1000:
            groups.append([])
        elif at_ms // 1000 < groups[-1][0][0] // 1000:
            late += 1
            continue
        groups[-1].append((at_ms, price, quantity))
    expected = [
        (
            group[0][1],
            max(price for _, price, _ in group),
            min(price for _, price, _ in group),
            max(enumerate(group), key=lambda item: (item[1][0], item[0]))[1][1],
            sum(abs(quantity) for *_, quantity in group),
            sum(quantity for *_, quantity in group),
            len(group),
        )
        for group in groups[:-1]
    ]
    fields = ["open", "high", "low", "close", "volume", "signed_volume", "trades"]
    assert analysis.bars(0)[fields].tolist() == expected
    assert analysis.counts()["late"] == late


@pytest.mark.parametrize("interval_ms", [100, 1000, 60_000])
def test_bars_of_a_recording_are_its_klines(
    make_analysis: Any, recorded_ticks: NDArray[np.void], interval_ms: int
) -> None:
    """Of real trades, each closed bar is the kline of its interval: what all trades with a time in it make."""
    analysis = make_analysis(interval_ms=interval_ms)
    analysis.step(recorded_ticks)
    counts = analysis.counts()
    is_trade = (recorded_ticks["kind"] == TickKind.TRADE) & (recorded_ticks["bid"] > 0)
    trades = recorded_ticks[is_trade]
    assert (counts["late"], counts["trades"]) == (0, len(trades))
    quantity = trades["ask_size"] + trades["bid_size"]
    starts = trades["event_ns"] // (interval_ms * 1_000_000) * (interval_ms * 1_000_000)
    bars = analysis.bars(0)
    assert len(bars) == min(HISTORY, len(np.unique(starts)) - 1)
    for bar in bars:
        inside = np.flatnonzero(starts == bar["start_ns"])
        price = trades["bid"][inside]
        assert [bar[name] for name in ("open", "high", "low", "close")] == [
            price[0],
            price.max(),
            price.min(),
            price[-1],
        ]
        assert bar["trades"] == len(inside)
        assert np.isclose(bar["volume"], quantity[inside].sum(), rtol=1e-12)
        assert np.isclose(bar["value"], (price * quantity[inside]).sum(), rtol=1e-12)
