"""What the Executor says of itself."""

from __future__ import annotations

from decimal import Decimal

import attrs

from aegis.actors.order_times import OrderTimesReport
from aegis.orders.portfolio import Position

__all__ = ["ExecutorReport"]


@attrs.frozen
class ExecutorReport:
    """Orders and money so far."""

    sent: int
    accepted: int
    refused: int
    unknown: int
    cancelled: int
    withdrawn: int
    open_orders: frozenset[str]
    """Client ids of the orders that may still fill."""
    unsettled_orders: frozenset[str]
    """Those of them that the exchange may never have seen."""
    locked_out: str
    """What the exchange said where it refused the last order for its key; empty where it did not."""
    fills: int
    first_fill_ns: int | None
    wallet: Decimal
    realised: Decimal
    fees: Decimal
    other_fees: dict[str, Decimal]
    """Of other assets than the quote's, by asset."""
    paid: Decimal
    """Funding and transfers: what came without a trade, less what went."""
    adopted_ms: int
    """Exchange time of the account as it was taken over."""
    positions: dict[str, Position]
    times: OrderTimesReport
