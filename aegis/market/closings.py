"""Closings: what the step says of a closed bar to those who follow its symbol.

A closing is all that `Analysis.take_closing` needs to be, after it, where the step was after this bar, whatever the step has
done since. So a strategy on another thread, however late it comes to a bar, sees that bar and nothing later.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.bars import BAR

__all__ = ["CLOSING", "MARK_FIELDS", "QUOTE_FIELDS", "write_closing"]

QUOTE_FIELDS: Final = ("bid", "ask", "bid_size", "ask_size")
"""The best quote, by the names it has in TICK, in ROW and in CLOSING."""

MARK_FIELDS: Final = ("mark", "index", "funding_rate", "funding_ms")
"""The exchange's own valuation, by the names it has in ROW and in CLOSING."""

CLOSING: Final = np.dtype(
    [
        ("bar", BAR),
        ("number", "<i8"),  # of the bar in its symbol's row, from 0
        ("bid", "<f8"),  # the last quote before the close, 0 where there was none
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("mark", "<f8"),  # the last valuation before the close, 0 where there was none
        ("index", "<f8"),
        ("funding_rate", "<f8"),
        ("funding_ms", "<i8"),
        ("order_flow", "<f8"),  # of the bar
        ("recv_us", "<u4"),  # receive stamp of the tick that closed it
        ("symbol", "<u2"),
        ("is_past", "<u2"),  # 1: over before we came, an exchange's own candle
    ],
    align=True,
)

check(CLOSING.itemsize == BAR.itemsize + 88, "a CLOSING has no padding")


@inlined
def write_closing(outbox: Any, row: Any, bar: Any) -> None:
    """Append a bar that has just been taken into its row; it is counted where there is no room."""
    if outbox.closed >= outbox.closings.shape[0]:
        outbox.closings_lost += 1
        return
    closing = outbox.closings[outbox.closed]
    outbox.closed += 1
    closing.bar = bar
    closing.number = row.bars - 1
    closing.bid = row.bid
    closing.ask = row.ask
    closing.bid_size = row.bid_size
    closing.ask_size = row.ask_size
    closing.mark = row.mark
    closing.index = row.index
    closing.funding_rate = row.funding_rate
    closing.funding_ms = row.funding_ms
    closing.order_flow = row.flow.order_flow
    closing.recv_us = row.recv_us
    closing.symbol = row.symbol
    closing.is_past = 0
