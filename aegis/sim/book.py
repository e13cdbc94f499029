"""The other side of every order: the market's quoted touch, and further levels behind it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count, islice

import attrs

from aegis.sim.amounts import ZERO
from aegis.sim.contract import Contract
from aegis.sim.order import Side

__all__ = ["Book", "Level", "Quote"]

Level = tuple[Decimal, Decimal]


@attrs.frozen
class Quote:
    """The best bid and ask with their sizes, as of an update of the book."""

    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    update_id: int = 0

    def touch(self, side: Side) -> Level:
        """Return (price, quantity) of the best bid for BUY, of the best ask for SELL."""
        if side is Side.BUY:
            return self.bid, self.bid_quantity
        return self.ask, self.ask_quantity


class Book:
    """One symbol's resting market interest, as a taker meets it.

    The touch is the market's last quote. Behind it stands a level on every tick, the k-th one worth k times the
    contract's `level_notional`: a recording of quotes knows no more, and the synthetic market shows the same levels.
    What own orders take is gone until the next quote; nothing else in the market reacts to them.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._quote: Quote | None = None
        self._taken = {Side.BUY: ZERO, Side.SELL: ZERO}

    @property
    def quote(self) -> Quote | None:
        """The last quote, or None before the first."""
        return self._quote

    @property
    def mid(self) -> Decimal | None:
        """The middle of the touch, which is the venue's mark price."""
        return (self._quote.bid + self._quote.ask) / 2 if self._quote else None

    def show(self, quote: Quote) -> None:
        """Replace the quote; the sizes in it are all there again."""
        self._quote = quote
        self._taken = {Side.BUY: ZERO, Side.SELL: ZERO}

    def levels(self, side: Side, depth: int) -> list[Level]:
        """Return the best `depth` levels of a side, best first, less what was taken."""
        return list(islice(self._left(side), depth))

    def size_at(self, side: Side, price: Decimal) -> Decimal:
        """Return the quantity quoted at a price, 0 ahead of the touch: the queue a new order there stands behind."""
        if self._quote is None:
            return ZERO
        touch, quantity = self._quote.touch(side)
        distance = (touch - price) * side.sign
        if distance > 0:
            return self._behind(price, distance // self._contract.tick)
        return ZERO if distance else quantity

    def left_at_touch(self, side: Side) -> Decimal:
        """Return what is left of the quoted size of a side's touch."""
        if self._quote is None:
            return ZERO
        return max(self._quote.touch(side)[1] - self._taken[side], ZERO)

    def reachable(self, taker: Side, limit: Decimal) -> Iterator[Level]:
        """Yield the levels a taker meets, best first, up to and including its limit price.

        The caller tells by `take`, after the walk, what it filled.
        """
        for price, quantity in self._left(taker.opposite):
            if (limit - price) * taker.sign < 0:
                return
            yield price, quantity

    def take(self, maker_side: Side, quantity: Decimal) -> None:
        """Remove quantity from the best levels of a side until the next quote."""
        self._taken[maker_side] += quantity

    def _left(self, side: Side) -> Iterator[Level]:
        taken = self._taken[side]
        for price, quantity in self._shown(side):
            gone = min(taken, quantity)
            taken -= gone
            if quantity > gone:
                yield price, quantity - gone

    def _shown(self, side: Side) -> Iterator[Level]:
        if self._quote is None:
            return
        touch, quantity = self._quote.touch(side)
        yield touch, quantity
        for distance in count(1):
            price = touch - side.sign * distance * self._contract.tick
            if price <= 0:
                return
            yield price, self._behind(price, Decimal(distance))

    def _behind(self, price: Decimal, ticks: Decimal) -> Decimal:
        """Return the size of the level so many ticks behind the touch: at least one step."""
        step = self._contract.step
        return max(step, ticks * self._contract.level_notional / price // step * step)
