"""Layout v1 of a ring's segment: where every shared word lives.

    page 0   HEADER       what the ring is; PUB; the writer's own line     readers map it read-only
    page 1   table        who sleeps; one entry a reader                   everybody may write
    page 2.. slots        [begin][payload][fill][end], whole cache lines   readers map it read-only

Little-endian, 64-bit words, each naturally aligned. Words that different cores write stand 128 bytes apart: Intel
fetches lines in pairs, and Apple's and some ARM cores have lines of 128 bytes.

A sequence is a 64-bit count of records, 1 for the first; record `s` lives in slot `(s - 1) & (capacity - 1)`. It
may wrap, so sequences are compared by the sign of their difference, never by their size.

The figures are frozen into compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from enum import IntEnum
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from aegis.errors import Refused, check

__all__ = [
    "ENTRY",
    "HEADER",
    "MAGIC",
    "VERSION",
    "Geometry",
    "Records",
    "Standing",
    "State",
    "describe",
    "fingerprint",
    "signed",
    "stride_of",
    "word_kinds",
]

MAGIC: Final = b"AEGISRNG"
VERSION: Final = 1
WORD: Final = 8
LINE: Final = 64
READERS_MAX: Final = 8
CAPACITY_MAX: Final = 1 << 24  # a gigabyte of TICKs; what does not fit the cache is slow anyway

# Page 0, counted from the segment's start.
STATE: Final = 0x78
DESCRIPTION: Final = 0x80
PUB: Final = 0x400
WRITER_LINE: Final = 0x480
STALLS: Final = WRITER_LINE + 0x18

# Page 1, counted from its own start.
WAITERS: Final = 0x000
ROOM: Final = 0x080
ENTRIES: Final = 0x400
ENTRY_BYTES: Final = 0x100
# One reader's entry, counted from its own start: the cursor has its line for itself.
CURSOR: Final = 0x00
STANDING: Final = 0x80
LOST: Final = 0x98

HEADER: Final = np.dtype(
    {
        "names": [
            *("magic", "version", "page_bytes", "stride_bytes", "capacity", "item_bytes"),
            *("fingerprint", "total_bytes", "first", "state", "description"),
            *("pub", "pid", "epoch", "heartbeat_ns", "stalls"),
        ],
        "formats": [
            *("S8", "<u4", "<u4", "<u8", "<u8", "<u8"),
            *("<u8", "<u8", "<i8", "<i8", f"S{PUB - DESCRIPTION}"),
            *("<i8", "<i8", "<i8", "<i8", "<i8"),
        ],
        "offsets": [
            *(0x00, 0x08, 0x0C, 0x10, 0x18, 0x20),
            *(0x28, 0x30, 0x38, STATE, DESCRIPTION),
            *(PUB, WRITER_LINE, WRITER_LINE + 0x08, WRITER_LINE + 0x10, STALLS),
        ],
        "itemsize": 0x500,
    }
)
"""The start of page 0. `first` is the sequence before the very first record, 0 but in tests of the wrap."""

ENTRY: Final = np.dtype(
    {
        "names": ["cursor", "standing", "pid", "heartbeat_ns", "lost", "patience_ns", "name"],
        "formats": ["<i8", "<i8", "<i8", "<i8", "<i8", "<i8", "S24"],
        "offsets": [CURSOR, STANDING, 0x88, 0x90, LOST, 0xA0, 0xA8],
        "itemsize": ENTRY_BYTES,
    }
)
"""A reader's entry in page 1. `cursor` is the sequence of the last record it has done with."""

check(ENTRIES + READERS_MAX * ENTRY_BYTES <= 4096, "the reader table fits the smallest page")
check(HEADER.itemsize <= 4096, "the header fits the smallest page")
check(
    all(word % 128 == 0 for word in (PUB, WRITER_LINE, WAITERS, ROOM, ENTRIES, CURSOR, STANDING)),
    "words of different writers never share a pair of cache lines",
)


class State(IntEnum):
    """What the segment as a whole is; written last when it is created."""

    NEW = 0
    READY = 1
    FINISHED = 2
    """The writer has said that no record will follow."""


