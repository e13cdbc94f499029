"""The analysis in Python: what it takes, refuses, and shows."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.errors import Broken
from aegis.market.analysis import Analysis
from aegis.market.bars import BAR
from aegis.market.parameters import BarKind, Parameters
from aegis.market.records import TICK


def test_bars_taken_whole_are_bars_made_of_trades(
    tape: Any, make_analysis: Any, walk_bars: Any
) -> None:
    """Candles taken as they are leave what the trades they are made of leave: indicators, structure and signals."""
    candles = walk_bars(9, 250)
    for number, candle in enumerate(candles):
        prices = tuple(float(candle[name]) for name in ("open", "high", "low", "close"))
        tape.bar(number, prices, 60_000)
    tape.trade(len(candles) * 60_000, float(candles["close"][-1]))
    by_trades = make_analysis(interval_ms=60_000)
    signals = by_trades.step(tape.ticks())
    assert (by_trades.bars(0)["close"] == candles["close"]).all()
    whole = Analysis(1, Parameters(interval_ms=60_000))
    same = whole.take_bars(np.zeros(len(candles), np.uint16), candles)
    assert len(same) == len(signals) > 3
    for name in ("price", "stop", "kind", "reason", "side", "bar_ns", "known_ns"):
        assert same[name].tolist() == signals[name].tolist()
    for name in ("indicators", "structure"):
        assert whole.row(0)[name].tobytes() == by_trades.row(0)[name].tobytes()


def test_symbols_do_not_touch_each_other(walk_bars: Any) -> None:
    """Two symbols in one analysis are what each is alone, to the byte."""
    first, second = walk_bars(1, 300), walk_bars(2, 300)
    both = Analysis(2)
    both.take_bars(
        np.tile(np.array([0, 1], np.uint16), 300), np.stack((first, second), axis=1).ravel()
    )
    for symbol, bars in enumerate((first, second)):
        alone = Analysis(1)
        alone.take_bars(np.zeros(300, np.uint16), bars)
        expected = alone.row(0)
        expected["symbol"] = symbol
        assert both.row(symbol).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"low": 0.0},
        {"low": np.nan},
        {"high": np.nan},
        {"high": 5.0},
        {"low": 15.0},
        {"high": 1e13},
        {"close": np.inf},
        {"volume": -1.0},
        {"volume": np.nan},
        {"start_ns": 0},
        {"start_ns": 1 << 62},
    ],
)
def test_impossible_bar_is_refused(make_bars: Any, fields: dict[str, float]) -> None:
    """A bar that no market has is counted, and changes nothing."""
    bars = make_bars([(10.0, 12.0, 9.0, 11.0)])
    for name, value in fields.items():
        bars[name] = value
    analysis = Analysis(1)
    before = analysis.state.tobytes()
    analysis.take_bars(np.zeros(1, np.uint16), bars)
    assert analysis.counts()["bars_refused"] == 1
    assert analysis.state.tobytes() == before


def test_bar_out_of_order_is_refused(walk_bars: Any) -> None:
    """A bar before one that is already taken is counted and dropped, and so is one of an unknown symbol."""
    bars = walk_bars(1, 10)
    analysis = Analysis(1)
    analysis.take_bars(np.zeros(10, np.uint16), bars)
    analysis.take_bars(np.array([0, 7], np.uint16), bars[3:5])
    counts = analysis.counts()
    assert (counts["bars"], counts["bars_refused"], counts["strays"]) == (10, 1, 1)


def test_bars_of_one_analysis_are_taken_by_another(
    make_analysis: Any, recorded_ticks: NDArray[np.void]
) -> None:
    """Closed bars can be handed on: all are taken, and trades of their time are late after that."""
    source, sink = make_analysis(), make_analysis()
    source.step(recorded_ticks)
    bars = source.bars(0)
    sink.take_bars(np.zeros(len(bars), np.uint16), bars)
    assert sink.bars(0).tolist() == bars.tolist()
    sink.step(recorded_ticks)
    assert sink.counts()["late"] > 0
    assert sink.bars(0)["start_ns"].tolist() == source.bars(0)["start_ns"].tolist()


def test_bars_do_not_overtake_the_forming_bar(
    tape: Any, make_analysis: Any, make_bars: Any
) -> None:
    """Candles come before ticks or in place of them: while a bar forms they are refused."""
    analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).ticks())
    analysis.take_bars(np.zeros(1, np.uint16), make_bars([(10.0, 12.0, 9.0, 11.0)]))
    assert analysis.counts()["bars_refused"] == 1


@pytest.mark.parametrize(
    "ticks",
    [np.zeros(4, TICK)[::2], np.zeros(4, BAR), np.zeros(4)],
    ids=["strided", "bars", "floats"],
)
def test_wrong_records_are_refused(ticks: Any) -> None:
    """Records of another layout would be read as nonsense, so they stop the program."""
    with pytest.raises(Broken, match="contiguous TICK records"):
        Analysis(1).step(ticks)


def test_readonly_ticks_are_taken(tape: Any, make_analysis: Any) -> None:
    """A read-only view, as a shared ring gives it, is as good as any."""
    ticks = tape.trade(0, 10.0).ticks()
    ticks.flags.writeable = False
    analysis = make_analysis()
    analysis.step(ticks)
    assert analysis.counts()["trades"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_ms": 99},
        {"pivot_bars": 0},
        {"pivot_bars": 32},
        {"stop_atr": 0.0},
        {"stop_atr": float("nan")},
        {"bar_size": float("inf")},
        {"bar_kind": 9},
        {"macd_slow": 12},
        {"band_period": 64},
        {"kept": 65},
    ],
)
def test_senseless_parameter_is_refused(wrong: dict[str, Any]) -> None:
    """A parameter outside its range is a ValueError when it is given, not nonsense later."""
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        Parameters(**wrong)


def test_parameters_reach_the_step() -> None:
    """Every parameter is a field of the record that the compiled step reads, with its value."""
    parameters = Parameters(interval_ms=250, bar_kind=BarKind.VALUE, block_by_close=True)
    record = Analysis(1, parameters).parameter_record[0]
    for field in attrs.fields(Parameters):
        assert record[field.name] == getattr(parameters, field.name), field.name
