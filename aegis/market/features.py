"""Features: one named, versioned vector a bar, standardised by the past only.

Each raw feature becomes `(raw - mean) / deviation`, clipped to +-4, with the exponentially weighted mean and variance of what was
known of it *before* this bar; only then is it taken into them. A feature that is not known (no zone on that side, no volume,
not warm) is 0 and moves nothing, and so is one that has been known fewer than WARMUP times: these only teach it.

The vector is float32: it is what a model reads, and twice as many fit into one instruction. What it is computed from is float64.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.market.recent import CLOSE, DOWN, MASK, UP

__all__ = ["FEATURES", "NAMED", "NAMES", "VERSION", "WARMUP", "update_features"]

VERSION: Final = 1
"""Raised whenever a name, a definition or the order changes: a model is trained for one version."""

NAMES: Final = (
    # Distances are in ATR.
    "change",  # of the close
    "body",
    "upper_wick",
    "lower_wick",
    "relative_atr",  # over the close
    "volatility",  # realised, over the relative ATR
    "rsi",
    "adx",
    "slow_k",
    "k_less_d",
    "macd",
    "macd_histogram",
    "from_ema",
    "from_vwap",
    "band_place",  # deviations from Bollinger's middle
    "band_width",
    "volume",
    "taker_share",  # signed volume over volume
    "order_flow",
    "queue",
    "trend",
    "broke",  # +-1, +-2 for a change of character
    "confirmed",
    "opened",
    "swept",
    "place",
    "session_place",  # of the close in the previous session's range
    "block_below",  # distance to the nearest standing zone
    "block_above",
    "imbalance_below",
    "imbalance_above",
    "blocks",  # bullish less bearish ones standing
)

_COUNT: Final = len(NAMES)
_VECTOR: Final = np.dtype(("<f4", (_COUNT,)))
NAMED: Final = np.dtype([(name, "<f4") for name in NAMES])
"""A vector, by name."""

WARMUP: Final = 32

FEATURES: Final = np.dtype(
    {
        # `named` and `raw` are the same memory: written by name, standardised by position.
        "names": ["values", "named", "raw", "seen", "mean", "variance"],
        "formats": [_VECTOR, NAMED, _VECTOR, _VECTOR, _VECTOR, _VECTOR],
        "offsets": [_VECTOR.itemsize * place for place in (0, 1, 1, 2, 3, 4)],
    },
    align=True,
)

_LIMIT: Final = np.float32(4.0)
_ZERO: Final = np.float32(0.0)
_ONE: Final = np.float32(1.0)
_INFINITE: Final = np.float32(np.inf)
_WARMUP: Final = np.float32(WARMUP)


@inlined
def write_bar_features(raw: Any, row: Any, bar: Any, unit: float) -> None:
    """Write what the bar itself says; `unit` is 1 / ATR."""
    before = row.recent.path[(row.bars - 2) & MASK, CLOSE]  # row.bars counts this bar already
    raw.change = (bar.close - before) * unit
    raw.body = (bar.close - bar.open) * unit
    raw.upper_wick = (bar.high - max(bar.open, bar.close)) * unit
    raw.lower_wick = (min(bar.open, bar.close) - bar.low) * unit
    raw.volume = bar.volume
    raw.taker_share = bar.signed_volume / bar.volume
    raw.order_flow = row.flow.order_flow
    raw.queue = row.flow.queue


@inlined
def write_indicator_features(raw: Any, row: Any, close: float, unit: float) -> None:
    """Write what the indicators say."""
    indicators = row.indicators
    raw.relative_atr = indicators.atr / close
    raw.volatility = indicators.volatility * close * unit
    raw.rsi = indicators.rsi
    raw.adx = indicators.adx
    raw.slow_k = indicators.slow_k
    raw.k_less_d = indicators.slow_k - indicators.slow_d
    raw.macd = indicators.macd * unit
    raw.macd_histogram = (indicators.macd - indicators.macd_signal) * unit
    raw.from_ema = (close - indicators.ema) * unit
    raw.from_vwap = (close - row.session.vwap) * unit
    raw.band_place = (close - indicators.sma) / indicators.deviation
    raw.band_width = indicators.deviation * unit


@inlined
def write_structure_features(raw: Any, row: Any, close: float, unit: float) -> None:
    """Write what the structure says. The nearest edge of a side without a zone is infinitely far: not known."""
    structure, session = row.structure, row.session
    raw.trend = structure.trend
    raw.broke = structure.broke * (1 + structure.changed)
    raw.confirmed = structure.confirmed
    raw.opened = structure.opened
    raw.swept = structure.swept
    raw.place = structure.place
    width = session.previous_high - session.previous_low
    raw.session_place = (close - session.previous_low) / width
    raw.block_below = (close - structure.blocks[UP].nearest) * unit
    raw.block_above = (-structure.blocks[DOWN].nearest - close) * unit
    raw.imbalance_below = (close - structure.imbalances[UP].nearest) * unit
    raw.imbalance_above = (-structure.imbalances[DOWN].nearest - close) * unit
    raw.blocks = structure.blocks[UP].standing - structure.blocks[DOWN].standing


@inlined
def standardise(features: Any, weight: float) -> None:
    """Turn the raw vector into the standardised one, then take it into the mean and variance."""
    last_share = np.float32(weight)
    for index in range(_COUNT):
        seen, variance = features.seen[index], features.variance[index]
        offset = features.raw[index] - features.mean[index]
        known = abs(offset) < _INFINITE  # false for NaN as well
        offset = offset if known else _ZERO
        scaled = offset / np.sqrt(variance) if variance > _ZERO and seen >= _WARMUP else _ZERO
        features.values[index] = min(max(scaled, -_LIMIT), _LIMIT)
        # A plain average until the weight of the newest value would fall below its final one.
        share = max(_ONE / (seen + _ONE), last_share) if known else _ZERO
        features.mean[index] += share * offset
        features.variance[index] = (variance + share * offset * offset) * (_ONE - share)
        features.seen[index] = seen + _ONE if known else seen


@inlined
def update_features(row: Any, bar: Any, parameters: Any) -> None:
    """Write the vector of the closed bar that has just been taken into everything else in the row."""
    features = row.features
    unit = 1.0 / row.indicators.atr
    write_bar_features(features.named, row, bar, unit)
    write_indicator_features(features.named, row, bar.close, unit)
    write_structure_features(features.named, row, bar.close, unit)
    standardise(features, parameters.weights.features)
