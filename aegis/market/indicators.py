"""Indicators, updated once a closed bar: TA-Lib's conventions, seeds and recurrences.

Bars are counted from 0. Each value is NaN until it is warm, where TA-Lib's is, and never afterwards.

| value | first at bar, with the default periods | what it is |
|---|---|---|
| `atr` | n (14) | Wilder's average of the true range, seeded with the mean of ranges 1..n: bar 0 has none |
| `rsi` | n (14) | `100 * G / (G + L)`, G and L Wilder's averages of gains and losses; 0 where nothing has moved |
| `sma`, `deviation` | n - 1 (19) | mean and population deviation of the last n closes: Bollinger's middle, and its bands' unit |
| `ema` | n - 1 (19) | seeded with the mean of the first n closes, weight 2 / (n + 1) |
| `macd`, `macd_signal` | slow + signal - 2 (33) | both EMAs start at bar slow - 1, the fast one from its own last n closes |
| `adx` | 2n - 1 (27) | Wilder's average of DX, seeded with the mean of n of them; a DX of no movement is left out |
| `slow_k`, `slow_d` | n + 3 (17) | stochastic (n, 3, 3): means of 3, and of 3 of these; 0 where the range is 0 |
| `volatility` | n (20) | realised: root of the mean squared log return of the last n bars, a bar, not annualised |
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.averages import MOMENTS, averaged, update_moments
from aegis.market.kernel import constant
from aegis.market.recent import CLOSE, DOWN, MASK, RETURN, UP

__all__ = ["INDICATORS", "VALUES", "update_indicators"]

VALUES: Final = (
    "atr",
    "rsi",
    "sma",
    "deviation",
    "ema",
    "macd",
    "macd_signal",
    "adx",
    "slow_k",
    "slow_d",
    "volatility",
)
"""The fields of INDICATORS that are for reading; the rest is what they are computed from."""

# Places among the seeds.
_RANGE: Final = constant(0)
_GAINS: Final = constant(1)
_LOSSES: Final = constant(2)
_CLOSE: Final = constant(3)
_FAST: Final = constant(4)
_SLOW: Final = constant(5)
_DIFFERENCE: Final = constant(6)
_DIRECTION: Final = constant(7)

INDICATORS: Final = np.dtype(
    [(name, "<f8") for name in VALUES]
    + [
        ("gains", "<f8"),  # averages, NaN until they are warm, as the two EMAs that follow
        ("losses", "<f8"),
        ("fast", "<f8"),
        ("slow", "<f8"),
        ("rises", "<f8"),  # smoothed sums of directional movement, TA-Lib's +DM and -DM
        ("falls", "<f8"),
        ("closes", MOMENTS),
        ("returns", MOMENTS),
        # The last two. They move up: a ring of three would be read, as a pair, before its newest is out of the store buffer.
        ("fast_k", "<f8"),
        ("fast_k_before", "<f8"),
        ("mean_k", "<f8"),
        ("mean_k_before", "<f8"),
        # What averages are while they are not warm: sums. Last, as a line of memory that no later bar looks at.
        ("seeds", "<f8", (8,)),
    ],
    align=True,
)


@inlined
def update_strength(
    indicators: Any, change: float, number: int, period: int, weight: float
) -> None:
    """Relative strength index (Wilder) from the change of the close; bar 0 has none."""
    seeds, index = indicators.seeds, number - 1
    gain, loss = max(change, 0.0), max(-change, 0.0)
    gains = averaged(indicators.gains, seeds, _GAINS, gain, index, period, weight)
    losses = averaged(indicators.losses, seeds, _LOSSES, loss, index, period, weight)
    indicators.gains = gains
    indicators.losses = losses
    if number >= period:
        movement = gains + losses
        indicators.rsi = 100.0 * gains / movement if movement > 0.0 else 0.0


@inlined
def update_macd(indicators: Any, close: float, number: int, parameters: Any) -> None:
    """Moving average convergence/divergence: the fast EMA less the slow one, and the EMA of that."""
    first = parameters.macd_slow - 1
    fast, slow, signal = parameters.macd_fast, parameters.macd_slow, parameters.macd_signal
    weights, seeds = parameters.weights, indicators.seeds
    indicators.slow = averaged(
        indicators.slow, seeds, _SLOW, close, number, slow, weights.macd_slow
    )
    late_start = number - (slow - fast)
    if late_start >= 0:
        indicators.fast = averaged(
            indicators.fast, seeds, _FAST, close, late_start, fast, weights.macd_fast
        )
    if number < first:
        return
    difference, index = indicators.fast - indicators.slow, number - first
    indicators.macd_signal = averaged(
        indicators.macd_signal, seeds, _DIFFERENCE, difference, index, signal, weights.macd_signal
    )
    if index >= signal - 1:
        indicators.macd = difference


@inlined
def update_direction(
    indicators: Any, rise: float, fall: float, number: int, period: int, weight: float
) -> None:
    """Average directional index (Wilder).

    The directional movements of TA-Lib are divided by the same sum of true ranges, which cancels in DX.

    Args:
        indicators: the INDICATORS.
        rise: this high less the one before.
        fall: the low before less this one.
        number: of the bar, at least 1.
        period: of the sums and of the average.
        weight: 1 / period.
    """
    if number >= period:
        indicators.rises -= indicators.rises * weight
        indicators.falls -= indicators.falls * weight
    # Which of them it is nobody can foresee, the processor neither: a choice of summands is no branch.
    indicators.falls += fall if (fall > 0.0) & (fall > rise) else 0.0
    indicators.rises += rise if (rise > 0.0) & (rise > fall) else 0.0
    if number < period:
        return
    movement = indicators.rises + indicators.falls
    seeding = number < 2 * period
    if movement > 0.0 or seeding:
        dx = 100.0 * abs(indicators.rises - indicators.falls) / movement if movement > 0.0 else 0.0
        seeds, index = indicators.seeds, number - period
        indicators.adx = averaged(indicators.adx, seeds, _DIRECTION, dx, index, period, weight)


@inlined
def update_stochastic(
    indicators: Any, window: Any, close: float, number: int, parameters: Any
) -> None:
    """Slow stochastic oscillator (n, 3, 3) from what is highest in its window, which includes this bar."""
    period = parameters.stochastic_period
    if number < period - 1:
        return
    top, mirrored = window
    place, width = close + mirrored, top + mirrored
    fast_k = 100.0 * place / width if width > 0.0 else 0.0
    mean_k = (indicators.fast_k_before + indicators.fast_k + fast_k) / 3.0
    if number >= period + 3:
        indicators.slow_k = mean_k
        indicators.slow_d = (indicators.mean_k_before + indicators.mean_k + mean_k) / 3.0
    indicators.fast_k_before = indicators.fast_k
    indicators.fast_k = fast_k
    indicators.mean_k_before = indicators.mean_k
    indicators.mean_k = mean_k


@inlined
def update_changes(indicators: Any, recent: Any, bar: Any, number: int, parameters: Any) -> None:
    """Everything that compares a bar with the one before it."""
    before = (number - 1) & MASK
    extremes, path = recent.extremes, recent.path
    close_before = path[before, CLOSE]
    above, below = max(bar.high, close_before), min(bar.low, close_before)
    weights, period = parameters.weights, parameters.atr_period
    seeds, index = indicators.seeds, number - 1
    indicators.atr = averaged(
        indicators.atr, seeds, _RANGE, above - below, index, period, weights.atr
    )
    change = bar.close - close_before
    update_strength(indicators, change, number, parameters.rsi_period, weights.rsi)
    rise = bar.high - extremes[before, UP]
    fall = -bar.low - extremes[before, DOWN]
    update_direction(indicators, rise, fall, number, parameters.adx_period, weights.adx)
    period = parameters.volatility_period
    mean, variance = update_moments(
        indicators.returns, path, RETURN, index, period, weights.volatility
    )
    indicators.volatility = math.sqrt(variance + mean * mean)


@inlined
def update_indicators(
    indicators: Any, recent: Any, bar: Any, number: int, window: Any, parameters: Any
) -> None:
    """Take the closed bar `number` (from 0), which `recent` holds, into every indicator.

    `window` is the stochastic's, as `search_windows` found it.
    """
    close = bar.close
    if number > 0:
        update_changes(indicators, recent, bar, number, parameters)
    weights, period = parameters.weights, parameters.band_period
    mean, variance = update_moments(
        indicators.closes, recent.path, CLOSE, number, period, weights.band
    )
    indicators.sma = mean
    indicators.deviation = math.sqrt(variance)
    seeds, period = indicators.seeds, parameters.ema_period
    indicators.ema = averaged(indicators.ema, seeds, _CLOSE, close, number, period, weights.ema)
    update_macd(indicators, close, number, parameters)
    update_stochastic(indicators, window, close, number, parameters)
