"""What the Executor says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

import attrs

from aegis.actors.order_times import OrderTimesReport
from aegis.orders.ledger import Ledger
from aegis.orders.portfolio import Position
from aegis.orders.states import UNSETTLED

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

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        counts: Mapping[str, int],
        *,
        locked_out: str,
        first_fill_ns: int | None,
        times: OrderTimesReport,
    ) -> Self:
        """Of a ledger as it is now; `counts` has the figures from `sent` to `withdrawn`, and `fills`."""
        portfolio, still_open = ledger.portfolio, ledger.open_orders()
        unsettled = (each for each in still_open if each.state in UNSETTLED)
        return cls(
            **counts,
            open_orders=frozenset(order.client_id for order in still_open),
            unsettled_orders=frozenset(order.client_id for order in unsettled),
            locked_out=locked_out,
            first_fill_ns=first_fill_ns,
            wallet=portfolio.wallet,
            realised=portfolio.realised,
            fees=portfolio.fees,
            other_fees=dict(portfolio.other_fees),
            paid=portfolio.paid,
            adopted_ms=portfolio.adopted_ms,
            positions=portfolio.open_positions(),
            times=times,
        )
