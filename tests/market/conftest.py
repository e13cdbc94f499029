"""A tape on which a test writes ticks, and the analysis that reads it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.records import TICK, TickKind
from aegis.market.parameters import Parameters

START_MS = 1_700_000_000_000


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

    def quote(self, at_ms: int, bid: float, ask: float, symbol: int = 0, size: float = 1.0) -> Tape:
        return self.write(
            at_ms, TickKind.QUOTE, symbol, bid=bid, ask=ask, bid_size=size, ask_size=size
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


@pytest.fixture
def tape() -> Tape:
    """A blank tape."""
    return Tape()


@pytest.fixture
def make_analysis() -> Callable[..., Analysis]:
    """An analysis of bars of one second, with any other parameters given."""

    def make(symbols: int = 1, signal_capacity: int = 64, **parameters: float) -> Analysis:
        settings = {"interval_ms": 1000} | parameters
        return Analysis(symbols, Parameters(**settings), signal_capacity=signal_capacity)  # type: ignore[arg-type]

    return make
