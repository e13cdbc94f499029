"""What can be listened to on the engine's bus, by whoever only wants to know: nobody here can slow the flow."""

from __future__ import annotations

import attrs

from aegis.messages import Signal
from aegis.orders.order import Ticket, Trade

__all__ = ["OrderFilled", "OrderRequest", "SignalGenerated", "TickUpdate"]


@attrs.frozen
class TickUpdate:
    """The latest of a symbol after a batch of ticks; what lay between is in the bars."""

    symbol: str
    bid: float
    ask: float
    price: float
    """Of the last trade; 0 before the first."""
    event_ns: int


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
