"""The order book as the public sees it: its levels, their changes as a stream, and snapshots (protocol §5).

Ids are counted once for the whole venue, so those of one symbol jump: an event's `U` is the first id since the one
before it that touched the symbol, and only its `pu` says that nothing lies between the two.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple, Protocol

import attrs
import msgspec

from aegis.errors import Rejected
from aegis.sim.book import Book, Quote
from aegis.sim.contract import Contract
from aegis.sim.tape import TapeWriter, fixed_point

__all__ = [
    "SPEEDS_MS",
    "DepthTape",
    "PublicBook",
    "QuotedBook",
    "RecordedBook",
    "Shown",
    "depth_stream",
]

VISIBLE: Final = 100
"""Levels of a side that the public sees of a book that is made from its quote; a taker finds more behind them."""
SPEEDS_MS: Final = (10, 100, 250, 500)
"""How often a stream gathers changes; the first stands for `@0ms`, as the synthetic market moves in steps of 10 ms."""

_WAITING: Final = 1000  # recorded changes that are kept for the snapshot behind which they belong

Rows = list[tuple[str, str]]
Levels = Mapping[int, int]
"""Price in ticks to quantity in steps."""


def depth_stream(name: str, speed_ms: int) -> str:
    """The stream's name, from the symbol in lower case: 250 ms is what goes without saying."""
    if speed_ms == 250:
        return f"{name}@depth"
    return f"{name}@depth@{0 if speed_ms == SPEEDS_MS[0] else speed_ms}ms"


@attrs.frozen
class Shown:
    """A book as of an id: both sides, best first, as text."""

    update_id: int
    bids: Rows
    asks: Rows


class PublicBook(Protocol):
    """What snapshots are taken of."""

    def show(self, limit: int) -> Shown:
        """The best levels of each side.

        Raises:
            Rejected: -1112 while there is none.
        """


