"""Klines made from the market's own trades, in whole ticks and steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import attrs

from aegis.sim.contract import Contract

__all__ = ["HOUR_MS", "INTERVALS_MS", "MINUTE_MS", "Candle", "Candles", "Past"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
_KEPT = 10_080  # minutes: one week
_MONDAY_MS = 4 * 86_400_000  # 1970-01-05, the first Monday of the epoch

INTERVALS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1_440 * MINUTE_MS,
    "1w": 10_080 * MINUTE_MS,
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


@attrs.frozen
class Past:
    """What was before the venue opened: hours, and then minutes, each without a hole."""

    hours: Sequence[Candle] = ()
    minutes: Sequence[Candle] = ()


class Candles:
    """The minutes of one symbol since the venue opened, a week of them at most, and what its past was."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._minutes: deque[Candle] = deque(maxlen=_KEPT)
        self._recall: Callable[[], Past] = Past
        self._past: Past | None = None

    def begin_after(self, recall: Callable[[], Past]) -> None:
        """Have a past. It is made when it is first asked for: most symbols of most venues never are."""
        self._recall, self._past = recall, None

    def traded(self, time_ms: int, ticks: int, steps: int, *, taker_buys: bool) -> None:
        """Take one trade in; a minute without a trade has no candle."""
        open_ms = time_ms - time_ms % MINUTE_MS
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
        past = self._past = self._past or self._recall()
        hours = past.hours if width >= HOUR_MS else ()
        return list(_merged(chain(hours, past.minutes, self._minutes), width, offset))


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
