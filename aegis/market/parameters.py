"""What the analysis can be told. Plain attrs: reading a configuration does not wait for compiled code."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import attrs
from attrs.validators import ge, gt, le

__all__ = [
    "MAX_ATR",
    "MAX_BARS",
    "MAX_INTERVAL_MS",
    "MAX_KEPT",
    "MAX_PIVOT_BARS",
    "MAX_WINDOW",
    "BarKind",
    "Parameters",
    "fields_of",
]

MAX_WINDOW: Final = 64
"""The rings of recent prices hold this many bars."""

MAX_PIVOT_BARS: Final = MAX_WINDOW // 2 - 1
"""So many bars on either side of a pivot fit into them."""

MAX_KEPT: Final = 64
"""There is room for so many zones, or pools, of a side."""

MAX_INTERVAL_MS: Final = 365 * 86_400_000
"""A year: of longer bars, or sessions, a run sees no end."""

MAX_BARS: Final = 1_000_000
"""An average of more bars would not move in float32, as the features are kept."""

MAX_ATR: Final = 1000.0
"""A stop, or a pool, that is so many ATR wide is none any more."""

_MAX_SIZE: Final = 1e15


class BarKind(IntEnum):
    """What closes a bar."""

    TIME = 0
    """The first trade at or after its end."""
    TRADES = 1
    """Its `bar_size`-th trade."""
    VOLUME = 2
    """The trade that brings its volume to `bar_size` base units."""
    VALUE = 3
    """The trade that brings its value to `bar_size` quote units ("dollar bars")."""


def _between(least: int, most: int) -> Any:
    return [ge(least), le(most)]


def _positive(most: float) -> Any:
    return [gt(0.0), le(most)]


@attrs.frozen
class Parameters:
    """What the analysis can be told. Refuses, with a `ValueError`, what makes no sense.

    Attributes:
        interval_ms: length of a bar in exchange time, from 100 ms to a year; of a TIME bar only.
        pivot_bars: bars to the right that confirm a pivot (L).
        atr_period: bars of the average true range (Wilder).
        stop_atr: distance of the protective stop that the shipped `breakout` proposes, in ATR, where nothing else is
            said of it.
        bar_kind: what closes a bar.
        bar_size: of a bar that time does not close.
        session_ms: length of the UTC period that VWAP and the previous high and low belong to.
        rsi_period: bars of the relative strength index (Wilder).
        band_period: bars of the simple mean and deviation (Bollinger).
        ema_period: bars of the exponential average.
        macd_fast: bars of the fast exponential average.
        macd_slow: bars of the slow one.
        macd_signal: bars of the signal line.
        adx_period: bars of the average directional index (Wilder).
        stochastic_period: bars of the stochastic's range.
        volatility_period: returns of the realised volatility.
        pool_atr: how near a pivot must be to join a liquidity pool, in ATR.
        block_by_close: an order block fails by the body of a bar, not by its wick.
        kept: order blocks, imbalances and pools of a side that are followed; the oldest is dropped, and counted.
        feature_bars: span of the moving mean and variance that standardise the features, as in an EMA.
    """

    interval_ms: int = attrs.field(default=60_000, validator=_between(100, MAX_INTERVAL_MS))
    pivot_bars: int = attrs.field(default=5, validator=_between(1, MAX_PIVOT_BARS))
    atr_period: int = attrs.field(default=14, validator=_between(1, MAX_BARS))
    stop_atr: float = attrs.field(default=1.5, validator=_positive(MAX_ATR))
    bar_kind: BarKind = attrs.field(default=BarKind.TIME, converter=BarKind)
    bar_size: float = attrs.field(default=1000.0, validator=_positive(_MAX_SIZE))
    session_ms: int = attrs.field(default=86_400_000, validator=_between(1000, MAX_INTERVAL_MS))
    rsi_period: int = attrs.field(default=14, validator=_between(2, MAX_BARS))
    band_period: int = attrs.field(default=20, validator=_between(2, MAX_WINDOW - 1))
    ema_period: int = attrs.field(default=20, validator=_between(2, MAX_BARS))
    macd_fast: int = attrs.field(default=12, validator=_between(2, MAX_BARS))
    macd_slow: int = attrs.field(default=26, validator=le(MAX_BARS))
    macd_signal: int = attrs.field(default=9, validator=_between(1, MAX_BARS))
    adx_period: int = attrs.field(default=14, validator=_between(2, MAX_BARS))
    stochastic_period: int = attrs.field(default=14, validator=_between(1, MAX_WINDOW))
    volatility_period: int = attrs.field(default=20, validator=_between(2, MAX_WINDOW - 1))
    pool_atr: float = attrs.field(default=0.1, validator=_positive(MAX_ATR))
    block_by_close: bool = False
    kept: int = attrs.field(default=16, validator=_between(1, MAX_KEPT))
    feature_bars: int = attrs.field(default=500, validator=_between(1, MAX_BARS))

    @macd_slow.validator
    def _slower(self, _: object, slow: int) -> None:
        if slow <= self.macd_fast:
            message = f"macd_slow must be above macd_fast ({self.macd_fast}), not {slow}"
            raise ValueError(message)


def fields_of(kind: type) -> list[tuple[str, str]]:
    """The numbers of an attrs class as fields of a record that compiled code reads: int64, or float64 where the default is a float."""
    return [
        (field.name, "<f8" if isinstance(field.default, float) else "<i8")
        for field in attrs.fields(kind)
    ]
