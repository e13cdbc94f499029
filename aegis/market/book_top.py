"""The top of an order book: what a strategy reads, and the record that carries it between processes.

The analysis knows the best bid and ask as well, from the quotes that come as ticks (`ROW.bid`, `FLOW.queue`); those
are what the features are made from. This is deeper and slower: the exchange gathers changes of a book for up to half
a second, so its best level may be older than the last quote.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from aegis.errors import check

__all__ = ["BOOK_TOP", "NO_TOP", "PRICE_ONE", "SHOWN", "BookTop", "BookTops", "TopReader"]

SHOWN: Final = 20
"""Levels of each side."""
PRICE_ONE: Final = 10**8
"""A price of one, in the whole numbers that a book compares."""

_SHOWN_LEVEL: Final = np.dtype([("price", "<f8"), ("quantity", "<f8")])

BOOK_TOP: Final = np.dtype(
    [
        ("update_id", "<i8"),  # of the last change that is in it
        ("event_ns", "<i8"),  # when that happened at the exchange, ns since the epoch
        ("valid", "<i8"),  # 1: every change that has come is in it; 0: nobody knows what it lacks
        ("bid_levels", "<i8"),  # how many are shown
        ("ask_levels", "<i8"),
        ("bids", _SHOWN_LEVEL, (SHOWN,)),  # the best first; zeros behind the last one
        ("asks", _SHOWN_LEVEL, (SHOWN,)),
    ]
)


@attrs.frozen(eq=False)
class BookTop:
    """The best levels of one symbol's book, at one moment.

    Nothing but `valid` means anything while that is false: the book is being synchronised, or a change was missed.
    """

    valid: bool
    update_id: int
    """Of the last change in it, counted as the exchange counts its quotes."""
    event_ns: int
    """When that happened at the exchange, ns since the epoch."""
    bids: NDArray[np.void]
    """`price` and `quantity`, float64, best first: at most SHOWN, fewer where so few are known."""
    asks: NDArray[np.void]

    @property
    def bid(self) -> float:
        """The best bid; NaN where there is none."""
        return float(self.bids["price"][0]) if len(self.bids) else np.nan

    @property
    def ask(self) -> float:
        """The best ask; NaN where there is none."""
        return float(self.asks["price"][0]) if len(self.asks) else np.nan

    def imbalance(self, levels: int = 1) -> float:
        """`(b - a) / (b + a)` of the quantities in the best levels of each side, -1..1; NaN where there are none.

        With one level it is the queue imbalance, as `FLOW.queue` has it for the last quote.
        """
        check(0 < levels <= SHOWN, f"an imbalance is over 1 to {SHOWN} levels")
        bought = float(self.bids["quantity"][:levels].sum())
        sold = float(self.asks["quantity"][:levels].sum())
        return (bought - sold) / (bought + sold) if bought + sold > 0.0 else np.nan


_NOTHING: Final = np.zeros(0, _SHOWN_LEVEL)
NO_TOP: Final = BookTop(valid=False, update_id=0, event_ns=0, bids=_NOTHING, asks=_NOTHING)
"""Where no book is kept."""


class TopReader(Protocol):
    """What is needed of a table of BOOK_TOP rows, one a symbol."""

    @property
    def has_writer(self) -> bool:
        """Whether somebody keeps the rows up."""

    def read_into(self, row: int, out: NDArray[np.void]) -> bool:
        """Copy a row as it was at one moment into an array of length 1; False when that was not possible."""


class BookTops:
    """The tops of all books of a run.

    Args:
        reader: where they come from.
    """

    def __init__(self, reader: TopReader) -> None:
        self._reader: Final = reader
        self._row: Final = np.zeros(1, BOOK_TOP)

    def top(self, symbol: int) -> BookTop:
        """A copy of the top of a symbol's book, by the symbol's index in the run."""
        if not self._reader.read_into(symbol, self._row) or not self._reader.has_writer:
            self._row["valid"] = 0
        return top_of(self._row[0])


def top_of(row: Any) -> BookTop:
    """The value that a BOOK_TOP record holds; it shares no memory with it."""
    bids, asks = int(row["bid_levels"]), int(row["ask_levels"])
    return BookTop(
        valid=bool(row["valid"]),
        update_id=int(row["update_id"]),
        event_ns=int(row["event_ns"]),
        bids=row["bids"][:bids].copy(),
        asks=row["asks"][:asks].copy(),
    )
