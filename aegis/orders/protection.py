"""Protection: where a position is given up, and where it takes its profit, as the entry that opened it said."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import attrs

from aegis.orders.instrument import Side
from aegis.orders.order import Order, Ticket

__all__ = ["Protection"]

_Prices = tuple[Decimal | None, Decimal | None]


@attrs.define
class Protection:
    """Stop and target by symbol and side: what the last entry said that was approved for it, in an earlier run too."""

    _prices: dict[tuple[str, Side], _Prices] = attrs.Factory(dict)

    @classmethod
    def of_orders(cls, orders: Iterable[Order]) -> Protection:
        """What the entries among these orders said, oldest first, if anything of them can have been filled."""
        return cls(
            {
                (order.symbol, order.side): (order.stop_price, order.target_price)
                for order in orders
                if not order.reduce_only and (order.is_open or order.filled)
            }
        )

    def promise(self, ticket: Ticket) -> None:
        """Remember what an entry says; an exit says nothing."""
        if not ticket.reduce_only:
            self._prices[ticket.symbol, ticket.side] = ticket.stop_price, ticket.target_price

    def of(self, symbol: str, held: Decimal) -> _Prices:
        """Stop and target of what is held, None where there is none."""
        return self._prices.get((symbol, Side.of(held)), (None, None)) if held else (None, None)
