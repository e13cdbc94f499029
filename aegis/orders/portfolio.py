"""The portfolio: the fold of our trades. One-way positions, exact to the last unit.

The arithmetic is the exchange's own (protocol §16.3): a trade that adds moves the average entry price, one that
reduces realises `quantity * (price - entry)` and leaves the entry, one that flips does both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import attrs

from aegis.errors import check
from aegis.orders.order import Trade
from aegis.orders.payment import LATE_MS, Payment

__all__ = ["WALLET_ASSET", "Portfolio", "Position"]

ZERO = Decimal(0)
WALLET_ASSET = "USDT"
"""The one asset whose balance is kept: margin and profit of all that is traded."""


@attrs.frozen
class Position:
    """One symbol's position: a signed quantity and what it cost on average."""

    quantity: Decimal = ZERO
    entry_price: Decimal = ZERO

    def after(self, change: Decimal, price: Decimal) -> tuple[Position, Decimal]:
        """The position after a signed change at a price, and the profit that the change realised."""
        held = self.quantity
        if held * change >= 0:  # opens or adds
            total = abs(held) + abs(change)
            cost = abs(held) * self.entry_price + abs(change) * price
            return Position(held + change, cost / total), ZERO
        closing = min(abs(held), abs(change))
        realised = closing * (price - self.entry_price) * (1 if held > 0 else -1)
        rest = held + change
        if rest == 0:
            return Position(), realised
        flipped = abs(change) > abs(held)
        return Position(rest, price if flipped else self.entry_price), realised

    def unrealised(self, mark: Decimal) -> Decimal:
        """The profit that closing at `mark` would realise."""
        return self.quantity * (mark - self.entry_price)


def is_kept(symbol: str) -> bool:
    """Whether a contract's profit is in the asset of the wallet: by its name, less the day on which it may expire."""
    return symbol.partition("_")[0].endswith(WALLET_ASSET)


@attrs.define
class Portfolio:
    """Positions, realised profit, fees and payments: mutable, but only by `book` and `pay`, and the same one is booked once."""

    wallet: Decimal = ZERO
    """The balance before unrealised profit, of the one asset that is kept."""
    realised: Decimal = ZERO
    """In that asset: a stranger's contract of another one moves its position here, and no money."""
    fees: Decimal = ZERO
    other_fees: dict[str, Decimal] = attrs.Factory(dict)
    """Those that were paid in another asset (BNB, for the discount), by asset: from another wallet."""
    paid: Decimal = ZERO
    """What came without a trade, less what went: funding, transfers."""
    positions: dict[str, Position] = attrs.Factory(dict)
    adopted_ms: int = -1
    """Exchange time of the account as it was adopted: earlier trades are in it already."""
    booked: set[tuple[str, int]] = attrs.Factory(set)
    """(symbol, trade id) of every trade in it: the exchange repeats itself after a reconnect."""
    payments: set[str] = attrs.Factory(set)
    """Ids of the payments in it, and of the last ones before it was adopted."""

    def book(self, trade: Trade) -> bool:
        """Add a trade; False when it was booked before."""
        key = (trade.symbol, trade.trade_id)
        if key in self.booked:
            return False
        check(trade.quantity > 0, "a trade moves a quantity above zero")
        check(trade.price > 0, "a trade has a price above zero")
        self.booked.add(key)
        if trade.event_ms <= self.adopted_ms:
            return True  # the order has it, and so had the account when it was adopted
        before = self.position(trade.symbol)
        after, realised = before.after(trade.signed_quantity, trade.price)
        self.positions[trade.symbol] = after
        if is_kept(trade.symbol):
            self.realised += realised
            self.wallet += realised
        if trade.fee_asset == WALLET_ASSET:
            self.fees += trade.fee
            self.wallet -= trade.fee
        else:
            paid = self.other_fees.get(trade.fee_asset, ZERO)
            self.other_fees[trade.fee_asset] = paid + trade.fee
        return True

    def pay(self, payment: Payment) -> bool:
        """Add a payment; False when it was booked before, or was in the account when that was adopted.

        One of a moment just before may not have been: then it was not known either.
        """
        if payment.payment_id in self.payments or payment.event_ms <= self.adopted_ms - LATE_MS:
            return False
        self.payments.add(payment.payment_id)
        self.paid += payment.amount
        self.wallet += payment.amount
        return True

    def adopt(
        self,
        wallet: Decimal,
        positions: Mapping[str, Position],
        at_ms: int,
        payments: Iterable[str] = (),
    ) -> None:
        """Begin anew with the account as the exchange shows it at a moment; profit, fees and payments count from here.

        `payments` are the ids of those that it told of then, from `LATE_MS` before on.
        """
        self.wallet, self.positions, self.adopted_ms = wallet, dict(positions), at_ms
        self.realised = self.fees = self.paid = ZERO
        self.other_fees.clear()
        self.booked.clear()
        self.payments = set(payments)

    def position(self, symbol: str) -> Position:
        """The position of a symbol; flat where there never was one."""
        return self.positions.get(symbol, Position())

    def open_positions(self) -> dict[str, Position]:
        """The positions that are not flat, by symbol."""
        return {s: p for s, p in sorted(self.positions.items()) if p.quantity != 0}

    def unrealised(self, marks: Mapping[str, Decimal]) -> Decimal:
        """The profit of closing everything at the given prices; a symbol without one counts 0."""
        held = self.open_positions()
        return sum((p.unrealised(marks[s]) for s, p in held.items() if s in marks), ZERO)
