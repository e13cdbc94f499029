"""Order flow: who pushes, at the top of the book and in the trades.

**Order-flow imbalance** (Cont, Kukanov, Stoikov, "The Price Impact of Order Book Events", J. Financial Econometrics 12(1),
equation 4): each change of the best quote adds what came to the bid and left the ask. With P the price and q the size of a
side, b the bid and a the ask, and ' the quote before:
`e = q_b [P_b >= P_b'] - q_b' [P_b <= P_b'] - q_a [P_a <= P_a'] + q_a' [P_a >= P_a']`, summed over a bar.

It is warm with the second quote of a symbol: the first has none to be compared with, and adds nothing.

**Queue imbalance**: `(q_b - q_a) / (q_b + q_a)` of the last quote before the close. It is warm with the first quote; NaN before.

**Signed volume**, what buyers took less what sellers took, is a field of the BAR: warm with the first trade.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined

__all__ = ["FLOW", "close_flow", "take_quote"]

FLOW: Final = np.dtype(
    [
        ("running", "<f8"),  # order-flow imbalance of the forming bar so far
        ("order_flow", "<f8"),  # of the last closed bar, base units
        ("queue", "<f8"),  # queue imbalance at its close, -1..1
    ],
    align=True,
)


@inlined
def take_quote(flow: Any, row: Any, tick: Any) -> None:
    """Take a quote tick, with the quote before it still in the row."""
    if row.quotes == 0:
        return
    came = tick.bid_size * (tick.bid >= row.bid) - row.bid_size * (tick.bid <= row.bid)
    left = tick.ask_size * (tick.ask <= row.ask) - row.ask_size * (tick.ask >= row.ask)
    flow.running += came - left


@inlined
def close_flow(flow: Any, row: Any) -> None:
    """Close the bar: what ran since the last one is its order flow."""
    flow.order_flow = flow.running
    flow.running = 0.0
    flow.queue = (row.bid_size - row.ask_size) / (row.bid_size + row.ask_size)
