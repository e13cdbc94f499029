"""The work that `bench.brain` times: the step's side and its peers', each counted and checked."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import BAR
from aegis.market.closings import CLOSING
from aegis.market.desk import Desk
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.records import TICK, TickKind
from aegis.market.rules import Rule
from aegis.market.strategy import NoParameters, Proposal, Strategy
from aegis.market.view import View
from bench.report import expect

SYMBOLS = 300
WARM = 320  # bars a symbol, after which every ring has gone round
MINUTE_NS = 60_000_000_000
START_NS = 1_700_006_400_000_000_000
now_ns = time.perf_counter_ns


@attrs.frozen
class Candles:
    """Random walks: `bars` has a row a minute and a column a symbol."""

    bars: NDArray[np.void]

    @property
    def one(self) -> dict[str, NDArray[np.float64]]:
        """The first symbol's, as the peers take them: an array a field."""
        names = ("open", "high", "low", "close", "volume")
        return {name: np.ascontiguousarray(self.bars[name][:, 0]) for name in names}


@cache
def candles(minutes: int, symbols: int = SYMBOLS) -> Candles:
    """The same candles for everybody."""
    rng = np.random.default_rng(7)
    bars = np.zeros((minutes, symbols), BAR)
    level = np.full(symbols, 100.0)
    for row in bars:
        path = level[:, None] * np.exp(np.cumsum(rng.normal(0, 5e-4, (symbols, 8)), axis=1))
        row["open"], row["close"] = path[:, 0], path[:, -1]
        row["high"], row["low"] = path.max(1), path.min(1)
        level = path[:, -1]
    bars["volume"] = rng.exponential(1.0, bars.shape)
    bars["signed_volume"] = bars["volume"] * rng.uniform(-1, 1, bars.shape)
    bars["value"] = bars["volume"] * bars["close"]
    bars["start_ns"] = (START_NS + np.arange(minutes) * MINUTE_NS)[:, None]
    bars["known_ns"] = bars["start_ns"] + MINUTE_NS
    return Candles(bars)


def _warmed(
    bars: NDArray[np.void], rules: Sequence[Rule] | None = None
) -> tuple[Analysis, NDArray[np.uint16]]:
    analysis = Analysis(bars.shape[1], rules=rules)
    symbols = np.arange(bars.shape[1], dtype=np.uint16)
    analysis.take_bars(np.tile(symbols, WARM), bars[:WARM].ravel())
    return analysis, symbols


def step_candles(
    minutes: int, symbols: int = SYMBOLS, rules: Sequence[Rule] | None = None
) -> float:
    """All indicators, structure, features and rules of all symbols in turn, in one call: ns a candle."""
    bars = candles(minutes, symbols).bars
    analysis, names = _warmed(bars, rules)
    rest, of = bars[WARM:].ravel(), np.tile(names, minutes - WARM)
    begin = now_ns()
    analysis.take_bars(of, rest)
    spent = now_ns() - begin
    expect(analysis.counts()["bars"], bars.size)
    return spent / rest.size


class Idle(Strategy[NoParameters]):
    """Looks at nothing and wants nothing: what is timed is all that is done around it."""

    def on_bar(self, view: View) -> Proposal | None:
        """Want nothing."""
        return None


def desk_bars(minutes: int) -> float:
    """A closed bar taken into a desk's own analysis and shown to a strategy in Python: us a bar."""
    bars = candles(minutes).bars
    closings = np.zeros(bars.shape, CLOSING)
    closings["bar"], closings["number"] = bars, np.arange(minutes)[:, None]
    symbols = tuple(str(number) for number in range(SYMBOLS))
    desk, asked = Desk(Plan("idle", Idle, NoParameters(), symbols, Parameters()), Parameters()), 0
    begin = now_ns()
    for row in closings:
        for symbol, closing in zip(symbols, row, strict=True):
            for view in desk.views(symbol, closing):
                desk.ask(view)
                asked += 1
    spent = now_ns() - begin
    expect(asked, bars.size)
    return spent / bars.size / 1e3


