"""The view: what a strategy sees at the close of a bar, and nothing later."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN, HISTORY
from aegis.market.book_top import NO_TOP, BookTop, BookTops
from aegis.market.closings import MARK_FIELDS, QUOTE_FIELDS
from aegis.market.events import LOG
from aegis.market.features import NAMED
from aegis.market.recent import DOWN, UP

__all__ = ["FLAT", "Holding", "Level", "Mark", "Pool", "Quote", "Structure", "View", "Zone"]


@attrs.frozen
class Holding:
    """The position of a symbol as the engine knows it now: newer than the bar, where an order filled in between."""

    quantity: float = 0.0
    """Signed: below zero for a short position."""
    entry_price: float = 0.0
    """On average; 0 while flat."""
    stop: float | None = None
    target: float | None = None
    is_working: bool = False
    """Whether an order of the symbol may still fill: until it has, no other is sent."""

    @property
    def side(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)


FLAT: Final = Holding()


@attrs.frozen
class Quote:
    """The best bid and ask at the close of the bar; all 0 before the first quote."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float


@attrs.frozen
class Mark:
    """The exchange's own valuation at the close of the bar; all 0 before the first."""

    price: float
    """By which it reckons profit and liquidations."""
    index: float
    """What the coin costs elsewhere."""
    funding_rate: float
    """The last one."""
    funding_ms: int
    """Time of the next funding, ms since the epoch; 0 for none."""


@attrs.frozen
class Level:
    """The newest confirmed pivot of a side."""

    price: float
    drawn: int
    """The number of its bar."""
    stands: bool
    """No close has been beyond it."""


@attrs.frozen
class Zone:
    """An order block or an imbalance that is not done."""

    side: int
    """+1 bullish, below the price; -1 bearish."""
    top: float
    bottom: float
    drawn: int
    touched: bool
    """The price has come into it: a block is mitigated."""


@attrs.frozen
class Pool:
    """Liquidity that has not been taken: one pivot, or several at nearly the same price."""

    side: int
    """+1 above highs, -1 below lows."""
    extreme: float
    """A price beyond this takes it."""
    mean: float
    count: int
    """Of its pivots."""
    drawn: int
    """The bar of the first of them."""


class Structure:
    """Market structure at the close of the bar: everything in it was known by then."""

    def __init__(self, analysis: Analysis, symbol: int, record: np.void) -> None:
        self._analysis = analysis
        self._symbol = symbol
        self._record = record

    @property
    def trend(self) -> int:
        """The side of the last break: +1, -1, 0 before the first."""
        return int(self._record["trend"])

    @property
    def broke(self) -> int:
        """The side on which this bar's close broke a swing: +1, -1, 0 for neither."""
        return int(self._record["broke"])

    @property
    def changed(self) -> bool:
        """Whether that was against the trend before it: a change of character."""
        return bool(self._record["changed"])

    @property
    def place(self) -> float:
        """Of the close between the newest swing low (0, discount) and high (1, premium); NaN where they are not in order."""
        return float(self._record["place"])

    def swing(self, side: int) -> Level | None:
        """The newest confirmed pivot high (+1) or low (-1); None before the first."""
        swing = self._record["swings"][_row_of(side)]
        if swing["level"] == 0.0:
            return None
        return Level(float(swing["level"]), int(swing["bar"]), bool(swing["edge"] < math.inf))

    def blocks(self, side: int) -> list[Zone]:
        """The bullish (+1) or bearish (-1) order blocks that stand, oldest first."""
        return self._zones("blocks", "block_room", side)

    def imbalances(self, side: int) -> list[Zone]:
        """The bullish (+1) or bearish (-1) fair value gaps that are not filled, oldest first."""
        return self._zones("imbalances", "imbalance_room", side)

    def _zones(self, kind: str, room: str, side: int) -> list[Zone]:
        """Zones in prices that are not mirrored."""
        standing = self._record[kind][_row_of(side)]["standing"]
        found = []
        for zone in self._record[room][_row_of(side), :standing]:
            edges = side * float(zone["near"]), side * float(zone["far"])
            drawn, touched = int(zone["drawn"]), bool(zone["touched"])
            found.append(Zone(side, max(edges), min(edges), drawn, touched))
        return found

    def pools(self, side: int) -> list[Pool]:
        """The liquidity above highs (+1) or below lows (-1), oldest first."""
        standing = self._record["pools"][_row_of(side)]["standing"]
        return [
            Pool(
                side,
                side * float(pool["extreme"]),
                side * float(pool["mean"]),
                int(pool["count"]),
                int(pool["drawn"]),
            )
            for pool in self._record["pool_basin"][_row_of(side), :standing]
        ]

    def events(self, last: int = LOG) -> NDArray[np.void]:
        """A copy of the last events, oldest first: EVENT records, each with the bar it is drawn at and the one it became known at."""
        return self._analysis.events(self._symbol, last)

    def new_events(self) -> NDArray[np.void]:
        """A copy of the events that this bar made known, oldest first."""
        events = self.events()
        new: NDArray[np.void] = events[events["known"] == self._record["events"]["known"]]
        return new


