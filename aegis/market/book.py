"""One symbol's order book: its price levels, kept up by changes.

Prices are whole numbers of 1e-8, so that they compare exactly; as float64 they are what `float` gives for the
exchange's text. A quantity is absolute; 0 removes its level, and removing one that is not there is normal.

**What it knows.** A snapshot shows the best levels only, so a book knows a side down to its *edge*: the worst level
that was shown. What is behind the edge became known only as far as it changed, so it is not kept at all. As the
price moves towards its edge, a side gets *thin*, and needs another snapshot. A side that is full forgets its worst
quarter, and its edge moves up to what is left.

**How it lies in memory.** Each side is sorted, the best level last: most changes are near the best, and then few
levels have to move. On the recordings of two symbols, in which a frame changes 66 levels of some thousand, a level
takes 70 to 100 ns this way; with the best level first 1.2 to 1.9 times as long, and 1.4 to 2.1 times if the frame is
merged with the whole side. A level is searched from the best on, in steps that double.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import compiled, inlined
from aegis.market.book_top import BOOK_TOP, PRICE_ONE, SHOWN
from aegis.market.kernel import constant
from aegis.memory import move, record_at

__all__ = [
    "BOOK",
    "LEVEL",
    "LEVELS",
    "THIN",
    "book_at",
    "change",
    "is_thin",
    "load",
    "show",
]

LEVELS: Final = 2048
"""The most that a side holds."""
THIN: Final = 400
"""A side with fewer levels between best and edge is thin. One recorded order took 255 levels at once: so many are left
for the time until the next snapshot comes."""

LEVEL: Final = np.dtype([("price", "<i8"), ("quantity", "<f8")])
"""A change, or a level of a snapshot: the price in 1e-8, the quantity in base units."""

SIDE: Final = np.dtype(
    [
        ("count", "<i8"),
        ("edge", "<i8"),  # the worst key that is known, `_OPEN` where all are
        # The price of a bid and the negative price of an ask: the best is the largest, and the last.
        ("keys", "<i8", (LEVELS,)),
        ("quantities", "<f8", (LEVELS,)),
    ]
)
BOOK: Final = np.dtype([("bids", SIDE), ("asks", SIDE)])

_OPEN: Final = constant(-(1 << 62))
_BID: Final = constant(1)
_ASK: Final = constant(-1)
_WORD: Final = 8
_FORGOTTEN: Final = LEVELS // 4
_LEVEL_BYTES: Final = LEVEL.itemsize
_ONE: Final = np.float64(PRICE_ONE)

book_at: Final = record_at(BOOK)
level_at: Final = record_at(LEVEL)
_top_at: Final = record_at(BOOK_TOP)


@inlined
def find(side: Any, key: int) -> int:
    """The place of the first level whose key is not below `key`."""
    keys = side.keys
    above = side.count
    below = above - 1
    step = 1
    while below >= 0 and keys[below] >= key:
        above = below
        below -= step
        step += step
    below = max(below, -1) + 1
    while below < above:
        middle = (below + above) >> 1
        if keys[middle] < key:
            below = middle + 1
        else:
            above = middle
    return below  # type: ignore[no-any-return]


@inlined
def shift(side: Any, to: int, source: int, count: int) -> None:
    """Move so many levels from one place to another."""
    keys = side.keys.ctypes.data
    quantities = side.quantities.ctypes.data
    move(keys + to * _WORD, keys + source * _WORD, count * _WORD)
    move(quantities + to * _WORD, quantities + source * _WORD, count * _WORD)


@inlined
def set_level(side: Any, key: int, quantity: float) -> None:
    """Change one level."""
    if side.count == LEVELS:
        side.count -= _FORGOTTEN
        shift(side, 0, _FORGOTTEN, side.count)
        side.edge = side.keys[0]
    if key < side.edge:
        return
    place = find(side, key)
    behind = side.count - place
    is_there = behind > 0 and side.keys[place] == key
    if quantity == 0.0:
        if is_there:
            side.count -= 1
            shift(side, place, place + 1, behind - 1)
        return
    if not is_there:
        shift(side, place + 1, place, behind)
        side.count += 1
        side.keys[place] = key
    side.quantities[place] = quantity


@inlined
def set_levels(side: Any, sign: int, levels: int, count: int) -> None:
    """Change the levels that lie at an address."""
    for number in range(count):
        level = level_at(levels + number * _LEVEL_BYTES)
        set_level(side, sign * level.price, level.quantity)


@inlined
def cut(side: Any) -> None:
    """Know nothing behind the worst level."""
    if side.count > 0:
        side.edge = side.keys[0]


@inlined
def begin(side: Any) -> None:
    """Be empty, with nothing unknown."""
    side.count = 0
    side.edge = _OPEN


@inlined
def has_run_out(side: Any) -> bool:
    """Whether nothing is left of what was known of a side, though there may be more."""
    return side.count == 0 and side.edge != _OPEN  # type: ignore[no-any-return]


@compiled("boolean(int64, int64, int64, int64)", late=True)
def change(book: int, levels: int, bids: int, asks: int) -> bool:
    """Take a change.

    Args:
        book: the address of a BOOK.
        levels: the address of so many LEVEL records, first those of the bids.
        bids: how many of them are bids.
        asks: how many are asks.

    Returns:
        Whether the book holds: the best bid is below the best ask, and no side has run out of what is known of it.
    """
    changed = book_at(book)
    set_levels(changed.bids, _BID, levels, bids)
    set_levels(changed.asks, _ASK, levels + bids * _LEVEL_BYTES, asks)
    bid_count, ask_count = changed.bids.count, changed.asks.count
    if bid_count == 0 or ask_count == 0:
        return not (has_run_out(changed.bids) or has_run_out(changed.asks))
    # An ask's key is its negative price.
    return changed.bids.keys[bid_count - 1] + changed.asks.keys[ask_count - 1] < 0  # type: ignore[no-any-return]


@compiled("boolean(int64, int64, int64, int64, int64)", late=True)
def load(book: int, levels: int, bids: int, asks: int, limit: int) -> bool:
    """Begin anew with a snapshot, in whatever order its levels are.

    Args:
        book: see `change`, as the next three.
        levels: LEVEL records.
        bids: a number.
        asks: a number.
        limit: the most levels that the snapshot shows of a side; one with as many has more behind them.

    Returns:
        Whether the book holds, as `change` does.
    """
    begun = book_at(book)
    begin(begun.bids)
    begin(begun.asks)
    holds = change(book, levels, bids, asks)
    if bids >= limit:
        cut(begun.bids)
    if asks >= limit:
        cut(begun.asks)
    return holds


@compiled("int64(int64)", late=True)
def is_thin(book: int) -> bool:
    """Whether another snapshot is needed before long: a side has few levels left in what is known of it."""
    bids, asks = book_at(book).bids, book_at(book).asks
    few_bids = bids.count < THIN and bids.edge != _OPEN
    return few_bids or (asks.count < THIN and asks.edge != _OPEN)  # type: ignore[no-any-return]


@inlined
def show_side(side: Any, sign: int, shown: Any) -> int:
    """Write the best levels; zeros stand behind the last one."""
    count = min(side.count, SHOWN)
    for number in range(SHOWN):
        if number < count:
            place = side.count - 1 - number
            shown[number].price = sign * side.keys[place] / _ONE
            shown[number].quantity = side.quantities[place]
        else:
            shown[number].price = 0.0
            shown[number].quantity = 0.0
    return count  # type: ignore[no-any-return]


@compiled("void(int64, int64)", late=True)
def show(book: int, top: int) -> None:
    """Write the best levels of a BOOK into a BOOK_TOP, both given by their addresses; its other fields are left."""
    shown, top_of = book_at(book), _top_at(top)
    top_of.bid_levels = show_side(shown.bids, _BID, top_of.bids)
    top_of.ask_levels = show_side(shown.asks, _ASK, top_of.asks)
