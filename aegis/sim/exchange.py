"""The venue without its sockets: listings, one account, and what its owner is told. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Protocol

import attrs

from aegis.errors import Rejected
from aegis.sim import user_events
from aegis.sim.account import Account, Exposure
from aegis.sim.amounts import ZERO
from aegis.sim.book import Quote
from aegis.sim.contract import Contract
from aegis.sim.funding import IncomeKind, funding, next_funding_ms
from aegis.sim.listing import Listing
from aegis.sim.order import (
    Execution,
    ExpiryReason,
    NewOrder,
    Order,
    OrderType,
    Side,
    Trade,
)
from aegis.sim.rules import Situation, judge, market_collar

__all__ = ["Exchange", "Listener"]


class Listener(Protocol):
    """Who is told what happens."""

    def told(self, event: str, payload: bytes) -> None:
        """Take a user-data event for the account's owner."""

    def printed(self, trade: Trade) -> None:
        """Take a fill of an own order, for the public tape."""


class Exchange:
    """Every command and every market event goes through here, one at a time.

    What one of them does to the account is announced in the order of protocol §18.2: TRADE_LITE for each fill,
    ACCOUNT_UPDATE if anything was filled, then one ORDER_TRADE_UPDATE for each step, all with the same `T`.
    """

    def __init__(
        self, contracts: Iterable[Contract], starting_balance: Decimal, listener: Listener
    ) -> None:
        self.listings = {each.symbol: Listing(each) for each in contracts}
        self.account = Account(starting_balance)
        self.trades: list[Trade] = []
        self._listener = listener
        self._orders: dict[tuple[str, int], Order] = {}
        self._latest: dict[tuple[str, str], int] = {}  # (symbol, client id) -> its youngest order
        self._countdowns: dict[str, int] = {}
        self._funding_ms: int | None = None
        """When the next funding is due; None until the time is known."""

    # Commands of the account's owner

    def place(self, asked: NewOrder, now_ms: int) -> Order:
        """Accept and match an order.

        Returns:
            The order as it stands after matching.

        Raises:
            Rejected: with the code of the rule that it breaks; nothing has changed then.
        """
        listing = self.listing(asked.symbol)
        judge(asked, self._situation(listing, asked))
        listing.matcher.refuse_hopeless(asked)
        order = listing.matcher.admit(asked, now_ms)
        market = asked.type is OrderType.MARKET
        limit = market_collar(asked.side, listing.mark, listing.contract) if market else asked.price
        self._run(listing, listing.matcher.submit(order, limit, now_ms), now_ms)
        return self._orders[asked.symbol, order.id]

    def cancel(
        self, symbol: str, order_id: int | None, client_id: str | None, now_ms: int
    ) -> Order:
        """Cancel an open order, found by its id or else by its client id.

        Raises:
            Rejected: -2011 when no such order is open.
        """
        listing = self.listing(symbol)
        order = self._lookup(symbol, order_id, client_id)
        if order is None or not order.is_open:
            raise Rejected(-2011, "Unknown order sent.")
        self._run(listing, iter([listing.matcher.cancel(order.id, now_ms)]), now_ms)
        return self._orders[symbol, order.id]

    def cancel_all(self, symbol: str, now_ms: int) -> None:
        """Cancel every open order of a symbol."""
        listing = self.listing(symbol)
        ids = [order.id for order in listing.matcher.open_orders]
        self._run(listing, (listing.matcher.cancel(each, now_ms) for each in ids), now_ms)

    def arm_countdown(self, symbol: str, countdown_ms: int, now_ms: int) -> None:
        """Cancel all of a symbol's orders after so long, unless armed again before; 0 disarms (§11.7)."""
        self.listing(symbol)
        self._countdowns.pop(symbol, None)
        if countdown_ms:
            self._countdowns[symbol] = now_ms + countdown_ms

    def set_leverage(self, symbol: str, leverage: int, now_ms: int) -> None:
        """Change a symbol's leverage and tell of it."""
        self.account.set_leverage(symbol, leverage)
        event = user_events.account_config_update(symbol, leverage, now_ms)
        self._listener.told("ACCOUNT_CONFIG_UPDATE", event)

    # Events of the market and of time

    def quoted(self, symbol: str, quote: Quote, now_ms: int) -> None:
        """Take the market's next quote."""
        listing = self.listings[symbol]
        self._run(listing, listing.offer(quote, now_ms), now_ms)

    def traded(
        self, symbol: str, price: Decimal, quantity: Decimal, taker: Side, time_ms: int, now_ms: int
    ) -> None:
        """Take a trade between others in the market.

        Args:
            symbol: a listed one.
            price: of the trade.
            quantity: of the trade.
            taker: the side of the order that made it happen.
            time_ms: when the market says it was, for the candles.
            now_ms: the venue's time, for what it does to own orders.
        """
        listing = self.listings[symbol]
        listing.take_print(price, quantity, taker, time_ms)
        if listing.watching:
            self._run(listing, listing.matcher.traded(price, quantity, taker, now_ms), now_ms)

    def transferred(self, amount: Decimal, now_ms: int) -> None:
        """Take money that the owner brought, or took away where it is below zero."""
        self._receive(IncomeKind.TRANSFER, "", amount, now_ms)

    def fund(self, now_ms: int) -> None:
        """Have every open position pay, or be paid, where a funding has come due; only the last one after the clock was set."""
        due_ms = self._funding_ms
        self._funding_ms = next_funding_ms(now_ms)
        if due_ms is not None and now_ms >= due_ms:
            for symbol, mark in self.marks().items():
                amount = funding(self.account.position(symbol).quantity, mark)
                self._receive(IncomeKind.FUNDING_FEE, symbol, amount, now_ms)

    def tick(self, now_ms: int) -> None:
        """Do what has come due: dead-man countdowns."""
        for symbol, due_ms in list(self._countdowns.items()):
            if now_ms >= due_ms:
                del self._countdowns[symbol]
                self.cancel_all(symbol, now_ms)

    # Questions

    def listing(self, symbol: str) -> Listing:
        """Return a symbol's listing.

        Raises:
            Rejected: -1121 for a symbol that is not listed.
        """
        try:
            return self.listings[symbol]
        except KeyError:
            raise Rejected(-1121, "Invalid symbol.") from None

    def order(self, symbol: str, order_id: int | None, client_id: str | None) -> Order:
        """Return an order, open or not, by its id or else by its client id.

        Raises:
            Rejected: -2013 when there is none.
        """
        order = self._lookup(symbol, order_id, client_id)
        if order is None:
            raise Rejected(-2013, "Order does not exist.")
        return order

    @property
    def orders(self) -> Iterable[Order]:
        """Every order ever accepted, as it stands now."""
        return self._orders.values()

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the open orders of a symbol, or of all."""
        listings = self.listings.values() if symbol is None else [self.listing(symbol)]
        return [order for listing in listings for order in listing.matcher.open_orders]

    def marks(self) -> Mapping[str, Decimal]:
        """Return the mark price of every symbol that has a position."""
        held = self.account.positions.items()
        return {symbol: self.listings[symbol].mark for symbol, each in held if each.quantity}

    def exposures(self) -> Mapping[str, Exposure]:
        """Return what every symbol with a position or an open order ties up."""
        busy = [
            listing
            for symbol, listing in self.listings.items()
            if listing.watching or self.account.position(symbol).quantity
        ]
        return {each.contract.symbol: self._exposure(each) for each in busy}

    def spare_margin(self) -> Decimal:
        """Return the margin balance less what positions and open orders tie up; negative in distress."""
        tied = (each.position_margin + each.order_margin for each in self.exposures().values())
        return self.account.equity(self.marks()) - sum(tied, ZERO)

    # Inside

    def _receive(self, kind: IncomeKind, symbol: str, amount: Decimal, now_ms: int) -> None:
        income = self.account.receive(kind, symbol, amount, now_ms)
        event = user_events.balance_update(self.account, income)
        self._listener.told("ACCOUNT_UPDATE", event)

    def _lookup(self, symbol: str, order_id: int | None, client_id: str | None) -> Order | None:
        self.listing(symbol)
        if order_id is None:
            order_id = self._latest.get((symbol, client_id or ""))
        return self._orders.get((symbol, order_id)) if order_id is not None else None

    def _exposure(self, listing: Listing) -> Exposure:
        symbol = listing.contract.symbol
        return self.account.exposure(symbol, listing.mark, listing.matcher.open_orders)

    def _situation(self, listing: Listing, asked: NewOrder) -> Situation:
        return Situation(
            contract=listing.contract,
            mark=listing.mark,
            counter_price=listing.quote.touch(asked.side.opposite)[0],
            open_orders=listing.matcher.open_orders,
            open_client_ids={order.client_id for order in self.open_orders()},
            position=self.account.position(asked.symbol),
            exposure=self._exposure(listing),
            spare_margin=self.spare_margin(),
        )

    def _run(self, listing: Listing, executions: Iterator[Execution], now_ms: int) -> None:
        """Book each execution before the next is made, then announce them all."""
        done: list[Execution] = []
        for execution in executions:
            done.append(self._book(execution))
            if execution.trade is not None:
                done += map(self._book, self._knocked_out(listing, now_ms))
        if done:
            self._announce(listing, done, now_ms)

    def _book(self, execution: Execution) -> Execution:
        order = execution.order
        self._orders[order.asked.symbol, order.id] = order
        self._latest[order.asked.symbol, order.client_id] = order.id
        if execution.trade is None:
            return execution
        trade = self.account.book(execution.trade)
        self.trades.append(trade)
        return attrs.evolve(execution, trade=trade)

    def _knocked_out(self, listing: Listing, now_ms: int) -> Iterator[Execution]:
        """Expire the youngest reduce-only orders that a smaller position no longer covers (§16.7)."""
        position = self.account.position(listing.contract.symbol).quantity
        covered = {side: max(ZERO, -position * side.sign) for side in Side}
        for order in listing.matcher.open_orders:
            if order.asked.reduce_only:
                side = order.asked.side
                covered[side] -= order.remaining
                if covered[side] < 0:
                    covered[side] += order.remaining
                    yield listing.matcher.expire(order.id, ExpiryReason.REDUCE_ONLY, now_ms)

    def _announce(self, listing: Listing, done: list[Execution], now_ms: int) -> None:
        told = self._listener.told
        trades = [(each.order, each.trade) for each in done if each.trade is not None]
        for order, trade in trades:
            told("TRADE_LITE", user_events.trade_lite(order, trade, listing, now_ms))
        if trades:
            told("ACCOUNT_UPDATE", user_events.account_update(self.account, listing, now_ms))
        exposure = self._exposure(listing)
        for execution in done:
            event = user_events.order_trade_update(execution, listing, exposure, now_ms)
            told("ORDER_TRADE_UPDATE", event)
        for _, trade in trades:
            self._listener.printed(trade)
