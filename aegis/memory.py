"""Plain memory by its address, for compiled code: bytes, words, moves, and records where they lie.

Addresses are `int64`. Nothing here is atomic: what another process may write at the same time is read and written by
`aegis.shm.atomics`. All of it is frozen into compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

__all__ = ["byte", "move", "record_at", "set_word", "word"]

_WORD: Final = ir.IntType(64)
_BYTE: Final = ir.IntType(8)
_Type = Any  # a numba type; an instruction is asked for its signature by the types of its arguments


def _loaded(kind: Any) -> Any:
    """A function from an address to the unsigned number that stands there, as an int64."""

    def load(_context: _Type, _address: _Type) -> Any:
        def build(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            number = builder.load(builder.inttoptr(args[0], kind.as_pointer()), align=1)
            return number if kind is _WORD else builder.zext(number, _WORD)

        return types.int64(types.int64), build

    return intrinsic(load)


byte: Final[Callable[[int], int]] = _loaded(_BYTE)
"""The byte at an address."""
word: Final[Callable[[int], int]] = _loaded(_WORD)
"""The eight bytes from an address on, the first one lowest."""


def _set_word(_context: _Type, _address: _Type, _word: _Type) -> Any:
    def build(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()), align=1)
        return target.get_dummy_value()

    return types.void(types.int64, types.int64), build


def _move(_context: _Type, _to: _Type, _source: _Type, _count: _Type) -> Any:
    def build(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _BYTE.as_pointer()
        memmove = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, _WORD])
        to, source = (builder.inttoptr(address, pointer) for address in args[:2])
        builder.call(memmove, [to, source, args[2], ir.Constant(ir.IntType(1), 0)])
        return target.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


set_word: Final[Callable[[int, int], None]] = intrinsic(_set_word)
"""Store a word `(address, word)`."""
move: Final[Callable[[int, int, int], None]] = intrinsic(_move)
"""Copy bytes `(to, source, count)`; the two places may overlap."""


def record_at(dtype: np.dtype[np.void]) -> Callable[[int], Any]:
    """A function from an address to the record of this type that lies there: a view, by field name, not a copy."""
    kind = numba.from_dtype(dtype)

    def record(_context: _Type, _address: _Type) -> Any:
        def build(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], target.get_value_type(kind))

        return kind(types.int64), build

    return intrinsic(record)  # type: ignore[no-any-return]
