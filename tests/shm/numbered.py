"""Records that say which they are: word `k` of record `n` is `(k + 1) * n`."""

from __future__ import annotations

from typing import Final

import numpy as np

from aegis.shm.layout import Records

NUMBERED: Final = np.dtype([(name, "<i8") for name in "abcdef"])
BATCH: Final = 4096
_FACTORS: Final = np.arange(1, 7)
_STEPS: Final = np.arange(BATCH)[:, None] * _FACTORS


def numbered(first: int, count: int) -> Records:
    """Records `first`, `first + 1` and so on, at most `BATCH`."""
    words = _STEPS[:count] + first * _FACTORS
    return words.view(NUMBERED).reshape(-1)


def wrong(records: Records, first: int) -> int:
    """How many of these are not whole, or not the ones they should be."""
    expected = _STEPS[: len(records)] + first * _FACTORS
    words = records.view(np.int64).reshape(-1, 6)
    return int((words != expected).any(axis=1).sum())
