"""Indicators: equal to their definitions computed the long way, and to TA-Lib where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aegis.market.indicators import VALUES
from aegis.market.parameters import MAX_WINDOW

Series = NDArray[np.float64]


@pytest.fixture(scope="session")
def indicators(trace: Any) -> Callable[..., dict[str, Series]]:
    """Every indicator at every bar."""

    def compute(bars: NDArray[np.void], **parameters: Any) -> dict[str, Series]:
        seen = trace(bars, "indicators", **parameters)
        return {name: seen[name] for name in VALUES}

    return compute


def agree(got: Series, expected: Series, scale: Any = 0.0, error: float = 1e-9) -> None:
    """The same NaN pattern, and values within `error` of the larger of themselves and `scale`."""
    assert np.isnan(got).tolist() == np.isnan(expected).tolist()
    room = error * np.maximum(np.abs(expected), scale)
    worst = np.nanargmax(np.abs(got - expected) - room) if not np.isnan(got).all() else 0
    assert not np.abs(got[worst] - expected[worst]) > np.broadcast_to(room, got.shape)[worst]


def seeded(values: list[float], count: int, weight: float) -> list[float]:
    """The mean of the first `count` values, then an exponential average; NaN before."""
    averages = [math.nan] * (count - 1)
    if len(values) >= count:
        averages.append(math.fsum(values[:count]) / count)
        for value in values[count:]:
            averages.append(averages[-1] * (1.0 - weight) + value * weight)
    return averages[: len(values)]


def shifted(values: list[float], by: int, count: int) -> Series:
    """The values, `by` bars later."""
    return np.array(([math.nan] * by + values)[:count])


def by_definition(bars: NDArray[np.void]) -> dict[str, Series]:
    """Every indicator with its default periods, from textbook formulas on whole windows."""
    high, low, close = (bars[name].tolist() for name in ("high", "low", "close"))
    count = len(bars)
    later = range(1, count)
    nothing = np.full(count, math.nan)
    ranges = [max(high[i], close[i - 1]) - min(low[i], close[i - 1]) for i in later]
    gains = seeded([max(close[i] - close[i - 1], 0.0) for i in later], 14, 1 / 14)
    losses = seeded([max(close[i - 1] - close[i], 0.0) for i in later], 14, 1 / 14)
    strength = [
        100 * gain / (gain + loss) if gain + loss else 0.0 if gain == gain else math.nan  # noqa: PLR0124  # NaN
        for gain, loss in zip(gains, losses, strict=True)
    ]
    windows = [close[i - 19 : i + 1] for i in range(19, count)]
    means = [math.fsum(window) / 20 for window in windows]
    variances = [
        math.fsum((value - mean) ** 2 for value in window) / 20
        for window, mean in zip(windows, means, strict=True)
    ]
    slow = seeded(close, 26, 2 / 27)[25:]
    fast = seeded(close[14:], 12, 2 / 13)[11:]
    macd = [a - b for a, b in zip(fast, slow, strict=True)]
    signal = seeded(macd, 9, 0.2)
    returns = [math.log(close[i] / close[i - 1]) for i in later]
    squares = [math.fsum(r * r for r in returns[i - 19 : i + 1]) / 20 for i in range(19, count - 1)]
    fast_k = []
    for i in range(13, count):
        top, bottom = max(high[i - 13 : i + 1]), min(low[i - 13 : i + 1])
        fast_k.append(100 * (close[i] - bottom) / (top - bottom) if top > bottom else 0.0)
    slow_k = [sum(fast_k[i - 2 : i + 1]) / 3 for i in range(2, len(fast_k))]
    slow_d = [sum(slow_k[i - 2 : i + 1]) / 3 for i in range(2, len(slow_k))]
    return {
        "atr": shifted(seeded(ranges, 14, 1 / 14), 1, count),
        "rsi": shifted(strength, 1, count),
        "sma": shifted(means, 19, count),
        "deviation": shifted([math.sqrt(variance) for variance in variances], 19, count),
        "ema": np.array(seeded(close, 20, 2 / 21)) if count else nothing,
        "macd": shifted(macd[8:], 33, count),
        "macd_signal": shifted(signal[8:], 33, count),
        "adx": directional(high, low, close),
        "slow_k": shifted(slow_k[2:], 17, count),
        "slow_d": shifted(slow_d, 17, count),
        "volatility": shifted([math.sqrt(square) for square in squares], 20, count),
    }


def directional(high: list[float], low: list[float], close: list[float]) -> Series:
    """Wilder's ADX(14) with the two directional indicators written out."""
    rises, falls, ranges, dx = 0.0, 0.0, 0.0, []
    for i in range(1, len(close)):
        rise, fall = high[i] - high[i - 1], low[i - 1] - low[i]
        keep = 13 / 14 if i >= 14 else 1.0
        rises = rises * keep + (rise if rise > max(fall, 0.0) else 0.0)
        falls = falls * keep + (fall if fall > max(rise, 0.0) else 0.0)
        ranges = ranges * keep + max(high[i], close[i - 1]) - min(low[i], close[i - 1])
        if i < 14:
            continue
        plus, minus = (rises / ranges, falls / ranges) if ranges else (0.0, 0.0)
        moved = plus + minus
        dx.append(100 * abs(plus - minus) / moved if moved else None)
    averages: list[float] = [math.nan] * 14
    for index, value in enumerate(dx):
        if index < 13:
            averages.append(math.nan)
        elif index == 13:
            averages.append(math.fsum(value or 0.0 for value in dx[:14]) / 14)
        else:
            averages.append(averages[-1] if value is None else (averages[-1] * 13 + value) / 14)
    return np.array(averages[: len(close)])