class QuotedBook:
    """A book made from its quote: the touch, and behind it a level on every tick, as takers meet them.

    It is the market's own: what own orders take of it is gone for takers, and shows with the next quote.
    """

    def __init__(self, contract: Contract, book: Book) -> None:
        self._contract = contract
        self._book = book
        worth = Fraction(contract.level_notional) / (
            Fraction(contract.tick) * Fraction(contract.step)
        )
        self._worth = worth.numerator, worth.denominator
        self._price, self._quantity = fixed_point(contract.tick), fixed_point(contract.step)

    def show(self, limit: int) -> Shown:
        """See `PublicBook`."""
        quote = self._book.quote
        if quote is None:
            raise Rejected(-1112, "No orders on book for symbol.")
        bids, asks = self.levels(quote)
        return Shown(quote.update_id, self._rows(bids, limit), self._rows(asks, limit))

    def levels(self, quote: Quote) -> tuple[Levels, Levels]:
        """Both sides at a quote, best first."""
        tick, step = self._contract.tick, self._contract.step
        return (
            self._side(int(quote.bid / tick), int(quote.bid_quantity / step), -1),
            self._side(int(quote.ask / tick), int(quote.ask_quantity / step), 1),
        )

    def _side(self, touch: int, steps: int, away: int) -> Levels:
        worth, over = self._worth
        levels = {touch: steps}
        for distance in range(1, VISIBLE):
            price = touch + away * distance
            if price <= 0:
                break
            levels[price] = max(1, distance * worth // (over * price))
        return levels

    def _rows(self, levels: Levels, limit: int) -> Rows:
        rows = list(levels.items())[:limit]
        return [(self._price(price), self._quantity(steps)) for price, steps in rows]


@attrs.define
class _Span:
    """Between which prices the touch of a side has been since the last event, in ticks."""

    low: int
    high: int

    def reach(self, touch: int) -> None:
        """The touch is there now."""
        self.low, self.high = min(self.low, touch), max(self.high, touch)


class DepthTape:
    """One depth stream of a symbol: every level that has changed since its last event, if only for a while.

    A snapshot may have been taken in between, and its reader has to hear of levels that came and went. What nobody
    hears is not written down; the first event after that holds all that has changed meanwhile.

    Args:
        contract: the symbol's.
        book: whose levels these are.
        quote: the book's, from which on changes are told.
    """

    def __init__(self, contract: Contract, book: QuotedBook, quote: Quote) -> None:
        self._writer = TapeWriter(contract)
        self._book = book
        self._last_id = self._first_id = quote.update_id
        bids, asks = book.levels(quote)
        self._bids, self._asks = _at_touch(bids), _at_touch(asks)

    def saw(self, update_id: int, bid: int, ask: int) -> None:
        """Take a quote, its prices in ticks."""
        if self._first_id == self._last_id:
            self._first_id = update_id
        self._bids.reach(bid)
        self._asks.reach(ask)

    def event(self, quote: Quote, now_ms: int) -> bytes | None:
        """The next event, up to a quote, which was the last to be seen; None where nothing has happened."""
        if quote.update_id == self._last_id:
            return None
        bids, asks = self._book.levels(quote)
        low, high = self._bids.low - VISIBLE + 1, self._asks.high + VISIBLE - 1
        ids = self._first_id, quote.update_id, self._last_id
        payload = self._writer.depth_update(
            ids,
            _changes(self._bids, bids, low, self._bids.high),
            _changes(self._asks, asks, self._asks.low, high),
            now_ms,
        )
        self._bids, self._asks = _at_touch(bids), _at_touch(asks)
        self._last_id = self._first_id = quote.update_id
        return payload


def _at_touch(levels: Levels) -> _Span:
    touch = next(iter(levels))
    return _Span(touch, touch)


def _changes(touched: _Span, now: Levels, lowest: int, highest: int) -> list[tuple[int, int]]:
    """The levels of a side that have changed, by price; one that is gone has no steps.

    What stands behind the touch depends on the touch alone: where that has not moved, its own size is all.
    """
    if touched.low == touched.high:
        return [(touched.low, now[touched.low])]
    return [(price, now.get(price, 0)) for price in range(max(1, lowest), highest + 1)]


class _Change(NamedTuple):
    """A recorded change."""

    previous_id: int
    last_id: int
    bids: Rows
    asks: Rows


class _Recorded(msgspec.Struct):
    u: int
    pu: int
    b: Rows
    a: Rows


class _Snapshot(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: Rows
    asks: Rows


_LEVEL: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)


def _are_levels(*sides: Rows) -> bool:
    """Whether prices and quantities are numbers that an exchange writes: nothing else may be in a book."""
    return all(_LEVEL.fullmatch(text) for side in sides for level in side for text in level)


_recorded: Final = msgspec.json.Decoder(_Recorded).decode
_snapshot: Final = msgspec.json.Decoder(_Snapshot).decode


class RecordedBook:
    """A book made from recorded changes, once a recorded snapshot has come; what is no change of it is left out.

    Behind what the snapshot showed it holds what has changed since.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Change] = deque(maxlen=_WAITING)
        self._update_id = 0
        self._sides: tuple[dict[Decimal, tuple[str, str]], ...] = ({}, {})

    def change(self, payload: msgspec.Raw) -> bool:
        """Take a depthUpdate; False for what is none, or has a level that is none."""
        try:
            found = _recorded(payload)
        except (msgspec.DecodeError, RecursionError):
            return False
        if not _are_levels(found.b, found.a):
            return False
        change = _Change(found.pu, found.u, found.b, found.a)
        if self._update_id:
            self._apply(change)
        else:
            self._waiting.append(change)
        return True

    def begin(self, payload: bytes) -> bool:
        """Take a snapshot as REST gave it, and the changes behind it; only the first one counts. False for what is none."""
        try:
            found = _snapshot(payload)
        except (msgspec.DecodeError, RecursionError):
            return False
        if not _are_levels(found.bids, found.asks):
            return False
        if not self._update_id:
            self._put(found.bids, found.asks)
            self._update_id = found.last_update_id
            for change in self._waiting:
                self._apply(change)
        self._waiting.clear()
        return True

    def show(self, limit: int) -> Shown:
        """See `PublicBook`."""
        if not self._update_id:
            raise Rejected(-1112, "No orders on book for symbol.")
        bids, asks = self._sides
        best = sorted(bids, reverse=True)[:limit], sorted(asks)[:limit]
        return Shown(
            self._update_id, [bids[price] for price in best[0]], [asks[price] for price in best[1]]
        )

    def _apply(self, change: _Change) -> None:
        if change.last_id > self._update_id:
            self._put(change.bids, change.asks)
            self._update_id = change.last_id

    def _put(self, *rows: Iterable[tuple[str, str]]) -> None:
        for side, changed in zip(self._sides, rows, strict=True):
            for price, quantity in changed:
                if float(quantity):
                    side[Decimal(price)] = (price, quantity)
                else:
                    side.pop(Decimal(price), None)
