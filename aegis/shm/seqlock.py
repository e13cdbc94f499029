"""One row of a board: a record that one writer replaces and many readers copy, for compiled code.

A row is a stamp and the record's words. The stamp is odd while the writer is at work, so a copy is whole if the stamp
was even and the same before and after it (a sequence lock). Readers write nothing: they cost the writer no more than
the cache lines that they took.

    writer   stamp odd -> fence -> words -> stamp even (release)
    reader   stamp (acquire) -> even? words -> fence -> the same stamp? else it was replaced meanwhile
"""

from __future__ import annotations

from aegis.compiled import inlined
from aegis.shm.atomics import (
    copy_in,
    copy_out,
    fence_acquire,
    fence_release,
    load_acquire,
    load_relaxed,
    pause,
    store_relaxed,
    store_release,
)
from aegis.shm.layout import WORD

__all__ = ["read_row", "write_row"]


@inlined
def write_row(row: int, source: int, size: int) -> None:
    """Replace the record of a row.

    Args:
        row: its address in the segment.
        source: where the record lies in private memory.
        size: the record's bytes, whole words.
    """
    # Odd already if a writer died at work: its successor's record makes the row whole again.
    stamp = load_relaxed(row) | 1
    store_relaxed(row, stamp)
    fence_release()
    for offset in range(0, size, WORD):
        copy_in(row + WORD + offset, source + offset)
    store_release(row, stamp + 1)


@inlined
def read_row(row: int, destination: int, size: int, tries: int) -> bool:
    """Copy the record of a row as it was at one moment.

    Args:
        row: its address in the segment.
        destination: where to in private memory; what is there after a failure means nothing.
        size: the record's bytes, whole words.
        tries: how often to look; each fails if the writer is at work meanwhile.
    """
    for _ in range(tries):
        stamp = load_acquire(row)
        if stamp & 1 == 0:
            for offset in range(0, size, WORD):
                copy_out(destination + offset, row + WORD + offset)
            fence_acquire()
            if load_relaxed(row) == stamp:
                return True
        pause()
    return False
