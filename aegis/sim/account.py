"""The account: wallet, one-way positions, and what they tie up (protocol §16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import attrs

from aegis.sim.amounts import ZERO, truncated
from aegis.sim.funding import Income, IncomeKind
from aegis.sim.margin import MAKER_RATE, TAKER_RATE, fee, initial_margin, maintenance_margin
from aegis.sim.order import Order, Side, Trade

__all__ = ["DEFAULT_LEVERAGE", "MARGIN_ASSET", "Account", "Exposure", "Position"]

DEFAULT_LEVERAGE = 20
MARGIN_ASSET = "USDT"


@attrs.frozen
class Position:
    """One symbol's position: signed quantity, average entry, and what its closing fills have realised before fees."""

    quantity: Decimal = ZERO
    entry: Decimal = ZERO
    realised: Decimal = ZERO
    paid_rate: Decimal = (
        ZERO  # commission rate of the fill that opened it, for the break-even price
    )
    updated_ms: int = 0

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def break_even(self) -> Decimal:
        """The entry moved by the opening commission: up for a long, down for a short."""
        return self.entry * (1 + self.sign * self.paid_rate)

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the profit that closing at the mark price would realise."""
        return truncated(self.quantity * (mark - self.entry))

    def after(self, trade: Trade) -> tuple[Position, Decimal]:
        """Fold a trade in: increase, reduce or flip (§16.3).

        Returns:
            The new position, and the profit realised before the fee, cut to 8 decimals.
        """
        signed = trade.side.sign * trade.quantity
        rate = MAKER_RATE if trade.maker else TAKER_RATE
        total = self.quantity + signed
        if self.quantity * signed >= 0:
            entry = (abs(self.quantity) * self.entry + trade.quantity * trade.price) / abs(total)
            return Position(total, entry, self.realised, rate, trade.time_ms), ZERO
        closed = min(trade.quantity, abs(self.quantity))
        profit = truncated(closed * (trade.price - self.entry) * self.sign)
        realised = self.realised + profit
        if total * signed > 0:
            return Position(total, trade.price, realised, rate, trade.time_ms), profit
        entry = self.entry if total else ZERO
        return Position(total, entry, realised, self.paid_rate, trade.time_ms), profit


@attrs.frozen
class Exposure:
    """What one symbol ties up, at a mark price and with its open orders."""

    notional: Decimal  # signed
    bids: Decimal
    asks: Decimal
    leverage: int

    @property
    def worst(self) -> Decimal:
        """The largest notional that the position can become by its open orders."""
        return max(abs(self.notional + self.bids), abs(self.notional - self.asks))

    @property
    def position_margin(self) -> Decimal:
        """The initial margin of the position alone."""
        return initial_margin(abs(self.notional), self.leverage)

    @property
    def order_margin(self) -> Decimal:
        """The initial margin that the open orders add to it."""
        return initial_margin(self.worst, self.leverage) - self.position_margin

    @property
    def maintenance(self) -> Decimal:
        """The maintenance margin of the position."""
        return maintenance_margin(abs(self.notional))


class Account:
    """One cross-margin account in the quote asset."""

    def __init__(self, starting_balance: Decimal) -> None:
        self.starting_balance = starting_balance
        self.wallet = starting_balance
        self.incomes: list[Income] = []
        """What changed the wallet beside the trades."""
        self._positions: dict[str, Position] = {}
        self._leverage: dict[str, int] = {}

    @property
    def positions(self) -> Mapping[str, Position]:
        """Every symbol ever held, flat ones too."""
        return self._positions

    def position(self, symbol: str) -> Position:
        """Return a symbol's position, flat if it was never held."""
        return self._positions.get(symbol, Position())

    def leverage(self, symbol: str) -> int:
        """Return a symbol's leverage."""
        return self._leverage.get(symbol, DEFAULT_LEVERAGE)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set a symbol's leverage."""
        self._leverage[symbol] = leverage

    def book(self, trade: Trade) -> Trade:
        """Fold a trade into position and wallet.

        Returns:
            The trade with what it realised and what it cost: wallet' = wallet + realised - fee.
        """
        position, realised = self.position(trade.symbol).after(trade)
        cost = fee(trade.quantity, trade.price, maker=trade.maker)
        self._positions[trade.symbol] = position
        self.wallet += realised - cost
        return attrs.evolve(trade, realised=realised, fee=cost)

    def receive(self, kind: IncomeKind, symbol: str, amount: Decimal, now_ms: int) -> Income:
        """Take what no trade made into the wallet: below zero it is paid."""
        income = Income(len(self.incomes) + 1, kind, symbol, amount, now_ms)
        self.incomes.append(income)
        self.wallet += amount
        return income

    def exposure(self, symbol: str, mark: Decimal, orders: Iterable[Order]) -> Exposure:
        """Sum up a symbol; reduce-only orders tie up nothing."""
        bids = asks = ZERO
        for order in orders:
            worth = order.remaining * order.asked.price
            if not order.asked.reduce_only:
                bids += worth if order.asked.side is Side.BUY else ZERO
                asks += worth if order.asked.side is Side.SELL else ZERO
        notional = self.position(symbol).quantity * mark
        return Exposure(notional, bids, asks, self.leverage(symbol))

    def equity(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return the margin balance: wallet plus unrealised profit at these mark prices."""
        held = self._positions.items()
        return self.wallet + sum((p.unrealised(marks[s]) for s, p in held if p.quantity), ZERO)