def step_close_p99(minutes: int) -> float:
    """The close of a minute for all symbols in one call from Python: the 99th percentile, us."""
    return _p99(_close_times(minutes)) / 1e3


def hash_p99(minutes: int) -> float:
    """Of the same number of hashes that take as long as a close: the 99th percentile, us.

    A hash waits for no memory, foresees every branch and runs none of our code. What it takes beyond its own median is the
    machine's: its timer, and whoever else has the core.
    """
    close_ns = statistics.median(_close_times(minutes))
    trial = bytes(1 << 16)
    trial_ns = statistics.median(_hash_times(trial, 100))
    data = bytes(round(len(trial) * close_ns / trial_ns))
    return _p99(_hash_times(data, minutes - WARM)) / 1e3


def _close_times(minutes: int) -> list[int]:
    bars = candles(minutes).bars
    analysis, names = _warmed(bars)
    times = []
    for row in bars[WARM:]:
        begin = now_ns()
        analysis.take_bars(names, row)
        times.append(now_ns() - begin)
    expect(analysis.counts()["bars"], bars.size)
    return times


def _hash_times(data: bytes, count: int) -> list[int]:
    times = []
    for _ in range(count):
        begin = now_ns()
        hashlib.sha256(data)
        times.append(now_ns() - begin)
    return times


