"""From the JSON of one frame to one TICK: the compiled twin of `binance_market` and `TickSink`.

A frame is read completely or not at all. What is read gives the TICK that the slow path gives for the same bytes;
whatever might not (an escape, an exponent, a key twice, a number that float64 does not hold exactly) is left to it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from aegis.compiled import compiled
from aegis.market.records import TickKind
from aegis.market.sanity import MAX_PRICE, MAX_SIZE
from aegis.memory import byte, set_word, word
from aegis.shm.atomics import store_words
from aegis.venue.admission import Series
from aegis.venue.depth_book import NO_BOOKS, book_of, see_quote
from aegis.venue.fastlane_bytes import string_end, text
from aegis.venue.fastlane_depth import LEFT_ALONE, TAKEN, read_depth
from aegis.venue.fastlane_json import LEFT, key_end, value_end
from aegis.venue.fastlane_numbers import (
    NO_RATE,
    decimal,
    event_time_ms,
    rate,
    update_id,
)
from aegis.venue.fastlane_symbols import STRANGER, find_symbol

__all__ = ["LETTERS", "NUMBER", "SERIES", "Fate", "read_event"]


class Fate(IntEnum):
    """What became of a frame. The lane takes ticks and changes of books, or drops them; all else goes to the library."""

    QUOTE = 0
    TRADE = 1
    UNREAD = 2
    """Text that is not recognised completely."""
    STRANGER = 3
    """An event of a symbol that is not in the table."""
    UNSOUND = 4
    """A price, size or time that no market has, or that cannot be read exactly here."""
    OTHER = 5
    """Not a message of text in one frame below 64 KiB."""
    CHANGE = 6
    """A change of an order book, taken: it makes no TICK."""
    OUT_OF_STEP = 7
    """A change that is not for the lane to take, see `aegis.venue.depth_book`."""
    MARK = 8
    DUPLICATE = 9
    """A tick that was let in before, and is dropped."""
    SHADOWED = 10
    """A tick that another connection is to bring, dropped as well: see `aegis.venue.admission`."""
    ADRIFT = 11
    """A tick with a time or a price far from those before; the slow path has the last word."""


LETTERS: Final = 128
"""The length of the table that says where the value of each one-letter key begins."""
SERIES: Final = 8 * 1
"""Where the table of letters has, of an event that was read, its `Series`,"""
NUMBER: Final = 8 * 2
"""and its id there; 0 for none."""

# The compiler takes plain integers.
_TAKEN_QUOTE: Final = int(Fate.QUOTE)
_TAKEN_TRADE: Final = int(Fate.TRADE)
_TAKEN_MARK: Final = int(Fate.MARK)
_UNREAD: Final = int(Fate.UNREAD)
_STRANGER: Final = int(Fate.STRANGER)
_UNSOUND: Final = int(Fate.UNSOUND)
_TAKEN_CHANGE: Final = int(Fate.CHANGE)
_OUT_OF_STEP: Final = int(Fate.OUT_OF_STEP)
_QUOTE_TICK: Final = int(TickKind.QUOTE)
_TRADE_TICK: Final = int(TickKind.TRADE)
_MARK_TICK: Final = int(TickKind.MARK)
_NO_TICK: Final = 0
_QUOTES, _AGGREGATES, _TRADES, _MARKS = map(int, Series)

_QUOTATION: Final = ord('"')
_COMMA: Final = ord(",")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_POINT: Final = ord(".")
_ZERO: Final = ord("0")
_LOWER_A: Final = ord("a")
_LOWER_CASE: Final = 0x20
_TRUE: Final = ord("t")
_FALSE: Final = ord("f")

# Where the table of letters has these keys (protocol §4.1).
_e, _E, _s, _T, _m, _p, _q, _b, _B, _a, _A = (8 * ord(letter) for letter in "eEsTmpqbBaA")
_i, _r, _t, _u, _U = (8 * ord(letter) for letter in "irtuU")
_pu: Final = 0
"""The only key of two letters that has a place."""

# So many bytes of a word.
_TWO: Final = 0xFFFF
_THREE: Final = 0xFF_FFFF
_FOUR: Final = 0xFFFF_FFFF
_FIVE: Final = 0xFF_FFFF_FFFF
_SEVEN: Final = 0xFF_FFFF_FFFF_FFFF

_ONE_LETTER_KEY: Final = text('"\0":')
_AROUND_LETTER: Final = 0xFFFF_00FF
_DATA_KEY: Final = text('"data":')
_PREVIOUS_KEY: Final = text('"pu":')
_MARGIN_KEY: Final = text('"st":')
_USD_MARGINED: Final = (text("1,"), text("1}"))
_STREAM_FIRST: Final = text('{"stream')
_STREAM_SECOND: Final = text(',"stream')
_STREAM_IS: Final = text('":"')
_DATA_FIRST: Final = text('{"data":')
_DATA_SECOND: Final = text(',"data":')

_BOOK_TICKER: Final = (text('"bookTic'), text('ker"'))
_AGG_TRADE: Final = (text('"aggTrad'), text('e"'))
_MARKET_TRADE: Final = text('"trade"')
_DEPTH_UPDATE: Final = (text('"depthUp'), text('date"'))
_MARK_PRICE: Final = (text('"markPri'), text("ceUpdate"))

_NS_PER_MS: Final = 1_000_000


@compiled("int64(int64, int64, int64)", late=True)
def _key_end(at: int, first: int, letters: int) -> int:
    """Behind a key and its colon; notes that place if the key is one that matters."""
    letter = byte(at + 1)
    if word(at) & _AROUND_LETTER == _ONE_LETTER_KEY and (
        0 <= (letter | _LOWER_CASE) - _LOWER_A < 26
    ):
        place = letters + 8 * letter
        at += 4
    elif word(at) & _FIVE == _PREVIOUS_KEY:
        place = letters + _pu
        at += 5
    elif word(at) & _SEVEN == _DATA_KEY:
        return LEFT  # the slow path takes an object with `data` for an envelope
    elif word(at) & _FIVE == _MARGIN_KEY:
        at += 5
        return at if word(at) & _TWO in _USD_MARGINED else LEFT  # the slow path drops other markets
    else:
        return key_end(at)
    if word(place) >= first:
        return LEFT  # twice
    set_word(place, at)
    return at


@compiled("int64(int64, int64)", late=True)
def _members_end(at: int, letters: int) -> int:
    """Behind the object whose first key is here; notes where the values of the keys that matter begin.

    Addresses only grow from frame to frame, so an older one in the table means that the key is not in this frame.
    """
    first = at
    while True:
        at = _key_end(at, first, letters)
        if at != LEFT:
            at = value_end(at)
        if at == LEFT:
            return LEFT
        behind = byte(at)
        at += 1
        if behind == _CLOSE:
            return at
        if behind != _COMMA:
            return LEFT


@compiled("int64(int64)", late=True)
def _stream_end(at: int) -> int:
    """Behind the name of a stream, from the quote that ends the key `stream`."""
    if word(at) & _THREE != _STREAM_IS:
        return LEFT
    end = string_end(at + 3)
    return end + 1 if byte(end) == _QUOTATION else LEFT


@compiled("int64(int64, int64, int64)", late=True)
def _first_key(at: int, end: int, letters: int) -> int:
    """The address of the event's first key, if the payload is one event: bare, or the `data` beside a `stream`."""
    opening = word(at)
    if opening == _STREAM_FIRST:
        at = _stream_end(at + 8)
        if at == LEFT or word(at) != _DATA_SECOND:
            return LEFT
    wrapped = opening in (_STREAM_FIRST, _DATA_FIRST)
    if wrapped:
        at += 8
    if byte(at) != _OPEN:
        return LEFT
    behind = _members_end(at + 1, letters)
    if behind != LEFT and opening == _DATA_FIRST and word(behind) == _STREAM_SECOND:
        behind = _stream_end(behind + 8)
    if behind != LEFT and wrapped:
        behind = behind + 1 if byte(behind) == _CLOSE else LEFT
    return at + 1 if behind == end else LEFT


