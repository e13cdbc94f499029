"""The work that `bench.mailbox` times for pools: candles lent, made anew, or no objects at all."""

from __future__ import annotations

import time

import attrs
import numpy as np

from aegis.kernel.pool import Pool
from bench.report import expect

now_ns = time.perf_counter_ns


@attrs.define
class Candle:
    """What the pool lends."""

    time: float = 0.0
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0


def pooled_candles(count: int) -> float:
    """Candles from a pool: filled, kept for a while, given back."""
    pool, kept = Pool(Candle), []
    begin = now_ns()
    for number in range(count):
        candle = pool.acquire()
        candle.time = candle.open = candle.high = candle.low = candle.close = float(number)
        candle.volume = 1.0
        kept.append(candle)
        if len(kept) == 5000:
            for each in kept:
                pool.release(each)
            kept.clear()
    spent = now_ns() - begin
    expect(pool.stats().acquired, count)
    return spent / count


def fresh_candles(count: int) -> float:
    """Candles made anew: kept for a while, dropped."""
    kept: list[Candle] = []
    dropped = 0
    begin = now_ns()
    for number in range(count):
        price = float(number)
        kept.append(Candle(price, price, price, price, price, 1.0))
        if len(kept) == 5000:
            dropped += 5000
            kept.clear()
    spent = now_ns() - begin
    expect(dropped + len(kept), count)
    return spent / count


def array_candles(count: int) -> float:
    """Candles as rows of an array, filled by columns: no object at all."""
    rows = np.zeros((5000, 6))
    filled = fill = 0
    begin = now_ns()
    while filled < count:
        fill = min(5000, count - filled)
        rows[:fill, :5] = np.arange(filled, filled + fill)[:, None]
        rows[:fill, 5] = 1.0
        filled += fill
    spent = now_ns() - begin
    expect(rows[fill - 1, 0], count - 1)
    return spent / count
