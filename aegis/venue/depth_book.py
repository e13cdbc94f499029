"""The order book of a symbol as the feed's compiled code keeps it up: a DEPTH_BOOK, known by its address.

A book is *in step* while every change that has come is in it, and only then may it be changed here. A change that
does not follow, and a fault, take it out of step at once: its row on the board says that it is not valid, and the
synchronisation (`aegis.venue.book_sync`) decides what becomes of it.

Changes follow each other by ids: each names the last id of the one before it (`pu`, protocol §5). Where a quote and
a book have the same id, they show the same best levels, or the book is wrong.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from aegis.compiled import compiled
from aegis.market.book import BOOK, change, is_thin, load, show
from aegis.market.book_top import BOOK_TOP, PRICE_ONE
from aegis.market.records import TICK
from aegis.memory import record_at
from aegis.shm.seqlock import write_row

__all__ = [
    "BOOK_BYTES",
    "CHANGE_LEVELS_MAX",
    "DEPTH_BOOK",
    "NO_BOOKS",
    "SHELF",
    "Fault",
    "Order",
    "apply_change",
    "book_of",
    "is_book_thin",
    "is_in_step",
    "levels_of",
    "load_snapshot",
    "order_of",
    "publish",
    "repeat",
    "see_quote",
    "step_out",
    "take_change",
]

CHANGE_LEVELS_MAX: Final = 4096
"""Levels of one change that fit the memory between reading and taking it."""
NO_BOOKS: Final = 0
"""In place of the books' address: no change of a book is taken."""
_QUOTES: Final = 64
"""Quotes that are kept for the change with the same id: changes come up to half a second later."""
_NS_PER_MS: Final = 1_000_000
_ONE: Final = np.float64(PRICE_ONE)


class Order(IntEnum):
    """How a change stands to what its book holds."""

    FOLLOWS = 0
    """It is the next one."""
    REPEATED = 1
    """All of it is in the book already."""
    AHEAD = 2
    """Something is missing between them."""


class Fault(IntEnum):
    """What is wrong with a book though every change has come."""

    NONE = 0
    UNSOUND = 1
    """Its best bid is not below its best ask, or a side has run out of what is known of it."""
    MISMATCH = 2
    """Its best levels are not those of the quote with the same id."""


_QUOTE: Final = np.dtype(
    [
        ("update_id", "<i8"),
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
    ]
)
DEPTH_BOOK: Final = np.dtype(
    [
        ("row", "<i8"),  # where its row of the board is; 0: it has none
        ("in_step", "<i8"),
        ("fault", "<i8"),
        ("match_ms", "<i8"),  # when the last change happened; -1 where that is not known
        ("changes", "<i8"),  # that were taken
        ("repeats", "<i8"),  # that were dropped
        ("agreements", "<i8"),  # quotes with the same id and the same best levels
        ("quotes_seen", "<i8"),
        ("quotes", _QUOTE, (_QUOTES,)),  # the last ones, by their number modulo _QUOTES
        ("top", BOOK_TOP),  # what its row of the board says; `update_id` is the book's
        ("book", BOOK),
    ]
)
SHELF: Final = np.dtype([("books", "<i8"), ("levels", "<i8")])
"""What the lanes are given the address of: where the books are, and the memory for the levels of one change."""

_FOLLOWS: Final = int(Order.FOLLOWS)
_REPEATED: Final = int(Order.REPEATED)
_AHEAD: Final = int(Order.AHEAD)
_SOUND: Final = int(Fault.NONE)
_UNSOUND: Final = int(Fault.UNSOUND)
_MISMATCH: Final = int(Fault.MISMATCH)
BOOK_BYTES: Final = DEPTH_BOOK.itemsize
_TOP_BYTES: Final = BOOK_TOP.itemsize
_TOP: Final = int(DEPTH_BOOK.fields["top"][1]) if DEPTH_BOOK.fields else 0
_BOOK: Final = int(DEPTH_BOOK.fields["book"][1]) if DEPTH_BOOK.fields else 0

_shelf_at: Final = record_at(SHELF)
_depth_book_at: Final = record_at(DEPTH_BOOK)
_tick_at: Final = record_at(TICK)


@compiled("int64(int64, int64)", late=True)
def book_of(shelf: int, symbol: int) -> int:
    """The address of a symbol's DEPTH_BOOK."""
    return _shelf_at(shelf).books + symbol * BOOK_BYTES  # type: ignore[no-any-return]


@compiled("int64(int64)", late=True)
def levels_of(shelf: int) -> int:
    """The address of the memory for CHANGE_LEVELS_MAX levels."""
    return _shelf_at(shelf).levels  # type: ignore[no-any-return]


@compiled("int64(int64, int64, int64, int64)", late=True)
def order_of(at: int, previous_id: int, last_id: int, match_ms: int) -> int:
    """How a change stands to a book: an `Order`.

    An id that is not above the book's, at a later time, is no repetition: the exchange has begun to count anew.
    """
    book = _depth_book_at(at)
    update_id = book.top.update_id
    if previous_id == update_id and last_id >= previous_id:
        return _FOLLOWS
    if last_id <= update_id and (match_ms <= book.match_ms or book.match_ms < 0):
        return _REPEATED
    return _AHEAD