@compiled("int64(int64)", late=True)
def _tick_kind(at: int) -> int:
    """The TICK that an event of this name becomes."""
    name = word(at)
    if name == _BOOK_TICKER[0] and word(at + 8) & _FOUR == _BOOK_TICKER[1]:
        return _QUOTE_TICK
    if name == _AGG_TRADE[0] and word(at + 8) & _TWO == _AGG_TRADE[1]:
        return _TRADE_TICK
    if name & _SEVEN == _MARKET_TRADE:
        return _TRADE_TICK
    if name == _MARK_PRICE[0] and word(at + 8) == _MARK_PRICE[1]:
        return _MARK_TICK if byte(at + 16) == _QUOTATION else _NO_TICK
    return _NO_TICK


@compiled("int64(int64, int64, int64, int64)", late=True)
def _note_id(first: int, letters: int, series: int, number_at: int) -> int:
    """Note the series and the id of an event, which may have none; negative for one that cannot be read."""
    number = update_id(number_at) if number_at >= first else 0
    set_word(letters + SERIES, series)
    set_word(letters + NUMBER, number)
    return number


@compiled("boolean(int64)", late=True)
def _is_change(at: int) -> bool:
    """Whether this is the name of a change of an order book."""
    return word(at) == _DEPTH_UPDATE[0] and word(at + 8) & _FIVE == _DEPTH_UPDATE[1]