class View:
    """A symbol at the close of one bar. Nothing of it can be changed; it is valid until `on_bar` returns.

    The arrays that `bars` and `events` give are copies, and may be kept.

    Args:
        analysis: which has just taken the bar, and takes no other while the view lives.
        index: the symbol's row in it.
        symbol: its name.
        holding: its position.
        books: where the tops of the order books are read, if there are any.
    """

    def __init__(
        self,
        analysis: Analysis,
        index: int,
        symbol: str,
        holding: Holding,
        books: BookTops | None = None,
    ) -> None:
        self.symbol: Final = symbol
        self.position: Final = holding
        self._books = books
        self._analysis = analysis
        self._index = index
        self._row: np.void = analysis.frozen[index]

    @property
    def number(self) -> int:
        """Of the bar, from 0: what `drawn` and `known` of an event are counted by."""
        return int(self._row["bars"]) - 1

    @property
    def bar(self) -> np.void:
        """The closed bar: a BAR record."""
        bar: np.void = self._row["history"][self.number % HISTORY]
        return bar

    @property
    def close(self) -> float:
        """The close of the bar."""
        return float(self.bar["close"])

    @property
    def book(self) -> BookTop:
        """The top of the symbol's order book as it is now: newer than the bar.

        It is not `valid` where no book is kept (`feed.depth`, and no backtest keeps any), and while it is not known.
        """
        return NO_TOP if self._books is None else self._books.of(self.symbol)

    @property
    def is_broken(self) -> bool:
        """Whether the bar may miss trades; an entry on it is withheld."""
        return bool(self.bar["flags"] & FLAG_BROKEN)

    def bars(self, last: int = HISTORY) -> NDArray[np.void]:
        """A copy of the last closed bars, oldest first, this one last: at most HISTORY (256) BAR records."""
        return self._analysis.bars(self._index, last)

    @property
    def indicators(self) -> np.void:
        """By name, as in `aegis.market.indicators.VALUES`: `view.indicators["atr"]`. NaN until warm."""
        indicators: np.void = self._row["indicators"]
        return indicators

    @property
    def session(self) -> np.void:
        """By name, as in `aegis.market.session.SESSION_VALUES`: `view.session["vwap"]`. NaN until known."""
        session: np.void = self._row["session"]
        return session

    @property
    def vector(self) -> NDArray[np.float32]:
        """The standardised features, in the order of `aegis.market.features.NAMES`."""
        vector: NDArray[np.float32] = self._row["features"]["values"]
        return vector

    @property
    def features(self) -> np.void:
        """The standardised features by name: `view.features["rsi"]`. 0 where one is not known."""
        named: np.void = self.vector.view(NAMED)[0]
        return named

    @property
    def raw_features(self) -> np.void:
        """The features by name, before they are standardised; not finite where one is not known."""
        raw: np.void = self._row["features"]["named"]
        return raw

    @cached_property
    def structure(self) -> Structure:
        """Swings, blocks, imbalances, pools and events."""
        return Structure(self._analysis, self._index, self._row["structure"])

    @property
    def quote(self) -> Quote:
        """The best bid and ask at the close of the bar."""
        return Quote(*(float(self._row[name]) for name in QUOTE_FIELDS))

    @property
    def mark(self) -> Mark:
        """Mark price, index and funding at the close of the bar."""
        price, index, rate, due_ms = (self._row[name] for name in MARK_FIELDS)
        return Mark(float(price), float(index), float(rate), int(due_ms))


def _row_of(side: int) -> int:
    return UP if side > 0 else DOWN
