"""The exchange's own candles (protocol §9.1, `GET /fapi/v1/klines`), as the bars that the analysis keeps."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from aegis.market.bars import BAR

__all__ = ["KLINES_MAX", "interval_name", "kline_bars", "kline_weight"]

KLINES_MAX: Final = 1500
"""The most that one request may ask for."""
_NS_PER_MS: Final = 1_000_000
_MINUTE_MS: Final = 60_000

_NAMES: Final = MappingProxyType(
    {
        _MINUTE_MS * minutes: name
        for name, minutes in {
            "1m": 1,
            "3m": 3,
            "5m": 5,
            "15m": 15,
            "30m": 30,
            "1h": 60,
            "2h": 120,
            "4h": 240,
            "6h": 360,
            "8h": 480,
            "12h": 720,
            "1d": 1440,
        }.items()
    }
)
"""Without weeks and months: they do not begin at multiples of their length since the epoch, as our bars do."""


class _Kline(msgspec.Struct, array_like=True):
    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    close_ms: int
    value: float
    trades: int
    bought: float


_rows: Final = msgspec.json.Decoder(list[_Kline], strict=False).decode  # numbers come as strings


def interval_name(interval_ms: int) -> str | None:
    """What the exchange calls candles of this length; None where it has none."""
    return _NAMES.get(interval_ms)


def kline_weight(limit: int) -> int:
    """What a request for so many candles costs of the weight a minute."""
    return next((weight for below, weight in ((100, 1), (500, 2), (1001, 5)) if limit < below), 10)


def kline_bars(body: bytes, *, closed_by_ms: int) -> NDArray[np.void]:
    """Read an answer.

    Args:
        body: rows, oldest first.
        closed_by_ms: exchange time; a candle that still runs then is left out.

    Returns:
        BAR records, known at their end. An interval in which nothing traded makes none, as everywhere.

    Raises:
        msgspec.DecodeError: it is no list of candles.
    """
    rows = [row for row in _rows(body) if row.close_ms < closed_by_ms and row.trades > 0]
    bars = np.zeros(len(rows), BAR)
    for bar, row in zip(bars, rows, strict=True):
        bar["start_ns"] = row.open_ms * _NS_PER_MS
        bar["known_ns"] = (row.close_ms + 1) * _NS_PER_MS
        for name in ("open", "high", "low", "close", "volume", "value", "trades"):
            bar[name] = getattr(row, name)
        bar["signed_volume"] = 2.0 * row.bought - row.volume
    return bars
