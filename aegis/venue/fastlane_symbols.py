"""The symbol table as compiled code reads it: from a name in a frame to its index in the run's symbols.

Open addressing, in a table at least four times as long as the names. A row is a name's 24 bytes, padded with zeros,
in three words, and then the index plus one; 0 there is a free row. Names are compared whole: a hash alone would one
day take one symbol for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled
from aegis.errors import check
from aegis.memory import set_word, word
from aegis.venue.fastlane_bytes import BEYOND

__all__ = ["NAME_BYTES", "STRANGER", "SymbolTable", "find_symbol"]

NAME_BYTES: Final = 24
STRANGER: Final = -1

_INDEX: Final = NAME_BYTES  # where it stands in a row
_ROW_BYTES: Final = NAME_BYTES + 8
_SPREAD: Final = 0x1E3779B97F4A7C15
"""An odd number without a pattern, from the golden ratio's digits (Knuth's multiplicative hashing)."""


@compiled("int64(int64, int64)", late=True)
def _word_of_name(at: int, length: int) -> int:
    """The first eight bytes of what is left of a name; zeros behind its end."""
    if length >= 8:
        return word(at)
    return word(at) & ((1 << 8 * max(length, 0)) - 1)


@compiled("int64(int64, int64, int64, int64)", late=True)
def _row_of(rows: int, mask: int, at: int, length: int) -> int:
    """The address of the row that holds the name, or of the free row where it belongs."""
    first = _word_of_name(at, length)
    second = _word_of_name(at + 8, length - 8)
    third = _word_of_name(at + 16, length - 16)
    place = (first ^ second * 3 ^ third * 5) * _SPREAD >> 32
    while True:
        row = rows + (place & mask) * _ROW_BYTES
        if word(row + _INDEX) == 0 or (
            word(row) == first and word(row + 8) == second and word(row + 16) == third
        ):
            return row
        place += 1


@compiled("int64(int64, int64, int64, int64)", late=True)
def find_symbol(rows: int, mask: int, at: int, length: int) -> int:
    """The index of the symbol whose name stands at an address, or `STRANGER`.

    Args:
        rows: the table's address.
        mask: its number of rows less one.
        at: the name's address.
        length: its number of bytes.
    """
    if length > NAME_BYTES:
        return STRANGER
    return word(_row_of(rows, mask, at, length) + _INDEX) - 1


@compiled("void(int64, int64, int64, int64, int64)")
def _enter(rows: int, mask: int, at: int, length: int, index: int) -> None:
    row = _row_of(rows, mask, at, length)
    for done in range(0, NAME_BYTES, 8):
        set_word(row + done, _word_of_name(at + done, length - done))
    set_word(row + _INDEX, index + 1)


class SymbolTable:
    """The symbols of a run. A name that is too long or not ASCII is a stranger to the lane.

    Args:
        symbols: the names; a TICK's `symbol` is the index here.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        check(len(set(symbols)) == len(symbols) <= 1 << 16, "each symbol has an index of its own")
        rows = 1 << (4 * len(symbols)).bit_length()
        self._bytes: Final[npt.NDArray[np.uint8]] = np.zeros(rows * _ROW_BYTES, np.uint8)
        self.address: Final = int(self._bytes.ctypes.data)
        self.mask: Final = rows - 1
        for index, symbol in enumerate(symbols):
            if symbol.isascii() and 0 < len(symbol) <= NAME_BYTES:
                name = np.frombuffer(symbol.encode().ljust(NAME_BYTES + BEYOND, b"\0"), np.uint8)
                _enter(self.address, self.mask, name.ctypes.data, len(symbol), index)
