"""What Python may call of the rows of a board."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aegis.compiled import compiled, entry_point
from aegis.shm import seqlock

__all__ = ["read", "write"]

read: Final[Callable[[int, int, int, int], bool]] = entry_point(
    compiled("boolean(int64, int64, int64, int64)")(seqlock.read_row.py_func)  # type: ignore[attr-defined]
)
write: Final[Callable[[int, int, int], None]] = entry_point(
    compiled("void(int64, int64, int64)")(seqlock.write_row.py_func)  # type: ignore[attr-defined]
)
