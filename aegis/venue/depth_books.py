"""The order books of a run, as the worker holds them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from aegis.compiled import entry_point
from aegis.errors import check
from aegis.market.book import LEVEL
from aegis.venue import depth_book
from aegis.venue.binance_market import DepthUpdate
from aegis.venue.depth_book import BOOK_BYTES, CHANGE_LEVELS_MAX, DEPTH_BOOK, SHELF, Fault, Order
from aegis.venue.depth_codec import DepthSnapshot, Levels

__all__ = ["DepthBooks"]

_apply: Final = entry_point(depth_book.apply_change)
_is_thin: Final = entry_point(depth_book.is_book_thin)
_load: Final = entry_point(depth_book.load_snapshot)
_order_of: Final = entry_point(depth_book.order_of)
_publish: Final = entry_point(depth_book.publish)
_step_out: Final = entry_point(depth_book.step_out)


class DepthBooks:
    """The memory of all books, and what the synchronisation does with one of them.

    Args:
        rows: for each symbol where its row on the board is, 0 for none.
    """

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        self.memory: Final = np.zeros(len(rows), DEPTH_BOOK)
        self.memory["row"] = rows
        self._levels: Final = np.zeros(CHANGE_LEVELS_MAX, LEVEL)
        self._shelf: Final = np.zeros(1, SHELF)
        self._first: Final = int(self.memory.ctypes.data)
        self._shelf["books"] = self._first
        self._shelf["levels"] = self._levels.ctypes.data
        self.address: Final = int(self._shelf.ctypes.data)
        """For a lane."""

    def _at(self, symbol: int) -> int:
        check(0 <= symbol < len(self.memory), "every symbol has a book")
        return self._first + symbol * BOOK_BYTES

    def order(self, symbol: int, change: DepthUpdate) -> Order:
        """How a change stands to a symbol's book."""
        return Order(_order_of(self._at(symbol), change.pu, change.u, change.T))

    def apply(self, symbol: int, change: DepthUpdate, bids: Levels, asks: Levels) -> Fault:
        """Take a change, whose levels are given as LEVEL records; `put_in_step` once nothing more has come."""
        levels = np.concatenate([bids, asks], dtype=LEVEL)
        counts = len(bids), len(asks)
        return Fault(_apply(self._at(symbol), levels.ctypes.data, *counts, change.u, change.T))

    def load(self, symbol: int, snapshot: DepthSnapshot) -> Fault:
        """Begin a book anew, as of the snapshot; whether it is valid is left as it was.

        Args:
            symbol: its index.
            snapshot: the book as the exchange showed it.
        """
        bids, asks = snapshot.bids, snapshot.asks
        levels = np.concatenate([bids, asks], dtype=LEVEL)
        counts = len(bids), len(asks)
        as_of = snapshot.update_id, snapshot.match_ms
        return Fault(_load(self._at(symbol), levels.ctypes.data, *counts, snapshot.limit, *as_of))

    def put_in_step(self, symbol: int) -> None:
        """Let a book be valid, and changed by compiled code: all that has come is in it."""
        self.memory["in_step"][symbol] = 1
        _publish(self._at(symbol), 1)

    def hold(self, symbol: int) -> None:
        """Let no compiled code change a book, and show it as it is now."""
        self.memory["in_step"][symbol] = 0
        _publish(self._at(symbol), 1)

    def step_out(self, symbol: int) -> None:
        """Let a book be valid no more."""
        self.memory["in_step"][symbol] = 0
        _publish(self._at(symbol), 0)

    def drop(self, symbol: int) -> None:
        """Count a change that is dropped, as it is in the book already."""
        self.memory["repeats"][symbol] += 1

    def fault(self, symbol: int) -> Fault:
        """What is wrong with a book."""
        return Fault(int(self.memory["fault"][symbol]))

    def is_thin(self, symbol: int) -> bool:
        """Whether a book needs another snapshot before long."""
        return bool(_is_thin(self._at(symbol)))

    @property
    def valid(self) -> int:
        """How many books are valid."""
        return int(self.memory["top"]["valid"].sum())
