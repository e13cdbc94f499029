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
    "prepare",
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


def prepare(dtype: np.dtype[Any], *, one_by_one: bool = False) -> None:
    """Compile, or load, what the rings of a record type need; otherwise that happens when the first is used.

    Args:
        dtype: of the records.
        one_by_one: writers are given single records as well.
    """
    dtype = np.dtype(dtype)
    _address_of(dtype)
    _put_many(dtype)
    _walk(dtype)
    if one_by_one:
        _record_writer(dtype)


def record_writer(dtype: np.dtype[Any], handle: int) -> Callable[..., bool]:
    """`put` for records of this type, given as one number for each 8-byte word."""
    put = _record_writer(dtype)

    def write(*words: float) -> bool:
        return put(handle, words)

    return write


# A producer fills the same array again and again, and a reader that spins asks for the same one: the array of the
# last call is checked no more. It is kept alive, so that its address stays what it was.


def batch_writer(dtype: np.dtype[Any], handle: int) -> Callable[[Records], int]:
    """`put_many` for a contiguous array of this type."""
    address_of, put_many = _address_of(dtype), _put_many(dtype)
    known: Records | None = None
    address = size = 0

    def write_batch(records: Records) -> int:
        nonlocal known, address, size
        if records is not known:
            fits = records.dtype == dtype and records.ndim == 1
            place = address_of(records) if fits else 0
            if not place:
                raise Refused(f"write_batch takes a contiguous array of {dtype}")
            known, address, size = records, place, len(records)
        return put_many(handle, address, size)

    return write_batch


def batch_reader(dtype: np.dtype[Any], handle: int) -> Callable[[Records], int]:
    """`walk` into a contiguous array of this type."""
    address_of, walk = _address_of(dtype), _walk(dtype)
    known: Records | None = None
    address = size = 0

    def read_into(out: Records) -> int:
        nonlocal known, address, size
        if out is not known:
            fits = out.dtype == dtype and out.ndim == 1 and out.flags.writeable
            place = address_of(out) if fits else 0
            if not place:
                raise Refused(f"read_into takes a writable contiguous array of {dtype}")
            known, address, size = out, place, len(out)
        return walk(handle, address, size)

    return read_into


@cache
def _record_writer(dtype: np.dtype[Any]) -> Callable[[int, tuple[Any, ...]], bool]:
    words = types.Tuple([_WORD_TYPES[kind] for kind in word_kinds(dtype)])

    @compiled(types.boolean(types.int64, words))
    def write(handle: int, record: tuple[Any, ...]) -> bool:
        return writing.put(handle, record)

    return entry_point(write)


@cache
def _address_of(dtype: np.dtype[Any]) -> Callable[[Records], int]:
    """Where the records of a one-dimensional array begin; 0 if they do not lie side by side.

    Numba takes the number of dimensions on trust. (`ndarray.ctypes.data` takes ten times as long.)
    """

    @compiled(types.int64(types.Array(numba.from_dtype(dtype), 1, "A")))
    def address_of(records: Records) -> int:
        if len(records) > 1 and records.strides[0] != records.itemsize:
            return 0
        return records.ctypes.data

    return entry_point(address_of)


# In these two the sizes are constants, so that the copy of a record is straight code.


@cache
def _put_many(dtype: np.dtype[Any]) -> Callable[[int, int, int], int]:
    item, stride = dtype.itemsize, stride_of(dtype)

    @compiled("int64(int64, int64, int64)")
    def put_many(handle: int, source: int, count: int) -> int:
        return writing.put_sized(handle, source, count, item, stride)

    return entry_point(put_many)


@cache
def _walk(dtype: np.dtype[Any]) -> Callable[[int, int, int], int]:
    item, stride = dtype.itemsize, stride_of(dtype)

    @compiled("int64(int64, int64, int64)")
    def walk(handle: int, destination: int, limit: int) -> int:
        return reading.walk_sized(handle, destination, limit, item, stride)

    return entry_point(walk)
