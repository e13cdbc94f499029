"""Text in memory, sixteen bytes at a time: what the fast lane's compiled code reads a frame with.

Addresses are `int64`. Every function may look at up to `BEYOND` bytes behind the ones that it is asked about, so
a buffer needs that many bytes of padding; zeros there end every run.

All of it is frozen into compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from aegis.compiled import compiled
from aegis.errors import check
from aegis.memory import byte, word

__all__ = [
    "BEYOND",
    "BLOCK",
    "digit_run",
    "digits_end",
    "number",
    "plain_run",
    "sixteen_bits",
    "string_end",
    "text",
]

check(sys.byteorder == "little", "a word's lowest byte is the first character")

BLOCK: Final = 16
BEYOND: Final = 64

_WORD = ir.IntType(64)
_BYTES = ir.VectorType(ir.IntType(8), BLOCK)
_Type = Any  # a numba type; an instruction is asked for its signature by the types of its arguments

_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C


def text(characters: str) -> int:
    """Up to eight characters as the number that `word` reads where they stand."""
    return int.from_bytes(characters.encode("ascii"), "little")


def _at(generate: Callable[[Any, Any], Any]) -> Any:
    """A function of compiled code from one address to an int64: the instructions that `generate` makes."""

    def define(_context: _Type, _address: _Type) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return generate(builder, args[0])

        return types.int64(types.int64), build

    return intrinsic(define)


def _sixteen(builder: Any, address: Any) -> Any:
    return builder.load(builder.inttoptr(address, _BYTES.as_pointer()), align=1)


def _all(character: int) -> Any:
    return ir.Constant(_BYTES, [character] * BLOCK)


def _first(builder: Any, found: Any) -> Any:
    """The index of the first true of sixteen, or 16."""
    bits = builder.zext(builder.bitcast(found, ir.IntType(BLOCK)), _WORD)
    guarded = builder.or_(bits, ir.Constant(_WORD, 1 << BLOCK))
    return builder.cttz(guarded, ir.Constant(ir.IntType(1), 1))


def _plain_run(builder: Any, address: Any) -> Any:
    characters = _sixteen(builder, address)
    # As signed numbers the bytes from 0x80 on are below zero: one comparison finds them and the controls.
    odd = builder.icmp_signed("<", characters, _all(0x20))
    for special in (_QUOTE, _BACKSLASH):
        odd = builder.or_(odd, builder.icmp_signed("==", characters, _all(special)))
    return _first(builder, odd)


def _digit_run(builder: Any, address: Any) -> Any:
    digits = builder.sub(_sixteen(builder, address), _all(ord("0")))
    return _first(builder, builder.icmp_unsigned(">", digits, _all(9)))


plain_run: Final[Callable[[int], int]] = _at(_plain_run)
"""How many of the next sixteen bytes can stand in a JSON string as they are: ASCII, no control, quote or backslash."""
digit_run: Final[Callable[[int], int]] = _at(_digit_run)
"""How many of the next sixteen bytes are decimal digits."""


@compiled("int64(int64)", late=True)
def sixteen_bits(at: int) -> int:
    """The number in two bytes, the first one highest, as networks write it."""
    return byte(at) << 8 | byte(at + 1)


@compiled("int64(int64)", late=True)
def digits_end(at: int) -> int:
    """The address behind the digits that stand here; none is no error."""
    run = digit_run(at)
    while run == BLOCK:
        at += BLOCK
        run = digit_run(at)
    return at + run


@compiled("int64(int64)", late=True)
def string_end(at: int) -> int:
    """The address of the first character that cannot stand in a JSON string as it is: its end, if all is well."""
    run = plain_run(at)
    while run == BLOCK:
        at += BLOCK
        run = plain_run(at)
    return at + run


@compiled("int64(int64, int64)", late=True)
def _eight(at: int, count: int) -> int:
    """The number that one to eight digits make.

    Neighbours are joined pair by pair: eight digits, four numbers below 100, two below 10,000, one. Shifting the
    digits to the top of the word puts zeros in front of them.
    """
    digits = word(at) << (64 - 8 * count) & 0x0F0F0F0F0F0F0F0F
    pairs = (digits * (10 << 8 | 1)) >> 8 & 0x00FF00FF00FF00FF
    fours = (pairs * (100 << 16 | 1)) >> 16 & 0x0000FFFF0000FFFF
    return (fours * (10_000 << 32 | 1)) >> 32


@compiled("int64(int64, int64)", late=True)
def number(at: int, count: int) -> int:
    """The number that one to sixteen digits make."""
    if count <= 8:
        return _eight(at, count)
    return _eight(at, count - 8) * 100_000_000 + _eight(at + count - 8, 8)
