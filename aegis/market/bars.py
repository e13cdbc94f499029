"""Bars: trades gathered by the exchange's time, or by their number, volume or value.

The rules, all of them:

* Only TRADE ticks make bars, and only by their `event_ns`: when a record arrived here moves nothing.
* A TIME bar covers `[start, start + interval)`, with starts at multiples of the interval since the Unix epoch, as the
  exchange's own klines have. It closes when the first trade at or after its end arrives.
* A bar of another kind starts at its first trade and closes with the trade that brings it to its size. That trade belongs
  to it whole: a trade is never split.
* A trade before the start of the forming bar, or before the end of the last one where none forms, is *late*: counted and
  dropped. Its bar is closed and may have been traded on, so it never changes again; put into the forming bar, its price
  would be one that this interval never had.
* A trade out of order inside the forming bar counts in high, low and volume. It does not move the close, which is the
  price of the newest trade by event time (the last one to arrive, among equals).
* An interval without a trade makes no bar. A flat bar would be an invented price, and a run of them would shrink the
  ATR of a quiet symbol, and with it every stop, towards zero.
* A GAP marks the forming bar as broken, and the bar of the next trade as well, if that is another one: both may miss
  trades. So may a symbol's first bar, which began before anybody listened. A broken bar counts in everything that
  follows, but no entry is decided on it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check

__all__ = ["BAR", "FLAG_BROKEN", "HISTORY", "merge_trade", "open_bar"]

BAR: Final = np.dtype(
    [
        ("start_ns", "<i8"),  # ns since the Unix epoch
        ("known_ns", "<i8"),  # event time of the tick that closed it; 0 while it forms
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),  # base units
        ("signed_volume", "<f8"),  # bought by takers less sold by takers
        ("value", "<f8"),  # sum of price * quantity, quote units
        ("trades", "<u4"),
        ("flags", "<u4"),  # FLAG_...
    ],
    align=True,
)

FLAG_BROKEN: Final = 1
"""It may miss trades: the stream was interrupted while it formed, or was not yet there when it began."""

HISTORY: Final = 256
"""Closed bars kept a symbol: a ring, indexed by the bar's number modulo this."""

check(HISTORY & (HISTORY - 1) == 0, "the ring of closed bars is indexed by a mask")


@inlined
def open_bar(bar: Any, start_ns: int, price: float, flags: int) -> None:
    """Start an empty bar at its first trade's price; the trade itself is still to be merged."""
    bar.start_ns = start_ns
    bar.known_ns = 0
    bar.open = price
    bar.high = price
    bar.low = price
    bar.close = price
    bar.volume = 0.0
    bar.signed_volume = 0.0
    bar.value = 0.0
    bar.trades = 0
    bar.flags = flags


@inlined
def merge_trade(bar: Any, price: float, bought: float, sold: float, is_newest: bool) -> None:
    """Take one trade into the forming bar.

    Args:
        bar: the forming bar.
        price: of the trade.
        bought: quantity that a buying taker took, else 0.
        sold: quantity that a selling taker took, else 0.
        is_newest: no trade of this symbol has a later event time.
    """
    bar.high = max(bar.high, price)
    bar.low = min(bar.low, price)
    if is_newest:
        bar.close = price
    bar.volume += bought + sold
    bar.signed_volume += bought - sold
    bar.value += price * (bought + sold)
    bar.trades += 1
