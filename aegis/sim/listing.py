"""One symbol as the venue runs it: contract, matcher, candles, and the market's last quote."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from aegis.errors import Rejected
from aegis.sim.book import Book, Quote
from aegis.sim.candles import Candles
from aegis.sim.contract import Contract
from aegis.sim.depth import PublicBook, QuotedBook
from aegis.sim.matching import Matcher
from aegis.sim.order import Execution, Side
from aegis.sim.sequence import Sequence

__all__ = ["Listing"]


class Listing:
    """Holds what belongs to one symbol."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.trade_ids = Sequence()
        self.aggregate_ids = Sequence()
        self.matcher = Matcher(contract, self.trade_ids)
        self.candles = Candles(contract)
        self.quoted_book = QuotedBook(contract, self.matcher.book)
        self.public_book: PublicBook = self.quoted_book
        """What depth snapshots show: made from the quote, or recorded."""

    @property
    def watching(self) -> bool:
        """Whether an open order waits for the market."""
        return self.matcher.waiting

    @property
    def book(self) -> Book:
        """The book at the market's last quote."""
        return self.matcher.book

    @property
    def mark(self) -> Decimal:
        """The mark price: the middle of the touch, or the typical price before the first quote."""
        mid = self.book.mid
        return self.contract.typical_price if mid is None else mid

    @property
    def quote(self) -> Quote:
        """The market's last quote.

        Raises:
            Rejected: -1112 before the first.
        """
        quote = self.book.quote
        if quote is None:
            raise Rejected(-1112, "No orders on book for symbol.")
        return quote

    def offer(self, quote: Quote, now_ms: int) -> Iterator[Execution]:
        """Take the market's next quote; only an open order gives it work to do."""
        if self.watching:
            return self.matcher.quoted(quote, now_ms)
        self.book.show(quote)
        return iter(())

    def take_print(self, price: Decimal, quantity: Decimal, taker: Side, time_ms: int) -> None:
        """Take a trade of the public tape into the candles."""
        ticks, steps = int(price / self.contract.tick), int(quantity / self.contract.step)
        self.candles.traded(time_ms, ticks, steps, taker_buys=taker is Side.BUY)
