"""How much Python allocates: every block that an object asks for, counted where it is asked for.

CPython lets its allocator be wrapped at any time (PEP 445); `tracemalloc` does the same. What is put in front of it here
adds one to a word and goes on to the allocator behind, so a running engine can be watched: a few nanoseconds a block.
Objects that CPython keeps in free lists (floats, small tuples and lists) ask for nothing and are not counted, as long as
such a list has some.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, Self

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from aegis.compiled import callback
from aegis.errors import check
from aegis.shm.atomics import load_relaxed, store_relaxed

__all__ = ["AllocationCounter"]

_OBJECTS: Final = 2
"""PYMEM_DOMAIN_OBJ: what objects are made of."""
# The words of what the wrappers work on: the allocator behind, and the count.
_CONTEXT, _MALLOC, _CALLOC, _REALLOC, _FREE, _COUNT = range(0, 48, 8)


@intrinsic  # type: ignore[untyped-decorator]
def _call(_typing: Any, _function: Any, _context: Any, _first: Any, _second: Any) -> Any:
    """Call `void *(*)(void *, size_t, size_t)` at an address; one argument too many does no harm in C's convention."""

    def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word, word, word])
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), generate


@callback("int64(int64, int64)")
def _malloc(block: int, size: int) -> int:
    store_relaxed(block + _COUNT, load_relaxed(block + _COUNT) + 1)
    return _call(load_relaxed(block + _MALLOC), load_relaxed(block + _CONTEXT), size, 0)  # type: ignore[no-any-return]


@callback("int64(int64, int64, int64)")
def _calloc(block: int, count: int, size: int) -> int:
    store_relaxed(block + _COUNT, load_relaxed(block + _COUNT) + 1)
    return _call(load_relaxed(block + _CALLOC), load_relaxed(block + _CONTEXT), count, size)  # type: ignore[no-any-return]


@callback("int64(int64, int64, int64)")
def _realloc(block: int, old: int, size: int) -> int:
    """A block that grows is no new object."""
    return _call(load_relaxed(block + _REALLOC), load_relaxed(block + _CONTEXT), old, size)  # type: ignore[no-any-return]


@callback("void(int64, int64)")
def _free(block: int, old: int) -> None:
    _call(load_relaxed(block + _FREE), load_relaxed(block + _CONTEXT), old, 0)


class _Allocator(ctypes.Structure):
    """PyMemAllocatorEx."""

    _fields_ = tuple(
        (name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")
    )


class AllocationCounter:
    """Counts while its block runs, for all threads of the process. Only one at a time."""

    def __init__(self) -> None:
        self._words = np.zeros(6, np.int64)
        self._behind = _Allocator()

    @property
    def blocks(self) -> int:
        """Asked for so far."""
        return int(self._words[_COUNT // 8])

    def __enter__(self) -> Self:
        ctypes.pythonapi.PyMem_GetAllocator(_OBJECTS, ctypes.byref(self._behind))
        behind = self._behind
        check(behind.malloc != _malloc, "one count at a time")
        self._words[:] = (
            behind.ctx or 0,
            behind.malloc,
            behind.calloc,
            behind.realloc,
            behind.free,
            0,
        )
        counting = _Allocator(self._words.ctypes.data, _malloc, _calloc, _realloc, _free)
        ctypes.pythonapi.PyMem_SetAllocator(_OBJECTS, ctypes.byref(counting))
        return self

    def __exit__(self, *_: object) -> None:
        ctypes.pythonapi.PyMem_SetAllocator(_OBJECTS, ctypes.byref(self._behind))