def scales(bars: NDArray[np.void]) -> dict[str, Any]:
    """What an error is relative to where the value itself may cancel to nothing."""
    price = np.maximum.accumulate(bars["high"])
    return {
        "macd": price,
        "macd_signal": price,
        "rsi": 100.0,
        "adx": 100.0,
        "slow_k": 100.0,
        "slow_d": 100.0,
    }


def test_indicators_equal_their_definitions(indicators: Any, walk_bars: Any) -> None:
    """On a random walk every indicator is what the textbook formula gives on the whole window, to 1e-9."""
    bars = walk_bars(5, 1000)
    got, expected = indicators(bars), by_definition(bars)
    for name in VALUES:
        agree(got[name], expected[name], scales(bars).get(name, 0.0))


def test_warm_up_is_as_stated(indicators: Any, walk_bars: Any) -> None:
    """The first bar of each value is the documented one, and no value is NaN after it."""
    first = {
        name: int(np.isnan(values).sum()) for name, values in indicators(walk_bars(1, 100)).items()
    }
    assert first == {
        "atr": 14,
        "rsi": 14,
        "sma": 19,
        "deviation": 19,
        "ema": 19,
        "macd": 33,
        "macd_signal": 33,
        "adx": 27,
        "slow_k": 17,
        "slow_d": 17,
        "volatility": 20,
    }


def test_constant_prices_have_no_width(indicators: Any, make_bars: Any) -> None:
    """In a market that does not move, nothing has width, direction or strength, exactly."""
    got = indicators(make_bars(np.full((80, 4), 123.456)))
    for name in ("atr", "rsi", "deviation", "adx", "slow_k", "slow_d", "volatility"):
        assert np.unique(got[name][34:]).tolist() == [0.0], name
    assert np.unique(got["sma"][34:]).tolist() == [123.456]


def test_deviation_survives_a_collapse(indicators: Any, make_bars: Any) -> None:
    """After prices fell from 1e6 to 1e-3 the deviation is that of the small prices, not what rounding left of the big ones."""
    rng = np.random.default_rng(0)
    close = np.concatenate((1e6 * rng.uniform(0.9, 1.1, 40), 1e-3 * rng.uniform(0.999, 1.001, 100)))
    got = indicators(make_bars(np.column_stack([close] * 4)))
    expected = by_definition(make_bars(np.column_stack([close] * 4)))
    agree(got["deviation"], expected["deviation"])
    agree(got["volatility"], expected["volatility"])


@st.composite
def markets(draw: st.DrawFn) -> list[tuple[float, float, float, float]]:
    """Prices around one or two levels, from 1e-6 to 1e6, moving by steps, or not at all."""
    rows: list[tuple[float, float, float, float]] = []
    for _ in range(draw(st.integers(1, 2))):
        level = draw(st.sampled_from([1e-6, 1e-3, 1.0, 46_000.0, 1e6]))
        tick = level * draw(st.sampled_from([0.0, 1e-4, 1e-2]))
        position = 0
        for _ in range(draw(st.integers(20, 60))):
            steps = draw(st.tuples(*[st.integers(-9, 9)] * 4))
            path = [level + tick * (position + step) for step in steps]
            position = max(-40, min(40, position + steps[-1]))
            rows.append((path[0], max(path), min(path), path[-1]))
    return rows


@settings(max_examples=80, deadline=None)
@given(rows=markets())
def test_indicators_equal_their_definitions_anywhere(
    indicators: Any, make_bars: Any, rows: list[tuple[float, ...]]
) -> None:
    """At any price level, over any collapse, every indicator is what its definition gives, to 1e-9."""
    bars = make_bars(rows)
    got, expected = indicators(bars), by_definition(bars)
    for name in VALUES:
        agree(got[name], expected[name], scales(bars).get(name, 0.0))


def by_ta_lib(bars: NDArray[np.void]) -> dict[str, Series]:
    """What TA-Lib itself says; skips the test where it is not installed."""
    talib = pytest.importorskip("talib")
    high, low, close = (np.ascontiguousarray(bars[name]) for name in ("high", "low", "close"))
    upper, middle, _ = talib.BBANDS(close, 20, 2.0, 2.0)
    macd, macd_signal, _ = talib.MACD(close, 12, 26, 9)
    slow_k, slow_d = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    return {
        "atr": talib.ATR(high, low, close, 14),
        "rsi": talib.RSI(close, 14),
        "sma": middle,
        "upper": upper,
        "ema": talib.EMA(close, 20),
        "macd": macd,
        "macd_signal": macd_signal,
        "adx": talib.ADX(high, low, close, 14),
        "slow_k": slow_k,
        "slow_d": slow_d,
    }


