"""What Python may call of the protocol: one compiled function each, without numba's search for a specialisation.

The functions that touch records are compiled once a record type, so that a tuple or an array arrives with its
layout known and nothing is looked up at run time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numba
import numpy as np
from numba import types

from aegis.compiled import compiled, entry_point
from aegis.shm import reading, writing
from aegis.shm.layout import Geometry, Records, word_kinds

__all__ = [
    "arm",
    "ask_room",
    "batch_reader",
    "batch_writer",
    "commit",
    "finish",
    "join",
    "ready",
    "record_writer",
    "release",
    "reserve",
    "spin",
    "spin_room",
]

_WORD_TYPES: Final = {"i": types.int64, "u": types.uint64, "f": types.float64}


def _call(signature: str, function: Any, *, nogil: bool = False) -> Callable[..., Any]:
    return entry_point(compiled(signature, nogil=nogil)(function.py_func))


ready: Final[Callable[[int], int]] = _call("int64(int64)", reading.ready)
spin: Final[Callable[[int, int], int]] = _call("int64(int64, int64)", reading.spin, nogil=True)
arm: Final[Callable[[int], int]] = _call("int64(int64)", reading.arm)
release: Final[Callable[[int, int], int]] = _call("int64(int64, int64)", reading.release)
join: Final[Callable[[int, int, int, bool], int]] = _call(
    "int64(int64, int64, int64, boolean)", reading.join
)
reserve: Final[Callable[[int, int], int]] = _call("int64(int64, int64)", writing.reserve)
commit: Final[Callable[[int, int], None]] = _call("void(int64, int64)", writing.commit)
spin_room: Final[Callable[[int, int, int], int]] = _call(
    "int64(int64, int64, int64)", writing.spin_room, nogil=True
)
ask_room: Final[Callable[[int, int], int]] = _call("int64(int64, int64)", writing.ask_room)
finish: Final[Callable[[int], None]] = _call("void(int64)", writing.finish)


@cache
def record_writer(dtype: np.dtype[Any]) -> Callable[[int, tuple[float, ...]], bool]:
    """`put` for records of this type, given as one number for each 8-byte word."""
    words = types.Tuple([_WORD_TYPES[kind] for kind in word_kinds(dtype)])

    @compiled(types.boolean(types.int64, words))
    def write(handle: int, record: tuple[float, ...]) -> bool:
        return writing.put(handle, record)

    return entry_point(write)


@cache
def batch_writer(dtype: np.dtype[Any]) -> Callable[[int, Records], int]:
    """`put_many` for a one-dimensional array of this type; -1 if its records do not lie side by side."""

    item = dtype.itemsize
    stride = Geometry(dtype, 16).stride_bytes

    @compiled(types.int64(types.int64, _array_of(dtype)), nogil=True)
    def write_batch(handle: int, records: Records) -> int:
        if len(records) > 1 and records.strides[0] != records.itemsize:
            return -1
        return writing.put_many_of(handle, records.ctypes.data, len(records), item, stride)

    return entry_point(write_batch)


@cache
def batch_reader(dtype: np.dtype[Any]) -> Callable[[int, Records], int]:
    """`walk` into a one-dimensional array of this type; -1 if its records do not lie side by side."""

    @compiled(types.int64(types.int64, _array_of(dtype)), nogil=True)
    def read_into(handle: int, out: Records) -> int:
        if len(out) > 1 and out.strides[0] != out.itemsize:
            return -1
        return reading.walk(handle, out.ctypes.data, len(out))

    return entry_point(read_into)


def _array_of(dtype: np.dtype[Any]) -> Any:
    return types.Array(numba.from_dtype(dtype), 1, "A")
