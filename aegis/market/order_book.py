"""An order book for those who write Python: `aegis.market.book` with arrays in place of addresses."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from aegis.compiled import entry_point
from aegis.errors import check
from aegis.market.book import BOOK, LEVEL, change, is_thin, load, show
from aegis.market.book_top import BOOK_TOP

__all__ = ["Book"]

_change: Final = entry_point(change)
_load: Final = entry_point(load)
_is_thin: Final = entry_point(is_thin)
_show: Final = entry_point(show)


class Book:
    """A book for those who write Python.

    Args:
        memory: a BOOK array of length 1 with a book in it; without, it is a new one, and empty.
    """

    def __init__(self, memory: NDArray[np.void] | None = None) -> None:
        self._memory: Final = np.zeros(1, BOOK) if memory is None else memory
        check(self._memory.dtype == BOOK and len(self._memory) == 1, "a book is one BOOK record")
        self.address: Final = int(self._memory.ctypes.data)
        if memory is None:
            nothing = np.zeros(0, LEVEL)
            self.load(nothing, nothing, limit=1)

    def load(self, bids: NDArray[np.void], asks: NDArray[np.void], limit: int) -> bool:
        """Begin anew with a snapshot of LEVEL records; whether the book holds.

        Args:
            bids: in any order.
            asks: in any order.
            limit: the most levels that the snapshot shows of a side; one with as many has more behind them.
        """
        levels = np.concatenate([bids, asks], dtype=LEVEL)
        return bool(_load(self.address, levels.ctypes.data, len(bids), len(asks), limit))

    def change(self, bids: NDArray[np.void], asks: NDArray[np.void]) -> bool:
        """Take the LEVEL records of a change; whether the book holds, see `change`."""
        levels = np.concatenate([bids, asks], dtype=LEVEL)
        return bool(_change(self.address, levels.ctypes.data, len(bids), len(asks)))

    @property
    def is_thin(self) -> bool:
        """Whether another snapshot is needed before long."""
        return bool(_is_thin(self.address))

    def show(self, top: NDArray[np.void]) -> None:
        """Write the best levels into a BOOK_TOP array of length 1; its other fields are left as they are."""
        check(top.dtype == BOOK_TOP and len(top) == 1, "a top is one BOOK_TOP record")
        _show(self.address, top.ctypes.data)

    def bids(self) -> NDArray[np.void]:
        """A copy of every bid that is known, best first, as LEVEL records."""
        return self._levels("bids", 1)

    def asks(self) -> NDArray[np.void]:
        """A copy of every ask that is known, best first, as LEVEL records."""
        return self._levels("asks", -1)

    def _levels(self, name: str, sign: int) -> NDArray[np.void]:
        side = self._memory[0][name]
        count = int(side["count"])
        levels = np.zeros(count, LEVEL)
        levels["price"] = sign * side["keys"][:count][::-1]
        levels["quantity"] = side["quantities"][:count][::-1]
        return levels
