"""From the JSON of a depthUpdate to a changed order book: the compiled twin of `aegis.venue.depth_codec`.

A change is read completely before any of it is taken, and taken only if it is the next one of a book that is in step.
"""

from __future__ import annotations

from typing import Final

from aegis.compiled import compiled
from aegis.market.book import LEVEL, level_at
from aegis.memory import byte
from aegis.venue.depth_book import (
    CHANGE_LEVELS_MAX,
    Order,
    book_of,
    is_in_step,
    levels_of,
    order_of,
    repeat,
    step_out,
    take_change,
)
from aegis.venue.fastlane_numbers import decimal, event_time_ms, number_end, scaled_price, update_id

__all__ = ["LEFT_ALONE", "TAKEN", "UNREADABLE", "read_depth", "read_levels"]

TAKEN: Final = 0
LEFT_ALONE: Final = 1
"""Its book is out of step now, if it was not before."""
UNREADABLE: Final = 2

_FOLLOWS: Final = int(Order.FOLLOWS)
_REPEATED: Final = int(Order.REPEATED)
_SOUND: Final = 0
_NOT_READ: Final = -1
_LEVEL_BYTES: Final = LEVEL.itemsize
_COMMA: Final = ord(",")
_OPEN: Final = ord("[")
_CLOSE: Final = ord("]")


@compiled("int64(int64, int64, int64)", late=True)
def read_levels(at: int, levels: int, room: int) -> int:
    """Read `[["price","quantity"],...]` into LEVEL records.

    Args:
        at: the address of a whole JSON value.
        levels: where the records belong.
        room: how many there is room for.

    Returns:
        How many there are, or a negative number for whatever is not read exactly, or has no room.
    """
    if byte(at) != _OPEN:
        return _NOT_READ
    if byte(at + 1) == _CLOSE:
        return 0
    count = 0
    while count < room and byte(at + 1) == _OPEN:
        price = scaled_price(at + 2)
        if price <= 0:
            return _NOT_READ
        at = number_end(at + 2)
        quantity = decimal(at + 1)
        if byte(at) != _COMMA or quantity < 0.0:
            return _NOT_READ
        at = number_end(at + 1)
        if byte(at) != _CLOSE:
            return _NOT_READ
        level = level_at(levels + count * _LEVEL_BYTES)
        level.price = price
        level.quantity = quantity
        count += 1
        at += 1
        if byte(at) == _CLOSE:
            return count
        if byte(at) != _COMMA:
            return _NOT_READ
    return _NOT_READ


@compiled("int64(int64, int64, int64, int64, int64, int64, int64)", late=True)
def read_depth(
    shelf: int,
    symbol: int,
    previous_at: int,
    last_at: int,
    time_at: int,
    bids_at: int,
    asks_at: int,
) -> int:
    """Read a change and take it.

    Args:
        shelf: the books' address.
        symbol: the index of one that has a book.
        previous_at: the address of the value of `pu` in a whole JSON object.
        last_at: of `u`.
        time_at: of `T`.
        bids_at: of `b`.
        asks_at: of `a`.

    Returns:
        TAKEN, LEFT_ALONE or UNREADABLE.
    """
    at, levels = book_of(shelf, symbol), levels_of(shelf)
    previous_id, last_id = update_id(previous_at), update_id(last_at)
    match_ms = event_time_ms(time_at)
    order = order_of(at, previous_id, last_id, match_ms)
    if previous_id < 0 or last_id <= 0 or match_ms <= 0:
        step_out(at)
        return UNREADABLE
    if is_in_step(at) and order == _REPEATED:
        repeat(at)
        return TAKEN
    bids = asks = _NOT_READ
    if is_in_step(at) and order == _FOLLOWS:
        bids = read_levels(bids_at, levels, CHANGE_LEVELS_MAX)
        if bids >= 0:
            room = CHANGE_LEVELS_MAX - bids
            asks = read_levels(asks_at, levels + bids * _LEVEL_BYTES, room)
    if asks < 0:
        step_out(at)
        return LEFT_ALONE
    fault = take_change(at, levels, bids, asks, last_id, match_ms)
    return TAKEN if fault == _SOUND else LEFT_ALONE
