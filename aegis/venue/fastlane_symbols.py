"""The symbol table as compiled code reads it: a name in a frame, and its index in the run's symbols.

Open addressing in a table at least four times as long as the names. A row is the name's 24 bytes, padded with
zeros, in three words, then the index plus one; 0 there is a free row. Names are compared whole: a hash alone would
one day take one symbol for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled, inlined
from aegis.errors import check
from aegis.venue.fastlane_bytes import BEYOND, word

__all__ = ["NAME_BYTES", "STRANGER", "SymbolTable", "find_symbol"]

NAME_BYTES: Final = 24
STRANGER: Final = -1

_NAME_WORDS: Final = NAME_BYTES // 8
_SPREAD: Final = 0x1E3779B97F4A7C15
"""An odd number without a pattern: the golden ratio's digits, as Knuth suggests for multiplicative hashing."""


class SymbolTable:
    """The symbols of a run. Names that the lane cannot read (too long, not ASCII) are strangers to it.

    Args:
        symbols: the names; a TICK's `symbol` is the index here.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        check(len(set(symbols)) == len(symbols) <= 1 << 16, "each symbol has an index of its own")
        rows = 1 << (4 * len(symbols) + 1).bit_length()
        self.rows: Final[npt.NDArray[np.int64]] = np.zeros((rows, _NAME_WORDS + 1), np.int64)
        for index, symbol in enumerate(symbols):
            if symbol.isascii() and 0 < len(symbol) <= NAME_BYTES:
                name = np.frombuffer(symbol.encode().ljust(NAME_BYTES + BEYOND, b"\0"), np.uint8)
                _enter(self.rows, name.ctypes.data, len(symbol), index)


@inlined
def find_symbol(rows: npt.NDArray[np.int64], at: int, length: int) -> int:
    """The index of the symbol whose name stands at an address, or `STRANGER`."""
    if length > NAME_BYTES:
        return STRANGER
    return rows[_row_of(rows, at, length), _NAME_WORDS] - 1


@compiled("void(int64[:, ::1], int64, int64, int64)")
def _enter(rows: npt.NDArray[np.int64], at: int, length: int, index: int) -> None:
    row = rows[_row_of(rows, at, length)]
    for part in range(_NAME_WORDS):
        row[part] = _name_word(at, length, part)
    row[_NAME_WORDS] = index + 1


@inlined
def _row_of(rows: npt.NDArray[np.int64], at: int, length: int) -> int:
    """The row that holds the name, or the free row where it would be entered."""
    first, second, third = (
        _name_word(at, length, 0),
        _name_word(at, length, 1),
        _name_word(at, length, 2),
    )
    mask = rows.shape[0] - 1
    place = ((first ^ second * 3 ^ third * 5) * _SPREAD >> 32) & mask
    while rows[place, _NAME_WORDS] != 0 and (
        rows[place, 0] != first or rows[place, 1] != second or rows[place, 2] != third
    ):
        place = (place + 1) & mask
    return place


@inlined
def _name_word(at: int, length: int, part: int) -> int:
    """Eight bytes of the name, what is behind its end replaced by zeros."""
    inside = length - 8 * part
    if inside >= 8:
        return word(at + 8 * part)
    return word(at + 8 * part) & ((1 << 8 * max(inside, 0)) - 1)
