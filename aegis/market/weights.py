"""Weights: what the averages multiply by instead of dividing by their periods, worked out once.

A division takes as long as five multiplications, and a closed bar has some twenty such averages to move.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from aegis.market.parameters import Parameters

__all__ = ["WEIGHTS", "weights_of"]


def _exponential(bars: int) -> float:
    return 2.0 / (bars + 1)


def _share(bars: int) -> float:
    return 1.0 / bars


_ORIGINS: Final = {
    "ema": ("ema_period", _exponential),
    "macd_fast": ("macd_fast", _exponential),
    "macd_slow": ("macd_slow", _exponential),
    "macd_signal": ("macd_signal", _exponential),
    "features": ("feature_bars", _exponential),
    "atr": ("atr_period", _share),  # Wilder's averages
    "rsi": ("rsi_period", _share),
    "adx": ("adx_period", _share),
    "band": ("band_period", _share),  # one of a window's values
    "volatility": ("volatility_period", _share),
}

WEIGHTS: Final = np.dtype([(name, "<f8") for name in _ORIGINS])
"""The weight of the newest value in each average."""


def weights_of(parameters: Parameters) -> tuple[float, ...]:
    """The values of a WEIGHTS record."""
    return tuple(weigh(getattr(parameters, name)) for name, weigh in _ORIGINS.values())
