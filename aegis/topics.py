"""What can be listened to on the engine's bus, by whoever only wants to know: nobody here can slow the flow."""

from __future__ import annotations

import attrs

from aegis.messages import Signal
from aegis.orders.order import Ticket, Trade

__all__ = ["OrderFilled", "OrderRequest", "SignalGenerated", "TickUpdate"]


@attrs.frozen
class TickUpdate:
    """The latest of a symbol in a window of exchange time (`feed.conflate_ms`), and all that its trades say to a bar."""

    symbol: str
    event_ns: int
    bid: float
    """The last quote, of this window or before; 0 before the first, as all prices."""
    ask: float
    bid_size: float
    ask_size: float
    quotes: int
    price: float
    """Of the last trade, of this window or before."""
    high: float
    """Of the trades of this window; as `low`, the last price where it had none."""
    low: float
    trades: int
    volume: float
    signed_volume: float
    """Bought by takers less sold by takers."""


@attrs.frozen
class SignalGenerated:
    """The Brain proposed something."""

    signal: Signal


@attrs.frozen
class OrderRequest:
    """The Gate approved an order; it is on its way to the Executor."""

    client_id: str
    ticket: Ticket


@attrs.frozen
class OrderFilled:
    """The Executor booked an execution."""

    trade: Trade