class Standing(IntEnum):
    """What a reader's entry is to the writer."""

    FREE = 0
    GATING = 1
    """Its cursor holds the writer back."""
    LOSSY = 2
    EVICTED = 3
    """Was gating, but let the writer wait for longer than its patience: now treated as lossy."""


Records = npt.NDArray[np.void]
"""An array of records or slots, whose dtype is only known at run time."""


@attrs.frozen
class Geometry:
    """The sizes that follow from a record type and a capacity.

    Raises:
        Refused: a record type or capacity that the layout cannot hold.
    """

    dtype: np.dtype[Any]
    capacity: int = attrs.field()

    @capacity.validator
    def _check(self, _field: object, capacity: int) -> None:
        word_kinds(self.dtype)
        if not 2 <= capacity <= CAPACITY_MAX or capacity & (capacity - 1):
            raise Refused(
                f"a ring's capacity is a power of two from 2 to {CAPACITY_MAX}, not {capacity}"
            )

    @property
    def item_bytes(self) -> int:
        """Bytes of one record."""
        return self.dtype.itemsize

    @property
    def stride_bytes(self) -> int:
        """Bytes of one slot: the record and its two stamps in whole cache lines."""
        return stride_of(self.dtype)

    @property
    def slots_offset(self) -> int:
        """Where the slots begin."""
        return 2 * mmap.PAGESIZE

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole segment, in whole pages."""
        slots = self.capacity * self.stride_bytes
        return self.slots_offset + -(-slots // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def slot_dtype(self) -> np.dtype[Any]:
        """One slot as numpy sees it: `begin`, the record's own bytes as `record`, `end`."""
        return np.dtype(
            {
                "names": ["begin", "record", "end"],
                "formats": ["<i8", self.dtype, "<i8"],
                "offsets": [0, WORD, self.stride_bytes - WORD],
                "itemsize": self.stride_bytes,
            }
        )


def stride_of(dtype: np.dtype[Any]) -> int:
    """Bytes of a slot for such a record."""
    return -(-(dtype.itemsize + 2 * WORD) // LINE) * LINE


def describe(dtype: np.dtype[Any]) -> bytes:
    """The record type as text, so that a segment can be read without the program that made it."""
    return json.dumps(np.lib.format.dtype_to_descr(dtype), separators=(",", ":")).encode()


def fingerprint(dtype: np.dtype[Any]) -> int:
    """A 64-bit digest of names, formats and offsets: two programs that differ in one of them do not fit."""
    return int.from_bytes(hashlib.blake2b(describe(dtype), digest_size=8).digest(), "little")


def word_kinds(dtype: np.dtype[Any]) -> str:
    """One letter for each 8-byte word of a record: `i`, `u` or `f`; a word that several fields share is `u`.

    Raises:
        Refused: not a structured little-endian type of plain numbers in whole 8-byte words.
    """
    if dtype.names is None or dtype.hasobject or not dtype.itemsize or dtype.itemsize % WORD:
        raise Refused(
            f"a record is a structured numpy type of whole 8-byte words without objects: {dtype}"
        )
    if len(describe(dtype)) > PUB - DESCRIPTION:
        raise Refused(f"the description of {dtype.names} does not fit the header")
    kinds = ["u"] * (dtype.itemsize // WORD)
    for kind, offset in _leaves(dtype, 0):
        if kind.byteorder == ">":
            raise Refused(f"a record is little-endian: {dtype}")
        if kind.itemsize == WORD and kind.kind in "iuf":
            if offset % WORD:
                raise Refused(f"an 8-byte field starts at a whole word, not at byte {offset}")
            kinds[offset // WORD] = kind.kind
    return "".join(kinds)


def _leaves(dtype: np.dtype[Any], offset: int) -> list[tuple[np.dtype[Any], int]]:
    """Every scalar of a possibly nested type, with its offset."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        count = int(np.prod(shape))
        return [leaf for i in range(count) for leaf in _leaves(base, offset + i * base.itemsize)]
    if dtype.fields is not None:
        return [
            leaf for kind, at, *_ in dtype.fields.values() for leaf in _leaves(kind, offset + at)
        ]
    return [(dtype, offset)]


def signed(sequence: int) -> int:
    """A sequence, or the difference of two, as the 64-bit word that compiled code sees."""
    return (sequence + (1 << 63)) % (1 << 64) - (1 << 63)
