"""From the JSON of one frame to one TICK: the compiled twin of `binance_codec` and `TickSink`.

A frame is read completely or not at all. What is read gives the TICK that the slow path gives for the same bytes;
whatever might not (an escape, an exponent, a duplicate key, a number that is not exact in float64, …) is left to it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aegis.compiled import inlined
from aegis.market.records import TickKind
from aegis.venue.fastlane_bytes import (
    byte,
    digit_run,
    number,
    string_end,
    text,
    word,
)
from aegis.venue.fastlane_json import LEFT, key_end, value_end
from aegis.venue.fastlane_symbols import STRANGER, find_symbol

__all__ = ["LETTERS", "Fate", "read_event"]


class Fate(IntEnum):
    """What became of a frame. The lane takes quotes and trades; every other frame is the library's."""

    QUOTE = 0
    TRADE = 1
    UNREAD = 2
    """Text that the lane does not recognise completely."""
    STRANGER = 3
    """An event of a symbol that is not in the table."""
    UNSOUND = 4
    """A price, size or time that no market has, or that the lane cannot read exactly."""
    OTHER = 5
    """Not the whole text of a message, or longer than a 16-bit length says."""


LETTERS: Final = 128
"""The length of the table that says where, in the frame at hand, the value of a one-letter key begins."""

_QUOTE: Final = int(Fate.QUOTE)  # the compiler takes plain integers
_TRADE: Final = int(Fate.TRADE)
_UNREAD: Final = int(Fate.UNREAD)
_STRANGER: Final = int(Fate.STRANGER)
_UNSOUND: Final = int(Fate.UNSOUND)
_QUOTE_KIND: Final = int(TickKind.QUOTE)
_TRADE_KIND: Final = int(TickKind.TRADE)

_MARK: Final = ord('"')
_COLON: Final = ord(":")
_COMMA: Final = ord(",")
_CLOSE: Final = ord("}")
_POINT: Final = ord(".")
_ZERO: Final = ord("0")
_A: Final = ord("a")
_LOWER_CASE: Final = 0x20

_OPEN_STREAM: Final = text('{"stream')
_OPEN_DATA: Final = text('{"data":')
_MORE_STREAM: Final = text(',"stream')
_MORE_DATA: Final = text(',"data":')
_STREAM_IS: Final = text('":"')
_DATA_KEY: Final = text('"data":')
_TWO_BYTES: Final = (1 << 16) - 1
_THREE_BYTES: Final = (1 << 24) - 1
_SEVEN_BYTES: Final = (1 << 56) - 1

_AGG_TRADE: Final = (text("aggTrade"), text('"'), 0xFF)
_BOOK_TICKER: Final = (text("bookTick"), text('er"'), _THREE_BYTES)
_MARKET_TRADE: Final = (text('trade"'), (1 << 48) - 1)

_E, _E_TIME, _S, _M, _P, _Q, _T = map(ord, "eEsmpqT")
_BID, _BID_SIZE, _ASK, _ASK_SIZE = map(ord, "bBaA")

_NOT_READ: Final = -1
_EXACT_MAX: Final = 1 << 53
_DIGITS_MAX: Final = 18
_POWERS: Final = 10.0 ** np.arange(17)
_NS_PER_MS: Final = 1_000_000
_TIME_MS_MAX: Final = (1 << 62) // _NS_PER_MS


@inlined
def _members_end(at: int, letters: npt.NDArray[np.int64]) -> int:
    """Behind the object whose first member is here; `letters` then holds where the one-letter keys' values are."""
    start = at
    while True:
        letter = byte(at + 1)
        if word(at) >> 16 & _TWO_BYTES == _KEY_ENDS and (letter | _LOWER_CASE) - _A in range(26):
            pass
        at += 1
