"""Parts of what aegis.compiled compiles, and constants for them.

The step is one kernel made of some sixty small functions. What it is made of decides how long it takes to compile: numba's own
`inline="always"` pastes each part into its caller before types are known, and infers the whole caller's anew for each; that took
258 s here. LLVM inlines as well, after the types are known and each part is compiled once: 10 s, and the same speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np

__all__ = ["array_of", "constant", "inlined"]

P = ParamSpec("P")
R = TypeVar("R")


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of those that call it: it has no cache entry of its own, and cannot be called from Python.

    Pass records to it, not arrays: numba counts references to an array at each call, atomically, which costs more than
    most of these functions.
    """
    part = numba.njit(
        forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy"
    )
    return part(function)  # type: ignore[no-any-return]


def constant(value: int) -> int:
    """An integer that has the type of all others.

    Numba types a plain integer by its value, and compiles what it is handed to once for each value.
    """
    return np.int64(value)  # type: ignore[return-value]


def array_of(dtype: np.dtype[np.void], *, readonly: bool = False) -> Any:
    """The type of a contiguous array of records, for a kernel's signature; a read-only one takes writable ones as well."""
    return numba.types.Array(numba.from_dtype(dtype), 1, "C", readonly=readonly)
