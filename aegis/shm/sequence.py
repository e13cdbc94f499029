"""Arithmetic of sequences in compiled code: 64-bit words that may wrap.

Numba tells LLVM that its own `+` and `-` never overflow, and LLVM then deletes the very comparisons that a wrapped
sequence depends on. These two, frozen into compiled code (see `aegis.compiled`), are defined for every value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from numba import types
from numba.extending import intrinsic

__all__ = ["forward", "since"]

_SIGNATURE: Final = types.int64(types.int64, types.int64)


def _wrapping(operation: str) -> Any:
    def define(_context: Any, _one: Any, _other: Any) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, operation)(*args)

        return _SIGNATURE, generate

    return intrinsic(define)


forward: Final[Callable[[int, int], int]] = _wrapping("add")
"""The sequence so many steps on, or back."""
since: Final[Callable[[int, int], int]] = _wrapping("sub")
"""How many steps the first sequence is past the second; negative when it is before it."""
