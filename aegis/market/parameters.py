"""What the analysis can be told. Plain attrs: reading a configuration does not wait for compiled code."""

from __future__ import annotations

import math
from typing import Final

import attrs

__all__ = ["MAX_PIVOT_BARS", "Parameters"]

MAX_PIVOT_BARS: Final = 31
"""The rings of recent highs and lows hold this many bars on either side of a pivot."""


@attrs.frozen
class Parameters:
    """What the analysis can be told. Refuses, with a `ValueError`, what makes no sense.

    Attributes:
        interval_ms: length of a bar in exchange time, from 100 ms.
        pivot_bars: bars to the right that confirm a pivot (L).
        atr_period: bars of the average true range (Wilder).
        stop_atr: distance of the proposed protective stop, in ATR.
    """

    interval_ms: int = attrs.field(default=60_000, validator=attrs.validators.ge(100))
    pivot_bars: int = attrs.field(
        default=5, validator=[attrs.validators.ge(1), attrs.validators.le(MAX_PIVOT_BARS)]
    )
    atr_period: int = attrs.field(default=14, validator=attrs.validators.ge(1))
    stop_atr: float = attrs.field(
        default=1.5, validator=[attrs.validators.gt(0.0), attrs.validators.lt(math.inf)]
    )
