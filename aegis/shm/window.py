"""What one party sees of a segment: its mappings, and the same words by name for the calls that are not hot."""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import Final, NoReturn

import numpy as np

from aegis.errors import Refused, check
from aegis.shm.block import Block
from aegis.shm.layout import ENTRIES, ENTRY, HEADER, LINE, READERS_MAX, Geometry, Records

__all__ = ["Window", "closed"]


class Window:
    """A mapped segment. Only a writer may write header and slots; everybody may write the reader table.

    The pages are present from the start: without that the first lap pays a page fault every 64 records, which was
    all of the latency's tail.
    """

    def __init__(self, fd: int, geometry: Geometry, *, writable: bool) -> None:
        self.geometry: Final = geometry
        page, total = mmap.PAGESIZE, geometry.total_bytes
        self._all: Final = _map(fd, 0, total, writable=writable)
        self._table: Final = _map(fd, page, page, writable=True)
        self.header: Records = np.frombuffer(self._all, HEADER, 1)
        self.slots: Records = np.frombuffer(
            self._all, geometry.slot_dtype, geometry.capacity, geometry.slots_offset
        )
        self.records: Records = self.slots["record"]
        self.entries: Records = np.frombuffer(self._table, ENTRY, READERS_MAX, ENTRIES)

    def block(self, wake_fds: tuple[int, ...]) -> Block:
        """A private block for a party that works on this window."""
        header = int(self.header.ctypes.data)
        table = int(self.entries.ctypes.data) - ENTRIES
        slots = int(self.slots.ctypes.data)
        check(not (header | table | slots) % LINE, "the regions of a ring start on cache lines")
        return Block(self.geometry, header, table, slots, wake_fds)

    def sync(self) -> None:
        """Write everything back to the file."""
        self._all.flush()

    def close(self) -> None:
        """Unmap. A mapping that a caller still has a view of goes with the last view instead."""
        self.header = self.slots = self.records = self.entries = np.zeros(0, np.void)
        for memory in (self._all, self._table):
            with suppress(BufferError):
                memory.close()


def _map(fd: int, offset: int, size: int, *, writable: bool) -> mmap.mmap:
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(fd, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, prot, offset=offset)


def closed(*_: object) -> NoReturn:
    """Stands in for every call of a writer or reader that was closed: its addresses are no longer mapped."""
    raise Refused("this writer or reader of a ring is closed")