@compiled("int64(int64, int64, int64, int64)", late=True)
def _read_change(first: int, letters: int, symbol: int, books: int) -> int:
    """Take the depthUpdate whose key `first` is the first one."""
    previous_at, last_at, time_at = word(letters + _pu), word(letters + _u), word(letters + _T)
    bids_at, asks_at, first_at = word(letters + _b), word(letters + _a), word(letters + _U)
    if min(previous_at, last_at, time_at, bids_at, asks_at, first_at) < first:
        return _UNREAD
    if update_id(first_at) < 0:
        return _UNREAD
    done = read_depth(books, symbol, previous_at, last_at, time_at, bids_at, asks_at)
    if done == TAKEN:
        return _TAKEN_CHANGE
    return _OUT_OF_STEP if done == LEFT_ALONE else _UNREAD


@compiled("int64(int64, int64, int64, int64)", late=True)
def _read_quote(first: int, letters: int, symbol_word: int, tick: int) -> int:
    """Write the TICK of a bookTicker whose key `first` is the first one."""
    bid_at, bid_size_at = word(letters + _b), word(letters + _B)
    ask_at, ask_size_at = word(letters + _a), word(letters + _A)
    time_at = word(letters + _E)
    if min(bid_at, bid_size_at, ask_at, ask_size_at, time_at) < first:
        return _UNREAD
    bid, bid_size = decimal(bid_at), decimal(bid_size_at)
    ask, ask_size = decimal(ask_at), decimal(ask_size_at)
    time_ms = event_time_ms(time_at)
    if not 0.0 < bid <= ask < MAX_PRICE or min(bid_size, ask_size) < 0.0 or time_ms <= 0:
        return _UNSOUND
    if max(bid_size, ask_size) >= MAX_SIZE:
        return _UNSOUND
    if _note_id(first, letters, _QUOTES, word(letters + _u)) < 0:
        return _UNSOUND
    head = symbol_word | _QUOTE_TICK << 16
    store_words(tick, (time_ms * _NS_PER_MS, head, bid, ask, bid_size, ask_size))
    return _TAKEN_QUOTE


@compiled("int64(int64, int64, int64, int64)", late=True)
def _read_trade(first: int, letters: int, symbol_word: int, tick: int) -> int:
    """Write the TICK of a trade or aggTrade whose key `first` is the first one."""
    price_at, size_at = word(letters + _p), word(letters + _q)
    maker_at, time_at = word(letters + _m), word(letters + _T)
    if min(price_at, size_at, maker_at, time_at) < first:
        return _UNREAD
    price, size = decimal(price_at), decimal(size_at)
    time_ms = event_time_ms(time_at)
    buyer_made = byte(maker_at)
    if not 0.0 < price < MAX_PRICE or not 0.0 <= size < MAX_SIZE or time_ms <= 0:
        return _UNSOUND
    if buyer_made not in (_TRUE, _FALSE):
        return _UNREAD  # no boolean
    # Of the two names that a trade has, one begins like its id.
    is_aggregate = byte(word(letters + _e) + 1) == _LOWER_A
    series, number = (_AGGREGATES, _a) if is_aggregate else (_TRADES, _t)
    if _note_id(first, letters, series, word(letters + number)) < 0:
        return _UNSOUND
    sold = size if buyer_made == _TRUE else 0.0
    head = symbol_word | _TRADE_TICK << 16
    store_words(tick, (time_ms * _NS_PER_MS, head, price, price, sold, size - sold))
    return _TAKEN_TRADE


