"""Klines made from the market's own trades, in whole ticks and steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from aegis.sim.contract import Contract

__all__ = ["INTERVALS_MS", "Candle", "Candles"]

_MINUTE_MS = 60_000
_KEPT = 10_080  # minutes: one week
_MONDAY_MS = 4 * 86_400_000  # 1970-01-05, the first Monday of the epoch

INTERVALS_MS = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "2h": 120 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "6h": 360 * _MINUTE_MS,
    "8h": 480 * _MINUTE_MS,
    "12h": 720 * _MINUTE_MS,
    "1d": 1_440 * _MINUTE_MS,
    "1w": 10_080 * _MINUTE_MS,
}


@attrs.define
class Candle:
    """One candle: prices in ticks, volumes in steps, quote volumes in ticks times steps."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    quote: int = 0
    trades: int = 0
    bought: int = 0  # by takers
    bought_quote: int = 0

    def extend(self, later: Candle) -> None:
        """Take a later candle into this one."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.quote += later.quote
        self.trades += later.trades
        self.bought += later.bought
        self.bought_quote += later.bought_quote


class Candles:
    """The minutes of one symbol since the venue opened, a week of them at most."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._minutes: deque[Candle] = deque(maxlen=_KEPT)

    def traded(self, time_ms: int, ticks: int, steps: int, *, taker_buys: bool) -> None:
        """Take one trade in; a minute without a trade has no candle."""
        open_ms = time_ms - time_ms % _MINUTE_MS
        if not self._minutes or self._minutes[-1].open_ms < open_ms:
            self._minutes.append(Candle(open_ms, ticks, ticks, ticks, ticks))
        candle = self._minutes[-1]
        candle.high = max(candle.high, ticks)
        candle.low = min(candle.low, ticks)
        candle.close = ticks
        candle.volume += steps
        candle.quote += ticks * steps
        candle.trades += 1
        if taker_buys:
            candle.bought += steps
            candle.bought_quote += ticks * steps

    def at(self, interval: str) -> list[Candle]:
        """Return all candles of an interval, oldest first, the running one last."""
        width = INTERVALS_MS[interval]
        offset = _MONDAY_MS if interval == "1w" else 0
        return list(_merged(self._minutes, width, offset))


def _merged(minutes: Iterable[Candle], width_ms: int, offset_ms: int) -> Iterable[Candle]:
    current: Candle | None = None
    for minute in minutes:
        open_ms = minute.open_ms - (minute.open_ms - offset_ms) % width_ms
        if current is None or current.open_ms != open_ms:
            if current is not None:
                yield current
            current = attrs.evolve(minute, open_ms=open_ms)
        else:
            current.extend(minute)
    if current is not None:
        yield current