def agree_with_ta_lib(got: dict[str, Series], bars: NDArray[np.void]) -> None:
    """Its moving sums are not recounted, so after a collapse its averages are as wrong as the old prices were large."""
    got["upper"] = got["sma"] + 2.0 * got["deviation"]
    old_prices = dict.fromkeys(("sma", "upper"), np.maximum.accumulate(bars["high"]))
    for name, expected in by_ta_lib(bars).items():
        agree(got[name], expected, (scales(bars) | old_prices).get(name, 0.0))


def test_indicators_equal_ta_lib_on_candles(indicators: Any, eurusd: Any) -> None:
    """On 24,423 candles of EURUSD every indicator is TA-Lib's to 1e-9, NaN where it is NaN."""
    agree_with_ta_lib(indicators(eurusd), eurusd)


def test_indicators_equal_ta_lib_on_a_recording(
    indicators: Any, make_analysis: Any, recorded_ticks: NDArray[np.void]
) -> None:
    """On the last bars of one second of a recording, started afresh, every indicator is TA-Lib's to 1e-9."""
    analysis = make_analysis(interval_ms=1000)
    analysis.step(recorded_ticks)
    bars = analysis.bars(0)
    assert len(bars) > 200
    agree_with_ta_lib(indicators(bars, interval_ms=1000), bars)


@settings(max_examples=60, deadline=None)
@given(rows=markets())
def test_indicators_equal_ta_lib_anywhere(
    indicators: Any, make_bars: Any, rows: list[tuple[float, ...]]
) -> None:
    """At any price level, over any collapse, every indicator is TA-Lib's to 1e-9 of the prices it has seen."""
    bars = make_bars(rows)
    agree_with_ta_lib(indicators(bars), bars)


@pytest.mark.parametrize("period", [2, 20, 63])
def test_volatility_is_that_of_ta_lib_s_moments(
    indicators: Any, walk_bars: Any, eurusd: Any, period: int
) -> None:
    """Realised volatility has no function of TA-Lib's: it is the root of the mean square that its VAR and SMA of log returns make."""
    talib = pytest.importorskip("talib")
    for bars in (walk_bars(3, 500), eurusd[:3000]):
        got = indicators(bars, volatility_period=period)["volatility"]
        returns = np.diff(np.log(bars["close"]))
        # Scaled up: TA-Lib takes a variance below 1e-14 for none.
        variance, mean = talib.VAR(returns * 1e4, period), talib.SMA(returns * 1e4, period)
        expected = np.sqrt(variance + mean * mean) / 1e4
        agree(got, np.concatenate(([np.nan], expected)), 1e-6, error=1e-7)


def test_stochastic_is_that_of_its_window_whatever_its_length(
    indicators: Any, walk_bars: Any
) -> None:
    """Of each period that there is, shorter than the window of pivots and longer: it has not a bar too many, and none too few."""
    bars = walk_bars(4, 200)
    for period in range(1, MAX_WINDOW + 1):
        highs, lows = (sliding_window_view(bars[name], period) for name in ("high", "low"))
        lowest, width = lows.min(axis=1), highs.max(axis=1) - lows.min(axis=1)
        fast_k = 100.0 * (bars["close"][period - 1 :] - lowest) / width
        mean_k = sliding_window_view(fast_k, 3).mean(axis=1)
        got = indicators(bars, stochastic_period=period)["slow_k"]
        # The first mean is of no use to `slow_d`, and both begin together.
        agree(got, np.concatenate((np.full(period + 3, np.nan), mean_k[2:])), 100.0)


@pytest.mark.parametrize("period", [2, 5, 63])
def test_periods_are_taken(indicators: Any, walk_bars: Any, period: int) -> None:
    """Other periods than the default ones are TA-Lib's too."""
    talib = pytest.importorskip("talib")
    bars = walk_bars(2, 400)
    names = ("atr_period", "rsi_period", "band_period", "ema_period", "adx_period")
    got = indicators(bars, **dict.fromkeys((*names, "stochastic_period"), period))
    high, low, close = (np.ascontiguousarray(bars[name]) for name in ("high", "low", "close"))
    agree(got["atr"], talib.ATR(high, low, close, period))
    agree(got["rsi"], talib.RSI(close, period), 100.0)
    agree(got["sma"], talib.SMA(close, period))
    agree(got["ema"], talib.EMA(close, period))
    agree(got["adx"], talib.ADX(high, low, close, period), 100.0)
    agree(got["slow_k"], talib.STOCH(high, low, close, period, 3, 0, 3, 0)[0], 100.0)