def _p99(times: list[int]) -> float:
    return sorted(times)[len(times) * 99 // 100]


@cache
def _ticks(count: int) -> NDArray[np.void]:
    """Quotes, and every fourth a trade, of all symbols at random."""
    rng = np.random.default_rng(8)
    ticks = np.zeros(count, TICK)
    ticks["symbol"] = rng.integers(0, SYMBOLS, count)
    ticks["event_ns"] = START_NS + np.arange(count) * 10_000
    is_trade = np.arange(count) % 4 == 0
    ticks["kind"] = np.where(is_trade, TickKind.TRADE, TickKind.QUOTE)
    ticks["bid"] = 100.0 + np.cumsum(rng.normal(0, 1e-3, count))
    ticks["ask"] = ticks["bid"] + np.where(is_trade, 0.0, 0.01)
    ticks["ask_size"] = 1.0
    ticks["bid_size"] = np.where(is_trade, 0.0, 1.0)
    return ticks


def step_ticks(count: int, batch: int) -> float:
    """Ticks to bars, order flow and the guard of stops, so many in one call: ns a tick."""
    ticks = _ticks(count)
    analysis = Analysis(SYMBOLS, Parameters(interval_ms=60_000))
    begin = now_ns()
    for first in range(0, count, batch):
        analysis.step(ticks[first : first + batch])
    spent = now_ns() - begin
    counts = analysis.counts()
    expect((counts["quotes"], counts["trades"]), (count - count // 4, count // 4))
    return spent / count


@cache
def _indicators(minutes: int) -> NDArray[np.void]:
    """What the step says of the first symbol at the end: what the peers must say as well."""
    bars = np.ascontiguousarray(candles(minutes).bars[:, 0])
    analysis = Analysis(1)
    analysis.take_bars(np.zeros(minutes, np.uint16), bars)
    indicators: NDArray[np.void] = analysis.state["indicators"].copy()
    return indicators


def _expect_same(minutes: int, **values: float) -> None:
    ours = _indicators(minutes)[0]
    for name, value in values.items():
        same = math.isclose(value, ours[name], rel_tol=1e-9, abs_tol=1e-9)
        expect((name, same), (name, True))


def peer(name: str) -> Any | None:
    """A package to run beside us, or None where it is not installed."""
    os.environ.setdefault("SMC_CREDIT", "0")  # it greets on stdout when it is imported
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ta_lib_stream(_: Any, minutes: int) -> float:
    """Eight of TA-Lib's streaming handles for one symbol: ns a candle for all eight."""
    stream, one = importlib.import_module("talib.stream"), candles(minutes).one
    high, low, close = (one[name] for name in ("high", "low", "close"))
    past = (high[:WARM], low[:WARM], close[:WARM])
    of_close = [
        stream.RSI(close[:WARM], 14),
        stream.BBANDS(close[:WARM], 20, 2.0, 2.0),
        stream.SMA(close[:WARM], 20),
        stream.EMA(close[:WARM], 20),
        stream.MACD(close[:WARM], 12, 26, 9),
    ]
    of_bar = [stream.ATR(*past, 14), stream.ADX(*past, 14), stream.STOCH(*past, 14, 3, 0, 3, 0)]
    rows = list(zip(high[WARM:].tolist(), low[WARM:].tolist(), close[WARM:].tolist(), strict=True))
    said: list[Any] = []
    begin = now_ns()
    for row in rows:
        last = row[2]
        said = [handle.update(last) for handle in of_close]
        said += [handle.update(*row) for handle in of_bar]
    spent = now_ns() - begin
    _expect_same(minutes, rsi=said[0], sma=said[2], ema=said[3], macd=said[4][0], atr=said[5])
    _expect_same(minutes, adx=said[6], slow_k=said[7][0], slow_d=said[7][1])
    return spent / len(rows)


def ta_lib_batch(talib: Any, minutes: int) -> float:
    """The same eight over a whole series that is known beforehand: ns a candle for all eight."""
    one = candles(minutes).one
    high, low, close = (one[name] for name in ("high", "low", "close"))
    begin = now_ns()
    rsi = talib.RSI(close, 14)
    talib.BBANDS(close, 20, 2.0, 2.0)
    sma = talib.SMA(close, 20)
    ema = talib.EMA(close, 20)
    macd = talib.MACD(close, 12, 26, 9)
    atr = talib.ATR(high, low, close, 14)
    adx = talib.ADX(high, low, close, 14)
    stochastic = talib.STOCH(high, low, close, 14, 3, 0, 3, 0)
    spent = now_ns() - begin
    _expect_same(minutes, rsi=rsi[-1], sma=sma[-1], ema=ema[-1], macd=macd[0][-1], atr=atr[-1])
    _expect_same(minutes, adx=adx[-1], slow_k=stochastic[0][-1])
    return spent / minutes


def talipp_add(_: Any, minutes: int) -> float:
    """Talipp's incremental RSI, bands, SMA and EMA for one symbol: ns a candle for all four.

    Its other indicators start from other seeds, so the results would not be the same work.
    """
    indicators = importlib.import_module("talipp.indicators")
    close = candles(minutes).one["close"].tolist()
    four = [
        indicators.RSI(14),
        indicators.BB(20, 2),
        indicators.SMA(20),
        indicators.EMA(20),
    ]
    begin = now_ns()
    for price in close:
        for each in four:
            each.add(price)
    spent = now_ns() - begin
    _expect_same(minutes, rsi=four[0][-1], sma=four[2][-1], ema=four[3][-1])
    return spent / minutes


def smc_batch(package: Any, minutes: int) -> float:
    """smartmoneyconcepts: swings, imbalances, breaks, blocks and liquidity over a whole series: ns a candle."""
    pandas, smc = importlib.import_module("pandas"), package.smc
    frame = pandas.DataFrame(candles(minutes).one)
    begin = now_ns()
    swings = smc.swing_highs_lows(frame, swing_length=5)
    gaps = smc.fvg(frame)
    smc.bos_choch(frame, swings)
    smc.ob(frame, swings)
    smc.liquidity(frame, swings)
    spent = now_ns() - begin
    bars = np.ascontiguousarray(candles(minutes).bars[:, 0])
    body = bars["close"] - bars["open"]
    ups = (bars["high"][:-2] < bars["low"][2:]) & (body[1:-1] > 0)
    downs = (bars["low"][:-2] > bars["high"][2:]) & (body[1:-1] < 0)
    expect(int(gaps["FVG"].notna().sum()), int(ups.sum() + downs.sum()))
    return spent / minutes


Run = Callable[[Any, int], float]
