"""The ledger: every order and the portfolio, as the fold of what was written down.

The Executor applies events to it as they come; recovery applies the same events from the journal. So the state
after a restart is the state before it, and `fingerprint` shows whether two ledgers are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from decimal import Decimal

import attrs

from aegis.errors import check
from aegis.orders.instrument import Side
from aegis.orders.order import Order, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Portfolio, Position
from aegis.orders.states import Happening

__all__ = ["Ledger"]

ZERO = Decimal(0)


@attrs.define
class Ledger:
    """Orders by client id, and the portfolio that their trades made."""

    orders: dict[str, Order] = attrs.Factory(dict)
    portfolio: Portfolio = attrs.Factory(Portfolio)
    foreign: set[str] = attrs.field(factory=set, eq=False)
    """Symbols with a position that no order of ours has opened, adopted or made while we listened: nobody but its maker knows its
    stop."""
    _open: dict[str, Order] = attrs.field(factory=dict, init=False, eq=False)
    """Those that may still fill: asked for each second, beside all that there ever were."""

    def adopt(
        self,
        wallet: Decimal,
        positions: Mapping[str, Position],
        at_ms: int,
        payments: Iterable[str] = (),
    ) -> None:
        """Take the account as the exchange shows it: at the start of a run, before any trade of it."""
        self.foreign = {
            symbol
            for symbol, position in positions.items()
            if abs(position.quantity) > self._made(symbol, Side.of(position.quantity))
        }
        self.portfolio.adopt(wallet, positions, at_ms, payments)

    def _made(self, symbol: str, side: Side) -> Decimal:
        """How much of a position our own orders can have made: what is booked, and what may have filled unheard."""
        booked = self.portfolio.position(symbol).quantity * side.sign
        ours = ZERO if symbol in self.foreign else max(booked, ZERO)
        orders = (each for each in self.open_orders() if (each.symbol, each.side) == (symbol, side))
        return ours + sum((each.remaining for each in orders), ZERO)

    def unguarded(self, symbols: Container[str]) -> dict[str, str]:
        """What is held and nobody watches in a run of these symbols, and why: neither a stop nor the end of the run closes it."""
        foreign = dict.fromkeys(self.foreign, "no order of this journal made it")
        held = self.portfolio.open_positions()
        strange = (symbol for symbol in held if symbol not in symbols)
        why = dict.fromkeys(strange, "it is none of the run's symbols")
        return dict(sorted((foreign | why).items()))

    def intend(self, order: Order) -> None:
        """Add an order that is about to be sent."""
        check(order.client_id not in self.orders, "a client order id is used once")
        self._put(order)

    def happened(self, client_id: str, happening: Happening) -> bool:
        """Apply what moved no quantity; False when it changed nothing."""
        before = self.orders[client_id]
        after = before.after(happening)
        self._put(after)
        return after != before

    def traded(self, trade: Trade) -> bool:
        """Book a trade, whoever's order it was (a liquidation has no order of ours); False when seen before."""
        before = self.portfolio.position(trade.symbol).quantity
        if not self.portfolio.book(trade):
            return False
        after = self.portfolio.position(trade.symbol).quantity
        if (
            before * after <= 0
        ):  # it is opened, closed or turned: what is there now is of this order
            if after and trade.client_id not in self.orders:
                self.foreign.add(trade.symbol)
            else:
                self.foreign.discard(trade.symbol)
        order = self.orders.get(trade.client_id)
        if order is not None:
            self._put(order.traded(trade))
        return True

    def paid(self, payment: Payment) -> bool:
        """Book a payment; False when seen before."""
        return self.portfolio.pay(payment)

    def _put(self, order: Order) -> None:
        self.orders[order.client_id] = order
        if order.is_open:
            self._open[order.client_id] = order
        else:
            self._open.pop(order.client_id, None)

    def open_orders(self) -> list[Order]:
        """The orders that may still fill, those first that have been open for longest."""
        return list(self._open.values())

    def signed_remaining(self, client_id: str) -> Decimal:
        """What an order may still add to the position."""
        order = self.orders.get(client_id)
        return order.remaining * order.side.sign if order is not None else ZERO

    def fingerprint(self) -> str:
        """A digest of the whole state: equal for equal ledgers, in every process."""
        digest = hashlib.sha256()
        for client_id, order in sorted(self.orders.items()):
            trades = ",".join(map(str, sorted(order.trade_ids)))
            line = f"{client_id} {order.state.value} {order.filled.normalize()} {trades}\n"
            digest.update(line.encode())
        for symbol, position in self.portfolio.open_positions().items():
            line = f"{symbol} {position.quantity.normalize()} {position.entry_price.normalize()}\n"
            digest.update(line.encode())
        money = (
            self.portfolio.wallet,
            self.portfolio.realised,
            self.portfolio.fees,
            self.portfolio.paid,
        )
        digest.update(" ".join(str(amount.normalize()) for amount in money).encode())
        return digest.hexdigest()
