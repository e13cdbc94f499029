"""The matching engine of one symbol: pure, no clock, no sockets."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count

import attrs

from aegis.errors import Rejected, check
from aegis.sim.amounts import ZERO
from aegis.sim.book import Book, Quote
from aegis.sim.contract import Contract
from aegis.sim.order import (
    Execution,
    ExpiryReason,
    NewOrder,
    Order,
    OrderType,
    SelfTrade,
    Side,
    Status,
    Step,
    TimeInForce,
    Trade,
    automatic_client_id,
)
from aegis.sim.sequence import Sequence

__all__ = ["Matcher"]


@attrs.define
class _Resting:
    """An open order in the book and the market quantity that stands before it at its price."""

    order: Order
    ahead: Decimal

    def see(self, quote: Quote) -> None:
        """Shorten the queue ahead to what is quoted at the order's price, if the touch is there or has retired."""
        touch, size = quote.touch(self.order.asked.side)
        better = (self.order.asked.price - touch) * self.order.asked.side.sign
        if better >= 0:
            self.ahead = ZERO if better else min(self.ahead, size)


class Matcher:
    """Own orders of one symbol against the market's book.

    A taker fills at the touch for the touch's size, then walks the levels behind it, one trade a level.

    A resting order fills by this queue rule. When it comes to rest, the size quoted at its price stands ahead of it;
    at a better price than the touch, nothing does. A market trade at its price eats what is ahead first, then the
    order; a trade beyond its price fills it, either for no more than the trade's own quantity. The queue ahead never
    grows: it shrinks to what is quoted when less is quoted at its price, and vanishes when the touch retires behind
    it. When the opposite quote reaches or crosses its price, the order fills at its own price, for no more than the
    quoted size. Own orders are served by price, then by age, and never meet each other: see `SelfTrade`.

    Every method that can fill something is an iterator: the caller books each execution before the next one is made,
    so that what an execution changes (a reduce-only order knocked out by it) holds for the next.
    """

    def __init__(self, contract: Contract, trade_ids: Sequence, first_order_id: int = 1) -> None:
        self.contract = contract
        self.book = Book(contract)
        self._trade_ids = trade_ids
        self._order_ids = count(first_order_id)
        self._resting: dict[int, _Resting] = {}

    @property
    def open_orders(self) -> list[Order]:
        """The open orders, oldest first."""
        return [each.order for each in self._resting.values()]

    @property
    def waiting(self) -> bool:
        """Whether any order is open."""
        return bool(self._resting)

    def admit(self, asked: NewOrder, now_ms: int) -> Order:
        """Give an order its id, and a client id if it came without one."""
        order_id = next(self._order_ids)
        client_id = asked.client_id or automatic_client_id(asked.symbol, order_id)
        return Order(order_id, asked, client_id, now_ms, now_ms)

    def refuse_hopeless(self, asked: NewOrder) -> None:
        """Turn down what never enters the book: a FOK that cannot fill, a GTX that would take.

        Raises:
            Rejected: -5021 or -5022; such an order leaves no event and no history.
        """
        if asked.time_in_force is TimeInForce.GTX and self._takes(asked):
            raise Rejected(
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected."
                " The order will not be recorded in the order history.",
            )
        if asked.time_in_force is TimeInForce.FOK and not self._fills_whole(asked):
            raise Rejected(
                -5021,
                "Due to the order could not be filled immediately, the FOK order has been rejected."
                " The order will not be recorded in the order history.",
            )

    def submit(self, order: Order, limit: Decimal, now_ms: int) -> Iterator[Execution]:
        """Match a new order, then rest or expire what remains of it.

        Args:
            order: fresh from `admit`.
            limit: the worst price it may reach: its own, or the collar of a MARKET order (§11.1).
            now_ms: the trade time of what happens.
        """
        yield Execution(Step.NEW, order)
        met = self._met(order.asked, limit)
        stops = bool(met) and order.asked.self_trade is not SelfTrade.EXPIRE_MAKER
        if stops:
            limit = met[0].asked.price - order.asked.side.sign * self.contract.tick
        for own in met if order.asked.self_trade is SelfTrade.EXPIRE_MAKER else met[:1]:
            if order.asked.self_trade is not SelfTrade.EXPIRE_TAKER:
                yield self.expire(own.id, ExpiryReason.SELF_TRADE, now_ms)
        for price, available in self.book.reachable(order.asked.side, limit):
            order, execution = self._fill(order, min(available, order.remaining), price, now_ms)
            yield execution
            if not order.is_open:
                break
        self.book.take(order.asked.side.opposite, order.executed)
        yield from self._settle(order, now_ms, self_trade=stops)

    def cancel(self, order_id: int, now_ms: int) -> Execution:
        """Take an open order out at its owner's wish."""
        order = self._resting.pop(order_id).order.ended(Status.CANCELED, now_ms)
        return Execution(Step.CANCELED, order)

    def expire(self, order_id: int, reason: ExpiryReason, now_ms: int) -> Execution:
        """Take an open order out by a rule of the venue."""
        return _expired(self._resting.pop(order_id).order, reason, now_ms)

    def quoted(self, quote: Quote, now_ms: int) -> Iterator[Execution]:
        """Take a new quote from the market: fill what it reaches, shorten the queues it shows to be shorter."""
        self.book.show(quote)
        for resting in self._queue(Side.BUY) + self._queue(Side.SELL):
            order = resting.order
            if order.id not in self._resting:
                continue
            side = order.asked.side
            if (order.asked.price - quote.touch(side.opposite)[0]) * side.sign < 0:
                resting.see(quote)
                continue
            quantity = min(order.remaining, self.book.left_at_touch(side.opposite))
            if quantity:
                self.book.take(side.opposite, quantity)
                yield self._fill_resting(resting, quantity, now_ms)

    def traded(
        self, price: Decimal, quantity: Decimal, taker: Side, now_ms: int
    ) -> Iterator[Execution]:
        """Take a trade of the market: it fills what it went through and eats the queue at its price."""
        left, eaten = quantity, ZERO
        for resting in self._queue(taker.opposite):
            order = resting.order
            beyond = (order.asked.price - price) * order.asked.side.sign
            if beyond < 0:
                return
            if order.id not in self._resting:
                continue
            if not beyond:
                bite = min(max(resting.ahead - eaten, ZERO), left)
                eaten, left = eaten + bite, left - bite
                resting.ahead = max(resting.ahead - eaten, ZERO)
            filled = min(left, order.remaining)
            if filled:
                left -= filled
                yield self._fill_resting(resting, filled, now_ms)

    def _queue(self, side: Side) -> list[_Resting]:
        """List the open orders of a side by price, then by age."""
        mine = [each for each in self._resting.values() if each.order.asked.side is side]
        return sorted(mine, key=lambda each: -side.sign * each.order.asked.price)

    def _takes(self, asked: NewOrder) -> bool:
        return next(self.book.reachable(asked.side, asked.price), None) is not None

    def _fills_whole(self, asked: NewOrder) -> bool:
        wanted = asked.quantity
        for _, available in self.book.reachable(asked.side, asked.price):
            wanted -= available
            if wanted <= 0:
                return True
        return False

    def _met(self, asked: NewOrder, limit: Decimal) -> list[Order]:
        """List the own orders that a taker would run into, best first; none where §11.4 does not apply."""
        if asked.self_trade is SelfTrade.NONE or asked.time_in_force in {
            TimeInForce.FOK,
            TimeInForce.GTX,
        }:
            return []
        reach, wanted = limit, asked.quantity
        for price, available in self.book.reachable(asked.side, limit):
            wanted -= available
            if wanted <= 0:
                reach = price
                break
        others = [each.order for each in self._queue(asked.side.opposite)]
        return [own for own in others if (reach - own.asked.price) * asked.side.sign >= 0]

    def _fill(
        self, order: Order, quantity: Decimal, price: Decimal, now_ms: int, *, maker: bool = False
    ) -> tuple[Order, Execution]:
        check(quantity > 0, f"order {order.id} fills a positive quantity")
        check(quantity <= order.remaining, f"order {order.id} fills no more than it asked for")
        asked, trade_id = order.asked, self._trade_ids.take()
        trade = Trade(
            trade_id, order.id, asked.symbol, asked.side, price, quantity, maker, time_ms=now_ms
        )
        order = order.filled(quantity, price, now_ms)
        return order, Execution(Step.TRADE, order, trade)

    def _fill_resting(self, resting: _Resting, quantity: Decimal, now_ms: int) -> Execution:
        resting.ahead = ZERO
        price = resting.order.asked.price
        resting.order, execution = self._fill(resting.order, quantity, price, now_ms, maker=True)
        if not resting.order.is_open:
            del self._resting[resting.order.id]
        return execution

    def _settle(self, order: Order, now_ms: int, *, self_trade: bool) -> Iterator[Execution]:
        """Decide what becomes of a taker's remainder."""
        ioc = order.asked.time_in_force is TimeInForce.IOC
        if not order.is_open:
            return
        if self_trade:
            reason = ExpiryReason.IOC_SELF_TRADE if ioc else ExpiryReason.SELF_TRADE
            yield _expired(order, reason, now_ms)
        elif order.asked.type is OrderType.MARKET:
            yield _expired(order, ExpiryReason.MARKET_REMAINDER, now_ms)
        elif ioc:
            yield _expired(order, ExpiryReason.IOC_REMAINDER, now_ms)
        else:
            ahead = self.book.size_at(order.asked.side, order.asked.price)
            self._resting[order.id] = _Resting(order, ahead)


def _expired(order: Order, reason: ExpiryReason, now_ms: int) -> Execution:
    in_match = reason in {ExpiryReason.SELF_TRADE, ExpiryReason.IOC_SELF_TRADE}
    status = Status.EXPIRED_IN_MATCH if in_match else Status.EXPIRED
    return Execution(Step.EXPIRED, order.ended(status, now_ms, reason))
