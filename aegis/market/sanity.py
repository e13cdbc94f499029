"""What a market can have. A torn, misread or absurd record is counted and dropped; it never reaches a number.

Every comparison is false for NaN, so each rule says what must hold.
"""

from __future__ import annotations

from typing import Any, Final

from aegis.compiled import inlined
from aegis.market.records import MAX_EVENT_NS

__all__ = ["bar_holds", "mark_holds", "quote_holds", "trade_holds"]

MAX_PRICE: Final = 1e12
MAX_SIZE: Final = 1e15


@inlined
def quote_holds(tick: Any) -> bool:
    """True for a quote that a market can have: not crossed, and neither side without a price."""
    return bool(
        0.0 < tick.bid <= tick.ask < MAX_PRICE
        and 0.0 <= tick.bid_size < MAX_SIZE
        and 0.0 <= tick.ask_size < MAX_SIZE
        and 0 < tick.event_ns < MAX_EVENT_NS
    )


@inlined
def trade_holds(tick: Any) -> bool:
    """True for a trade that a market can have: one price, and a quantity on exactly one side."""
    return bool(
        0.0 < tick.bid == tick.ask < MAX_PRICE
        and 0.0 <= tick.bid_size < MAX_SIZE
        and 0.0 <= tick.ask_size < MAX_SIZE
        and (tick.bid_size > 0.0) != (tick.ask_size > 0.0)
        and 0 < tick.event_ns < MAX_EVENT_NS
    )


@inlined
def mark_holds(tick: Any) -> bool:
    """True for a valuation that an exchange can give: a mark price, perhaps an index, and a rate that is a fraction."""
    return bool(
        0.0 < tick.bid < MAX_PRICE
        and 0.0 <= tick.ask < MAX_PRICE
        and -1.0 < tick.bid_size < 1.0
        and 0.0 <= tick.ask_size < MAX_SIZE
        and 0 < tick.event_ns < MAX_EVENT_NS
    )


@inlined
def bar_holds(bar: Any) -> bool:
    """True for a bar that a market can have: its prices between its low and its high."""
    return bool(
        0.0 < bar.low <= min(bar.open, bar.close)
        and max(bar.open, bar.close) <= bar.high < MAX_PRICE
        and 0.0 <= bar.volume < MAX_SIZE
        and 0 < bar.start_ns < MAX_EVENT_NS
    )
