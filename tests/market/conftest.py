"""A tape on which a test writes ticks, bars of every kind of market, and the analysis that reads them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import BAR
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, TickKind

START_MS = 1_700_006_400_000
MINUTE_NS = 60_000_000_000
RECORDED = Path(__file__).parents[3] / "shared" / "data"


class Tape:
    """Ticks in order of arrival; times are ms after START_MS, which is a bar start of every interval used."""

    def __init__(self) -> None:
        self.records: list[NDArray[np.void]] = []

    def write(self, at_ms: int, kind: int, symbol: int = 0, **fields: float) -> Tape:
        tick = np.zeros(1, TICK)
        tick["event_ns"] = (START_MS + at_ms) * 1_000_000
        tick["recv_us"] = len(self.records)
        tick["kind"] = kind
        tick["symbol"] = symbol
        for name, value in fields.items():
            tick[name] = value
        self.records.append(tick)
        return self

    def quote(
        self,
        at_ms: int,
        bid: float,
        ask: float,
        symbol: int = 0,
        sizes: tuple[float, float] = (1, 1),
    ) -> Tape:
        return self.write(
            at_ms, TickKind.QUOTE, symbol, bid=bid, ask=ask, bid_size=sizes[0], ask_size=sizes[1]
        )

    def trade(self, at_ms: int, price: float, quantity: float = 1.0, symbol: int = 0) -> Tape:
        """A trade; a negative quantity was sold by the taker."""
        sides = {"bid_size": max(-quantity, 0.0), "ask_size": max(quantity, 0.0)}
        return self.write(at_ms, TickKind.TRADE, symbol, bid=price, ask=price, **sides)

    def gap(self, at_ms: int, symbol: int = 0) -> Tape:
        return self.write(at_ms, TickKind.GAP, symbol)

    def bar(self, number: int, prices: tuple[float, ...], interval_ms: int = 1000) -> Tape:
        """Trades at these prices, evenly spread over the interval `number`."""
        for index, price in enumerate(prices):
            self.trade(number * interval_ms + index * interval_ms // len(prices), price)
        return self

    def ticks(self) -> NDArray[np.void]:
        return np.concatenate(self.records) if self.records else np.zeros(0, TICK)


@pytest.fixture(scope="session")
def make_tape() -> type[Tape]:
    """Blank tapes, as many as are wanted."""
    return Tape


@pytest.fixture
def tape() -> Tape:
    """A blank tape."""
    return Tape()


@pytest.fixture(scope="session")
def make_analysis() -> Callable[..., Analysis]:
    """An analysis of bars of one second, with any other parameters given."""

    def make(symbols: int = 1, signal_capacity: int = 64, **parameters: Any) -> Analysis:
        settings = Parameters(**({"interval_ms": 1000} | parameters))
        return Analysis(symbols, settings, signal_capacity=signal_capacity)

    return make


@pytest.fixture(scope="session")
def make_bars() -> Callable[..., NDArray[np.void]]:
    """Bars of one minute from rows of open, high, low, close, and their volumes."""

    def make(prices: Any, volume: Any = 1.0) -> NDArray[np.void]:
        prices = np.asarray(prices, float)
        bars = np.zeros(len(prices), BAR)
        for column, name in enumerate(("open", "high", "low", "close")):
            bars[name] = prices[:, column]
        bars["volume"] = volume
        bars["value"] = bars["volume"] * bars["close"]
        bars["start_ns"] = START_MS * 1_000_000 + np.arange(len(bars)) * MINUTE_NS
        bars["known_ns"] = bars["start_ns"] + MINUTE_NS
        return bars

    return make


@pytest.fixture(scope="session")
def walk_bars(make_bars: Any) -> Callable[..., NDArray[np.void]]:
    """Bars of a random walk without drift; with a grid, ties are frequent."""

    def walk(seed: int, count: int, grid: float = 0.0) -> NDArray[np.void]:
        rng = np.random.default_rng(seed)
        steps = rng.integers(-2, 3, (count, 8)) * grid if grid else rng.normal(0, 0.3, (count, 8))
        prices = 10_000.0 + np.cumsum(steps.ravel()).reshape(count, 8)
        rows = np.column_stack((prices[:, 0], prices.max(1), prices.min(1), prices[:, -1]))
        return make_bars(rows, rng.exponential(1.0, count))  # type: ignore[no-any-return]

    return walk


@pytest.fixture(scope="session")
def trace() -> Callable[..., NDArray[np.void]]:
    """A field of the row of an analysis, as it is after each of the bars that it is given."""

    def take(bars: NDArray[np.void], field: str, **parameters: Any) -> NDArray[np.void]:
        analysis = Analysis(1, Parameters(**parameters))
        symbol = np.zeros(1, np.uint16)
        live = analysis.state[field]
        seen = np.zeros(len(bars), live.dtype)
        for index in range(len(bars)):
            analysis.take_bars(symbol, bars[index : index + 1])
            seen[index] = live[0]
        return seen

    return take


@pytest.fixture(scope="session")
def smc_folder() -> Path:
    """The folder of candles and expected tables published with the smartmoneyconcepts library."""
    folder = RECORDED / "smc"
    if not folder.exists():
        pytest.skip(f"no recorded data at {folder}")
    return folder


@pytest.fixture(scope="session")
def eurusd(smc_folder: Path, make_bars: Any) -> NDArray[np.void]:
    """24,423 bars of EURUSD, 15 minutes each. Their volume is 0: the file has none."""
    with (smc_folder / "EURUSD_15M.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    prices = [[float(row[name]) for name in ("Open", "High", "Low", "Close")] for row in rows]
    bars: NDArray[np.void] = make_bars(prices, 0.0)
    times = [row["Date"].replace(".", "-").replace(" ", "T") for row in rows]
    bars["start_ns"] = np.array(times, "datetime64[ns]").astype(np.int64)
    bars["known_ns"] = bars["start_ns"] + 15 * MINUTE_NS
    return bars


@pytest.fixture(scope="session", params=["btcusdt_20240808", "ethusdt_20240808"])
def recorded_ticks(request: pytest.FixtureRequest) -> NDArray[np.void]:
    """The quotes and trades of a recording of Binance USD-M, in order of arrival."""
    path = RECORDED / "recordings" / f"{request.param}.gz"
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    with gzip.open(path, "rt") as lines:
        frames = [json.loads(line.partition(" ")[2]).get("data", {}) for line in lines]
    known = [frame for frame in frames if frame.get("e") in ("trade", "bookTicker")]
    ticks = np.zeros(len(known), TICK)
    for tick, frame in zip(ticks, known, strict=True):
        tick["event_ns"] = frame["T"] * 1_000_000
        if frame["e"] == "trade":
            tick["kind"] = TickKind.TRADE
            tick["bid"] = tick["ask"] = float(frame["p"])
            tick["bid_size" if frame["m"] else "ask_size"] = float(frame["q"])
        else:
            tick["kind"] = TickKind.QUOTE
            for name, key in (("bid", "b"), ("ask", "a"), ("bid_size", "B"), ("ask_size", "A")):
                tick[name] = float(frame[key])
    return ticks
