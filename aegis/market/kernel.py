"""Constants and array types for compiled code."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

__all__ = ["array_of", "constant"]


def constant(value: int) -> int:
    """An integer that has the type of all others.

    Numba types a plain integer by its value, and compiles what it is handed to once for each value.
    """
    return np.int64(value)  # type: ignore[return-value]


def array_of(dtype: np.dtype[np.void], *, readonly: bool = False) -> Any:
    """The type of a contiguous array of records, for a kernel's signature; a read-only one takes writable ones as well."""
    return numba.types.Array(numba.from_dtype(dtype), 1, "C", readonly=readonly)
