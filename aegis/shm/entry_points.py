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
from aegis.errors import Refused
from aegis.shm import reading, writing
from aegis.shm.layout import Records, stride_of, word_kinds

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


def record_writer(dtype: np.dtype[Any], handle: int) -> Callable[..., bool]:
    """`put` for records of this type, given as one number for each 8-byte word."""
    put = _record_writer(dtype)

    def write(*words: float) -> bool:
        return put(handle, words)

    return write


def batch_writer(dtype: np.dtype[Any], handle: int) -> Callable[[Records], int]:
    """`put_many` for a contiguous array of this type."""
    put_many = _batch_writer(dtype)

    def write_batch(records: Records) -> int:
        # Numba takes the number of dimensions on trust.
        count = put_many(handle, records) if records.dtype == dtype and records.ndim == 1 else -1
        if count < 0:
            raise Refused(f"write_batch takes a contiguous array of {dtype}")
        return count

    return write_batch


def batch_reader(dtype: np.dtype[Any], handle: int) -> Callable[[Records], int]:
    """`walk` into a contiguous array of this type."""
    walk = _batch_reader(dtype)
    fitting: Records | None = (
        None  # a reader that spins comes back with the same array, checked already
    )

    def read_into(out: Records) -> int:
        nonlocal fitting
        if out is not fitting and out.dtype == dtype and out.flags.writeable:
            fitting = out
        # Numba takes the number of dimensions on trust, and it can be changed in place.
        count = walk(handle, out) if out is fitting and out.ndim == 1 else -1
        if count < 0:
            raise Refused(f"read_into takes a writable contiguous array of {dtype}")
        return count

    return read_into


@cache
def _record_writer(dtype: np.dtype[Any]) -> Callable[[int, tuple[Any, ...]], bool]:
    words = types.Tuple([_WORD_TYPES[kind] for kind in word_kinds(dtype)])

    @compiled(types.boolean(types.int64, words))
    def write(handle: int, record: tuple[Any, ...]) -> bool:
        return writing.put(handle, record)

    return entry_point(write)


# The sizes are constants here, so that the copy of a record is straight code; -1: the records do not lie side by side.


@cache
def _batch_writer(dtype: np.dtype[Any]) -> Callable[[int, Records], int]:
    item, stride = dtype.itemsize, stride_of(dtype)

    @compiled(types.int64(types.int64, _array_of(dtype)))
    def write_batch(handle: int, records: Records) -> int:
        if len(records) > 1 and records.strides[0] != item:
            return -1
        return writing.put_sized(handle, records.ctypes.data, len(records), item, stride)

    return entry_point(write_batch)


@cache
def _batch_reader(dtype: np.dtype[Any]) -> Callable[[int, Records], int]:
    item, stride = dtype.itemsize, stride_of(dtype)

    @compiled(types.int64(types.int64, _array_of(dtype)))
    def read_into(handle: int, out: Records) -> int:
        if len(out) > 1 and out.strides[0] != item:
            return -1
        return reading.walk_sized(handle, out.ctypes.data, len(out), item, stride)

    return entry_point(read_into)


def _array_of(dtype: np.dtype[Any]) -> Any:
    return types.Array(numba.from_dtype(dtype), 1, "A")
