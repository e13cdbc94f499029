r"""Steps over JSON for the fast lane: where a value ends, or that the lane leaves it.

Each function takes the address where something begins and returns the address behind it, or `LEFT` for what is no
JSON (RFC 8259) or outside the part of it that is read here: no white space between tokens, ASCII only, no `\u`,
nested at most `DEPTH_MAX` deep. The slow path decides about whatever is left, so being narrow costs time, never a
tick; being wider than the slow path would let through what it refuses.
"""

from __future__ import annotations

from typing import Final

from aegis.compiled import compiled
from aegis.memory import byte, word
from aegis.venue.fastlane_bytes import BLOCK, digit_run, digits_end, string_end, text

__all__ = ["DEPTH_MAX", "LEFT", "key_end", "value_end"]

LEFT: Final = 0
DEPTH_MAX: Final = 60

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_ESCAPED: Final = tuple(map(ord, '"\\/bfnrt'))
_COLON: Final = ord(":")
_COMMA: Final = ord(",")
_ZERO: Final = ord("0")
_NINE: Final = ord("9")
_POINT: Final = ord(".")
_MINUS: Final = ord("-")
_PLUS: Final = ord("+")
_EXPONENT: Final = ord("e")
_LOWER_CASE: Final = 0x20
_OBJECT: Final = ord("{")
_ARRAY: Final = ord("[")
_TO_CLOSING: Final = 2
"""From `{` to `}`, and from `[` to `]`."""
_TRUE: Final = text("true")
_FALSE: Final = text("false")
_NULL: Final = text("null")
_FOUR_BYTES: Final = (1 << 32) - 1
_FIVE_BYTES: Final = (1 << 40) - 1


@compiled("int64(int64)", late=True)
def key_end(at: int) -> int:
    """Behind a key and its colon. An escape in a key is left: it might spell one that matters."""
    if byte(at) == _QUOTE:
        end = string_end(at + 1)
        if byte(end) == _QUOTE and byte(end + 1) == _COLON:
            return end + 2
    return LEFT


@compiled("int64(int64)", late=True)
def _string_end(at: int) -> int:
    """Behind a string, escapes included."""
    at = string_end(at + 1)
    while byte(at) == _BACKSLASH:
        if byte(at + 1) not in _ESCAPED:
            return LEFT
        at = string_end(at + 2)
    return at + 1 if byte(at) == _QUOTE else LEFT


@compiled("int64(int64)", late=True)
def _number_end(at: int) -> int:
    """Behind a number: no leading zero, and a digit on both sides of a point."""
    at += byte(at) == _MINUS
    end = digits_end(at)
    if end == at or (byte(at) == _ZERO and end > at + 1):
        return LEFT
    if byte(end) == _POINT:
        at = end + 1
        end = digits_end(at)
        if end == at:
            return LEFT
    if byte(end) | _LOWER_CASE == _EXPONENT:
        at = end + 1
        at += byte(at) in (_PLUS, _MINUS)
        end = digits_end(at)
        if end == at:
            return LEFT
    return end


@compiled("int64(int64)", late=True)
def _scalar_end(at: int) -> int:
    """Behind a string, a number, `true`, `false` or `null`."""
    first = byte(at)
    if first == _QUOTE:
        return _string_end(at)
    if first == _MINUS or _ZERO <= first <= _NINE:
        return _number_end(at)
    if word(at) & _FIVE_BYTES == _FALSE:
        return at + 5
    if word(at) & _FOUR_BYTES in (_TRUE, _NULL):
        return at + 4
    return LEFT


@compiled("int64(int64)", late=True)
def any_value_end(at: int) -> int:
    """Behind any value, however nested: a bit for each level tells objects from arrays."""
    depth = objects = 0
    while True:
        opening = byte(at)
        if opening in (_OBJECT, _ARRAY):
            if depth == DEPTH_MAX:
                return LEFT
            depth += 1
            objects = objects << 1 | (opening == _OBJECT)
            at += 1
            is_new = byte(at) != opening + _TO_CLOSING  # it has a first member
        else:
            at = _scalar_end(at)
            is_new = False
        if at != LEFT and not is_new:
            while depth > 0 and byte(at) == (_OBJECT if objects & 1 else _ARRAY) + _TO_CLOSING:
                depth -= 1
                objects >>= 1
                at += 1
            if depth == 0:
                return at
            at = at + 1 if byte(at) == _COMMA else LEFT
        if at != LEFT and objects & 1:
            at = key_end(at)
        if at == LEFT:
            return LEFT


@compiled("int64(int64)", late=True)
def value_end(at: int) -> int:
    """Behind any value. Plain strings and short whole numbers, nearly all there is, are stepped over at once."""
    first = byte(at)
    if first == _QUOTE:
        end = string_end(at + 1)
        if byte(end) == _QUOTE:
            return end + 1
    elif _ZERO < first <= _NINE:
        run = digit_run(at)
        behind = byte(at + run)
        if run < BLOCK and behind != _POINT and behind | _LOWER_CASE != _EXPONENT:
            return at + run
    return any_value_end(at)
