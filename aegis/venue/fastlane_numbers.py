"""Numbers as the exchange writes them, read without losing a digit: what `float` or `int` gives for the same text.

Each function takes the address where a JSON value begins, and returns a negative number for whatever it does not read
exactly: an exponent, more digits than it holds, no number at all. The slow path decides about that.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from aegis.compiled import compiled
from aegis.market.book_top import PRICE_ONE
from aegis.market.records import MAX_EVENT_NS
from aegis.memory import byte
from aegis.venue.fastlane_bytes import digit_run, number

__all__ = [
    "NOT_READ",
    "NO_RATE",
    "decimal",
    "event_time_ms",
    "number_end",
    "rate",
    "scaled_price",
    "update_id",
]

NOT_READ: Final = -1
NO_RATE: Final = 2.0
"""What `rate` gives for what is none."""

_MARK: Final = ord('"')
_COMMA: Final = ord(",")
_CLOSE: Final = ord("}")
_POINT: Final = ord(".")
_MINUS: Final = ord("-")
_ZERO: Final = ord("0")

_EXACT_MAX: Final = 1 << 53
_DIGITS_MAX: Final = 18
_TENS: Final = np.array([10**power for power in range(17)], np.int64)
_RATE_PLACES_MAX: Final = 15
_PRICE_PLACES: Final = len(str(PRICE_ONE)) - 1
_NS_PER_MS: Final = 1_000_000
_TIME_MS_MAX: Final = (MAX_EVENT_NS - 1) // _NS_PER_MS
_TIME_DIGITS_MAX: Final = 13


@compiled("int64(int64)", late=True)
def _whole_digits(at: int) -> int:
    """How many digits a string of digits with at most one point has before it; 0 if it is none."""
    whole = digit_run(at + 1)
    if byte(at) != _MARK or (whole > 1 and byte(at + 1) == _ZERO):
        return 0
    return whole


@compiled("int64(int64, int64)", late=True)
def _places(at: int, whole: int) -> int:
    """How many digits it has behind the point, or `NOT_READ`."""
    end = at + 1 + whole
    places = 0
    if byte(end) == _POINT:
        places = digit_run(end + 1)
        if places == 0:
            return NOT_READ
        end += 1 + places
    return places if byte(end) == _MARK and whole + places <= _DIGITS_MAX else NOT_READ


@compiled("int64(int64, int64, int64)", late=True)
def _digits(at: int, whole: int, places: int) -> int:
    """All its digits as one whole number."""
    digits = number(at + 1, whole)
    if places > 0:
        digits = digits * _TENS[places] + number(at + 2 + whole, places)
    return digits


@compiled("float64(int64)", late=True)
def decimal(at: int) -> float:
    """The number in a string of digits with at most one point, or a negative one.

    An integer and a power of ten that float64 holds exactly have an exactly rounded quotient: what `float` gives.
    """
    whole = _whole_digits(at)
    places = _places(at, whole)
    if whole == 0 or places < 0:
        return NOT_READ
    digits = _digits(at, whole, places)
    return digits / np.float64(_TENS[places]) if digits <= _EXACT_MAX else np.float64(NOT_READ)


@compiled("float64(int64)", late=True)
def rate(at: int) -> float:
    """The fraction between -1 and 1 in such a string, of either sign, or `NO_RATE`."""
    is_negative = byte(at + 1) == _MINUS
    first = at + 1 + is_negative
    whole = digit_run(first)
    if byte(at) != _MARK or whole != 1 or byte(first) != _ZERO or byte(first + 1) != _POINT:
        return NO_RATE
    places = digit_run(first + 2)
    if not 0 < places <= _RATE_PLACES_MAX or byte(first + 2 + places) != _MARK:
        return NO_RATE
    magnitude = number(first + 2, places) / np.float64(_TENS[places])
    return -magnitude if is_negative else magnitude


@compiled("int64(int64)", late=True)
def scaled_price(at: int) -> int:
    """The price in such a string, in whole numbers of 1e-8, or a negative number.

    None is read that float64 could not hold exactly scaled like this: the quotient is then exactly rounded as well.
    """
    whole = _whole_digits(at)
    places = _places(at, whole)
    if whole == 0 or not 0 <= places <= _PRICE_PLACES:
        return NOT_READ
    digits = _digits(at, whole, places)
    scale = _TENS[_PRICE_PLACES - places]
    return digits * scale if digits <= _EXACT_MAX // scale else NOT_READ


@compiled("int64(int64)", late=True)
def number_end(at: int) -> int:
    """Behind a string that `decimal` or `scaled_price` has read."""
    end = at + 1 + digit_run(at + 1)
    if byte(end) == _POINT:
        end += 1 + digit_run(end + 1)
    return end + 1


@compiled("int64(int64)", late=True)
def update_id(at: int) -> int:
    """An id: a whole number of at most sixteen digits, or a negative number."""
    run = digit_run(at)
    if run == 0 or byte(at + run) not in (_COMMA, _CLOSE):
        return NOT_READ
    return number(at, run)


@compiled("int64(int64)", late=True)
def event_time_ms(at: int) -> int:
    """A time that a TICK can hold, or a negative number."""
    run = digit_run(at)
    if run == 0 or run > _TIME_DIGITS_MAX or byte(at + run) not in (_COMMA, _CLOSE):
        return NOT_READ
    time_ms = number(at, run)
    return time_ms if time_ms <= _TIME_MS_MAX else NOT_READ
