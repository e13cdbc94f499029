"""One order: the fold of what happened to it, whether a reply or the stream said so."""

from __future__ import annotations

from decimal import Decimal

import attrs

from aegis.errors import check
from aegis.orders.instrument import Side
from aegis.orders.states import OPEN, TRANSITIONS, Happening, OrderState

__all__ = ["Order", "Ticket", "Trade"]

ZERO = Decimal(0)


@attrs.frozen
class Ticket:
    """An order that the limits have passed: only `aegis.orders.limits` makes one, so nothing else can be sent."""

    symbol: str
    side: Side
    quantity: Decimal
    reduce_only: bool
    limit_price: Decimal | None
    """None: a MARKET order. Otherwise LIMIT, good till cancelled."""
    reference_price: Decimal
    """The price that the limits were judged at."""
    stop_price: Decimal | None
    """Where the position that this order opens is given up; None for an order that only reduces."""
    signal_id: int
    checks: tuple[str, ...]
    """The names of the rules it passed, in order."""
    data_age_us: int
    target_price: Decimal | None = None
    """Where that position takes its profit, if anywhere."""
    strategy: str = ""
    """Which wanted it; none for a stop, a target, or the end of a run."""


@attrs.frozen
class Trade:
    """One execution of ours at the exchange."""

    symbol: str
    trade_id: int
    client_id: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    event_ms: int

    @property
    def signed_quantity(self) -> Decimal:
        """The change of the position."""
        return self.quantity * self.side.sign


@attrs.frozen
class Order:
    """An order and what is known of it. Immutable: `after` and `traded` return the next one."""

    client_id: str
    symbol: str
    side: Side
    quantity: Decimal
    reduce_only: bool
    stop_price: Decimal | None = None
    """Where the position that it opens is given up."""
    target_price: Decimal | None = None
    """Where that position takes its profit."""
    state: OrderState = OrderState.INTENDED
    filled: Decimal = ZERO
    trade_ids: frozenset[int] = frozenset()

    @classmethod
    def intended(cls, client_id: str, ticket: Ticket) -> Order:
        """The order as its ticket wants it, before anything is known of it."""
        return cls(
            client_id,
            ticket.symbol,
            ticket.side,
            ticket.quantity,
            ticket.reduce_only,
            ticket.stop_price,
            ticket.target_price,
        )

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.state in OPEN

    @property
    def remaining(self) -> Decimal:
        """What may still fill: 0 once it is final."""
        return self.quantity - self.filled if self.is_open else ZERO

    def after(self, happening: Happening) -> Order:
        """The order after something that moved no quantity."""
        check(
            happening not in {Happening.FILL, Happening.LAST_FILL},
            "a fill carries its trade: use traded()",
        )
        return attrs.evolve(self, state=TRANSITIONS[self.state, happening])

    def traded(self, trade: Trade) -> Order:
        """The order after one execution; one seen before changes nothing.

        Raises:
            Broken: the trade is not of this order, or fills more than was ordered.
        """
        check(trade.client_id == self.client_id, "a trade belongs to the order it names")
        if trade.trade_id in self.trade_ids:
            return self
        filled = self.filled + trade.quantity
        check(filled <= self.quantity, f"order {self.client_id} never fills more than was ordered")
        happening = Happening.LAST_FILL if filled == self.quantity else Happening.FILL
        return attrs.evolve(
            self,
            state=TRANSITIONS[self.state, happening],
            filled=filled,
            trade_ids=self.trade_ids | {trade.trade_id},
        )