@compiled("void(int64, int64)", late=True)
def publish(at: int, valid: int) -> None:
    """Write a book's row of the board."""
    book = _depth_book_at(at)
    book.top.valid = valid
    if valid:
        show(at + _BOOK, at + _TOP)
    if book.row != 0:
        write_row(book.row, at + _TOP, _TOP_BYTES)


@compiled("void(int64)", late=True)
def step_out(at: int) -> None:
    """Take a book out of step: it may lack something from here on."""
    book = _depth_book_at(at)
    if book.in_step != 0:
        book.in_step = 0
        publish(at, 0)


@compiled("boolean(int64)", late=True)
def is_in_step(at: int) -> bool:
    """Whether every change that has come is in a book."""
    return _depth_book_at(at).in_step != 0  # type: ignore[no-any-return]


@compiled("void(int64)", late=True)
def repeat(at: int) -> None:
    """Count a change that is dropped, as it is in the book already."""
    _depth_book_at(at).repeats += 1


@compiled("boolean(int64, int64)", late=True)
def _agrees(at: int, number: int) -> bool:
    """Whether a book has the best levels of a quote, given by its number."""
    book = _depth_book_at(at)
    quote = book.quotes[number % _QUOTES]
    bids, asks = book.book.bids, book.book.asks
    bid, ask = bids.count - 1, asks.count - 1
    if bid < 0 or ask < 0:
        return False
    prices = bids.keys[bid] / _ONE == quote.bid and -asks.keys[ask] / _ONE == quote.ask
    sizes = bids.quantities[bid] == quote.bid_size and asks.quantities[ask] == quote.ask_size
    return prices and sizes  # type: ignore[no-any-return]


@compiled("int64(int64)", late=True)
def _fault_of(at: int) -> int:
    """Compare a book with the quote of the same id, if that has been seen."""
    book = _depth_book_at(at)
    update_id = book.top.update_id
    number = book.quotes_seen - 1
    oldest = max(0, book.quotes_seen - _QUOTES)
    while number >= oldest and book.quotes[number % _QUOTES].update_id > update_id:
        number -= 1
    if number < oldest or book.quotes[number % _QUOTES].update_id != update_id:
        return _SOUND
    if not _agrees(at, number):
        return _MISMATCH
    book.agreements += 1
    return _SOUND


@compiled("int64(int64, int64, int64, int64, int64, int64)", late=True)
def apply_change(at: int, levels: int, bids: int, asks: int, last_id: int, match_ms: int) -> int:
    """Take a change into a book, whatever came before it: a `Fault`.

    Args:
        at: the address of a DEPTH_BOOK.
        levels: the address of so many LEVEL records, first those of the bids.
        bids: how many.
        asks: how many.
        last_id: of the change.
        match_ms: when it happened, ms since the epoch.
    """
    book = _depth_book_at(at)
    holds = change(at + _BOOK, levels, bids, asks)
    book.top.update_id = last_id
    book.top.event_ns = match_ms * _NS_PER_MS
    book.match_ms = match_ms
    book.changes += 1
    book.fault = _fault_of(at) if holds else _UNSOUND
    return book.fault  # type: ignore[no-any-return]


@compiled("int64(int64, int64, int64, int64, int64, int64)", late=True)
def take_change(at: int, levels: int, bids: int, asks: int, last_id: int, match_ms: int) -> int:
    """Apply the next change of a book that is in step and publish it, or take it out of step: a `Fault`."""
    fault = apply_change(at, levels, bids, asks, last_id, match_ms)
    if fault == _SOUND:
        publish(at, 1)
    else:
        step_out(at)
    return fault


@compiled("void(int64, int64, int64)", late=True)
def see_quote(at: int, tick: int, update_id: int) -> None:
    """Keep the quote in a TICK for the book with the same id; a book that has it now and differs is out of step."""
    book, seen = _depth_book_at(at), _tick_at(tick)
    if update_id <= 0 or (
        book.quotes_seen > 0
        and update_id <= book.quotes[(book.quotes_seen - 1) % _QUOTES].update_id
    ):
        return
    quote = book.quotes[book.quotes_seen % _QUOTES]
    quote.update_id = update_id
    quote.bid = seen.bid
    quote.ask = seen.ask
    quote.bid_size = seen.bid_size
    quote.ask_size = seen.ask_size
    book.quotes_seen += 1
    if book.in_step != 0 and update_id == book.top.update_id:
        if _agrees(at, book.quotes_seen - 1):
            book.agreements += 1
        else:
            book.fault = _MISMATCH
            step_out(at)


@compiled("int64(int64, int64, int64, int64, int64, int64, int64)", late=True)
def load_snapshot(
    at: int, levels: int, bids: int, asks: int, limit: int, update_id: int, match_ms: int
) -> int:
    """Begin a book anew with a snapshot, out of step; a `Fault`."""
    book = _depth_book_at(at)
    holds = load(at + _BOOK, levels, bids, asks, limit)
    book.top.update_id = update_id
    book.top.event_ns = match_ms * _NS_PER_MS
    book.match_ms = -1
    book.fault = _SOUND if holds else _UNSOUND
    return book.fault  # type: ignore[no-any-return]


@compiled("boolean(int64)", late=True)
def is_book_thin(at: int) -> bool:
    """Whether a book needs another snapshot before long."""
    return is_thin(at + _BOOK)