@compiled("void(int64, int64, int64, int64)", late=True)
def _show_quote(letters: int, symbol: int, books: int, tick: int) -> None:
    """Let the book of a symbol be compared with the quote that was read."""
    see_quote(book_of(books, symbol), tick, word(letters + NUMBER))


@compiled("int64(int64, int64, int64, int64)", late=True)
def _read_mark(first: int, letters: int, symbol_word: int, tick: int) -> int:
    """Write the TICK of a markPriceUpdate whose key `first` is the first one."""
    price_at, index_at, rate_at = word(letters + _p), word(letters + _i), word(letters + _r)
    time_at, funding_at = word(letters + _E), word(letters + _T)
    if min(price_at, index_at, rate_at, time_at, funding_at) < first:
        return _UNREAD
    price, index, funding_rate = decimal(price_at), decimal(index_at), rate(rate_at)
    time_ms, funding_ms = event_time_ms(time_at), event_time_ms(funding_at)
    if not 0.0 < price < MAX_PRICE or not 0.0 <= index < MAX_PRICE or funding_rate == NO_RATE:
        return _UNSOUND
    if time_ms <= 0 or funding_ms < 0:
        return _UNSOUND
    set_word(letters + SERIES, _MARKS)
    set_word(letters + NUMBER, time_ms)
    head = symbol_word | _MARK_TICK << 16
    words = (time_ms * _NS_PER_MS, head, price, index, funding_rate, np.float64(funding_ms))
    store_words(tick, words)
    return _TAKEN_MARK


@compiled("int64(int64, int64, int64, int64, int64, int64, int64, int64)", late=True)
def read_event(
    at: int, end: int, letters: int, rows: int, mask: int, books: int, recv_us: int, tick: int
) -> int:
    """Read one payload into a TICK, or into an order book.

    Args:
        at: the payload's address.
        end: the address behind it.
        letters: the address of `LETTERS` words, none of them an address in this payload. Those at `SERIES` and
            `NUMBER` say afterwards which tick it is.
        rows: the symbol table's address.
        mask: its number of rows less one.
        books: the address of the order books, see `DepthBooks`, or `NO_BOOKS`.
        recv_us: the receive stamp.
        tick: the address of a TICK, whole if one is taken.

    Returns:
        A `Fate`.
    """
    first = _first_key(at, end, letters)
    if first == LEFT or word(letters + _e) < first or word(letters + _s) < first:
        return _UNREAD
    kind = _tick_kind(word(letters + _e))
    is_change = books != NO_BOOKS and _is_change(word(letters + _e))
    name = word(letters + _s) + 1
    name_end = string_end(name)
    if not (kind != _NO_TICK or is_change):
        return _UNREAD
    if byte(name - 1) != _QUOTATION or byte(name_end) != _QUOTATION:
        return _UNREAD
    symbol = find_symbol(rows, mask, name, name_end - name)
    if symbol == STRANGER:
        return _STRANGER
    if is_change:
        return _read_change(first, letters, symbol, books)
    symbol_word = symbol | recv_us << 32
    if kind == _TRADE_TICK:
        return _read_trade(first, letters, symbol_word, tick)
    if kind == _MARK_TICK:
        return _read_mark(first, letters, symbol_word, tick)
    fate = _read_quote(first, letters, symbol_word, tick)
    if books != NO_BOOKS and fate == _TAKEN_QUOTE:
        _show_quote(letters, symbol, books, tick)
    return fate
