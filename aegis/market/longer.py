"""Longer bars, made of shorter ones: the bars of an interval that the engine's own interval divides.

A longer bar closes when the shorter one that reaches its end does, or when a shorter one becomes known at or after its end. So it
holds the same trades, and is known by the same tick, as if it had been made of the ticks. Only what was late for a shorter bar
is late for it as well. A symbol's first one is broken where it is not there from its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aegis.market.bars import FLAG_BROKEN
from aegis.market.closings import CLOSING, MARK_FIELDS, QUOTE_FIELDS

__all__ = ["LongerBars"]

_SUMS: Final = ("volume", "signed_volume", "value", "trades")
_LATEST: Final = (*QUOTE_FIELDS, *MARK_FIELDS, "recv_us")


class LongerBars:
    """The longer bars of some symbols.

    Args:
        symbols: how many.
        interval_ms: of a longer bar.
        shorter_ms: of the bars it is made of: a whole number of them is one longer bar.
    """

    def __init__(self, symbols: int, interval_ms: int, shorter_ms: int) -> None:
        self._interval_ns = interval_ms * 1_000_000
        self._shorter_ns = shorter_ms * 1_000_000
        self._forming: NDArray[np.void] = np.zeros(symbols, CLOSING)
        self._count = [0] * symbols
        self._forms = [False] * symbols

    def take(self, closing: np.void, symbol: int, flags: int = 0) -> Iterator[np.void]:
        """Take the closing of a shorter bar.

        Args:
            closing: a CLOSING record.
            symbol: which of the symbols it is of.
            flags: FLAG_BROKEN where closings before it are missing.

        Yields:
            The CLOSING of each longer bar that is over with it, a view that is valid until the next call: none, one, or two
            where nothing traded at the end of the first.
        """
        bar, forming = closing["bar"], self._forming[symbol]
        if self._forms[symbol]:
            forming["bar"]["flags"] |= flags
            if bar["start_ns"] >= forming["bar"]["start_ns"] + self._interval_ns:
                yield self._close(symbol, int(bar["known_ns"]))
        if self._forms[symbol]:
            self._merge(forming, closing)
        else:
            self._begin(symbol, closing, flags)
        end_ns = int(forming["bar"]["start_ns"]) + self._interval_ns
        if max(int(bar["start_ns"]) + self._shorter_ns, int(bar["known_ns"])) >= end_ns:
            yield self._close(symbol, int(bar["known_ns"]))

    def _begin(self, symbol: int, closing: np.void, flags: int) -> None:
        self._forming[symbol] = closing
        forming = self._forming[symbol]
        forming["number"] = self._count[symbol]
        bar = forming["bar"]
        missed_ns = int(bar["start_ns"]) % self._interval_ns
        bar["start_ns"] -= missed_ns
        bar["flags"] |= FLAG_BROKEN if missed_ns and self._count[symbol] == 0 else flags
        self._forms[symbol] = True

    @staticmethod
    def _merge(forming: np.void, closing: np.void) -> None:
        longer, bar = forming["bar"], closing["bar"]
        longer["high"] = max(longer["high"], bar["high"])
        longer["low"] = min(longer["low"], bar["low"])
        longer["close"] = bar["close"]
        longer["flags"] |= bar["flags"] & FLAG_BROKEN
        for name in _SUMS:
            longer[name] += bar[name]
        for name in _LATEST:
            forming[name] = closing[name]
        forming["order_flow"] += closing["order_flow"]

    def _close(self, symbol: int, known_ns: int) -> np.void:
        closed: np.void = self._forming[symbol]
        closed["bar"]["known_ns"] = known_ns
        self._forms[symbol] = False
        self._count[symbol] += 1
        return closed
