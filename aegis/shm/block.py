"""The private block: what one writer or one reader keeps to itself between two calls.

Its address is the *handle*, the only argument by which compiled code knows its ring. It lives outside the segment:
nobody else can see it or damage it.

The offsets are frozen into compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from aegis.errors import check
from aegis.shm.layout import ENTRIES, ENTRY_BYTES, READERS_MAX, WORD, Geometry

__all__ = ["Block"]

# Offsets of the block's words, in bytes.
HEADER_AT: Final = 0 * WORD  # addresses of the three regions in this process
TABLE_AT: Final = 1 * WORD
SLOTS_AT: Final = 2 * WORD
ENTRY_AT: Final = 3 * WORD  # a reader's own entry
MASK: Final = 4 * WORD
STRIDE: Final = 5 * WORD
ITEM: Final = 6 * WORD
NEXT: Final = 7 * WORD  # the sequence of the last record written, or done with
# A writer: it may write up to here without looking at the gates. A reader: PUB when last seen.
LIMIT: Final = 8 * WORD
GATING: Final = 9 * WORD  # a reader: 1 if its cursor may hold the writer back
LOST_SO_FAR: Final = 10 * WORD
STALLED: Final = 11 * WORD  # a writer: how often there was no room
ONE: Final = 12 * WORD  # the number that is written to an eventfd
BIT: Final = 13 * WORD  # a reader's own bit among the sleepers
PAID: Final = 14 * WORD  # a reader: 1 when a record came during a spin
WAKE_FDS: Final = 15 * WORD  # readers' eventfds, then the writer's; -1: none
_WORDS: Final = 15 + READERS_MAX + 1
WRITER_FD: Final = WAKE_FDS + READERS_MAX * WORD


class Block:
    """The words, and the handle that compiled code takes."""

    def __init__(
        self, geometry: Geometry, header: int, table: int, slots: int, wake_fds: tuple[int, ...]
    ) -> None:
        self._words: npt.NDArray[np.int64] = np.zeros(_WORDS, np.int64)
        self.handle: Final = int(self._words.ctypes.data)
        check(len(wake_fds) in {0, READERS_MAX + 1}, "an eventfd for each reader and the writer")
        self[HEADER_AT], self[TABLE_AT], self[SLOTS_AT] = header, table, slots
        self[MASK] = geometry.capacity - 1
        self[STRIDE] = geometry.stride_bytes
        self[ITEM] = geometry.item_bytes
        self[ONE] = 1
        self._words[WAKE_FDS // WORD :] = -1
        for index, fd in enumerate(wake_fds[:-1]):
            self[WAKE_FDS + index * WORD] = fd
        if wake_fds:
            self[WRITER_FD] = wake_fds[-1]

    def seat(self, index: int, *, gating: bool) -> None:
        """Make it the block of reader `index`."""
        check(0 <= index < READERS_MAX, "a reader has one of the places")
        self[ENTRY_AT] = self[TABLE_AT] + ENTRIES + index * ENTRY_BYTES
        self[BIT] = 1 << index
        self[GATING] = gating

    def __getitem__(self, offset: int) -> int:
        return int(self._words[offset // WORD])

    def __setitem__(self, offset: int, word: int) -> None:
        self._words[offset // WORD] = word
