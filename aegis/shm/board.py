"""A board: a table in shared memory of which everybody sees the newest rows.

Where a ring carries every record from its writer to each reader in order, a board holds one record a row, and a
reader copies the one that is there now. One process writes, any number read; a reader maps it read-only and waits for
nobody. Any numpy structured type of whole 8-byte words can be a row; nothing here knows what it means.

    board = Board.create(BOOK_TOP, rows=8)            # and pass board.fd to a child, which does
    board = Board.attach(BOOK_TOP, fd=...)
    with board.writer() as writer: writer.write(3, record)
    with board.reader() as reader: reader.read_into(3, out)

    page 0   HEADER   what the board is
    page 1.. rows     [stamp][record][fill], whole cache lines; see `aegis.shm.seqlock`
"""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
import numpy as np
import numpy.typing as npt

from aegis.errors import Refused, check
from aegis.shm.layout import DESCRIPTION, LINE, WORD, Records, describe, fingerprint, word_kinds
from aegis.shm.seats import WRITER_SEAT, Seat, is_taken
from aegis.shm.segment import Memfd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Board", "BoardReader", "BoardWriter"]

_MAGIC: Final = b"AEGISBRD"
_VERSION: Final = 1
_ROWS_MAX: Final = 1 << 16
_TRIES: Final = 1_000
"""Looks at a row that a writer replaces again and again: a copy takes less time than it needs to do so twice."""

_HEADER: Final = np.dtype(
    {
        "names": ["magic", "version", "rows", "item_bytes", "fingerprint", "total_bytes", "about"],
        "formats": ["S8", "<u8", "<u8", "<u8", "<u8", "<u8", "S896"],
        "offsets": [0x00, 0x08, 0x10, 0x18, 0x20, 0x28, DESCRIPTION],
    }
)
"""`about` is the record type as text."""


@attrs.frozen
class _Shape:
    """The sizes that follow from a record type and a number of rows."""

    dtype: np.dtype[Any]
    rows: int

    @property
    def stride_bytes(self) -> int:
        """From row to row: the record and its stamp in whole cache lines."""
        return -(-(self.dtype.itemsize + WORD) // LINE) * LINE

    @property
    def total_bytes(self) -> int:
        """Of the whole segment, in whole pages."""
        size = self.rows * self.stride_bytes
        return mmap.PAGESIZE - (-size // mmap.PAGESIZE) * mmap.PAGESIZE


class Board:
    """A handle on a board in this process; the memory lives as long as somebody has it open.

    Closing it closes its writer and readers here, not the others' ones.
    """

    fd: Final[int]
    """The segment's descriptor, all that another process needs to attach."""

    def __init__(self, fd: int, shape: _Shape) -> None:
        self.fd = fd
        self._shape: Final = shape
        self._parties: Final[list[BoardReader | BoardWriter]] = []
        self._closed = False

    @classmethod
    def create(cls, dtype: npt.DTypeLike, rows: int) -> Self:
        """Make a board of zeroed rows and own its descriptor.

        Raises:
            Refused: a record type or number of rows that it cannot hold.
            Unavailable: there is not so much memory.
        """
        kind = np.dtype(dtype)
        word_kinds(kind)
        if not 0 < rows <= _ROWS_MAX:
            raise Refused(f"a board has 1 to {_ROWS_MAX} rows, not {rows}")
        shape = _Shape(kind, rows)
        fd = Memfd("aegis-board").create(shape.total_bytes)
        with mmap.mmap(fd, mmap.PAGESIZE) as page:
            header = np.frombuffer(page, _HEADER, 1)
            header["version"], header["rows"] = _VERSION, rows
            header["item_bytes"], header["total_bytes"] = kind.itemsize, shape.total_bytes
            header["fingerprint"], header["about"] = fingerprint(kind), describe(kind)
            header["magic"] = _MAGIC
            del header  # it holds the mapping
        return cls(fd, shape)

    @classmethod
    def attach(cls, dtype: npt.DTypeLike, *, fd: int) -> Self:
        """Take over a descriptor that was inherited or received, and check what it leads to.

        Raises:
            Refused: it is no board, of another version or record type, or damaged, each in its own words.
        """
        kind = np.dtype(dtype)
        head = os.pread(fd, _HEADER.itemsize, 0)
        if len(head) < _HEADER.itemsize or not head.startswith(_MAGIC):
            raise Refused("this is no board: its first bytes are not AEGISBRD")
        header = np.frombuffer(head, _HEADER)[0]
        if header["version"] != _VERSION:
            raise Refused(
                f"the board has layout version {header['version']}, this program knows {_VERSION}"
            )
        if header["fingerprint"] != fingerprint(kind):
            raise Refused(f"the board carries {header['about'].decode(errors='replace')}")
        shape = _Shape(kind, int(header["rows"]))
        claimed = {int(header["total_bytes"]), os.fstat(fd).st_size}
        if header["item_bytes"] != kind.itemsize or claimed != {shape.total_bytes}:
            raise Refused("the board's sizes do not follow from its record type and rows")
        os.set_inheritable(fd, False)  # it came by inheritance, and goes no further
        return cls(fd, shape)

    @property
    def rows(self) -> int:
        """How many."""
        return self._shape.rows

    @property
    def has_writer(self) -> bool:
        """True while a living process, this or another, writes it."""
        return is_taken(self.fd, WRITER_SEAT)

    def writer(self) -> BoardWriter:
        """Become the board's one writer; every row is zero from here on.

        Raises:
            Refused: it has a living one.
        """
        with ExitStack() as undo:
            seat = Seat(self.fd, WRITER_SEAT, "writer", of="board")
            undo.callback(seat.leave)
            writer = BoardWriter(seat, _Rows(self.fd, self._shape, writable=True))
            undo.pop_all()
        self._parties.append(writer)
        return writer

    def reader(self) -> BoardReader:
        """Read it, in one thread at a time."""
        reader = BoardReader(self, _Rows(self.fd, self._shape, writable=False))
        self._parties.append(reader)
        return reader

    def close(self) -> None:
        """Close this process's writer, readers and the descriptor. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        for party in self._parties:
            party.close()
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Rows:
    """The mapped rows of a board, and a private record for what goes in or comes out."""

    def __init__(self, fd: int, shape: _Shape, *, writable: bool) -> None:
        self.shape: Final = shape
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._memory: Final = mmap.mmap(fd, shape.total_bytes, flags, prot)
        self._bytes: Records = np.frombuffer(self._memory, np.void(1).dtype)
        self._first = int(self._bytes.ctypes.data) + mmap.PAGESIZE

    def address(self, row: int) -> int:
        """Where a row is."""
        check(len(self._bytes) > 0, "this writer or reader of a board is open")
        check(0 <= row < self.shape.rows, f"a board of {self.shape.rows} rows has row {row}")
        return self._first + row * self.shape.stride_bytes

    def address_of(self, record: Records) -> int:
        """Where a record of the board's type is, given as an array of one.

        Raises:
            Refused: it is something else.
        """
        if record.dtype != self.shape.dtype or record.shape != (1,):
            raise Refused(f"a row of this board is an array of one {self.shape.dtype}")
        return int(record.ctypes.data)

    def close(self) -> None:
        """Unmap."""
        self._bytes = np.zeros(0, np.void(1).dtype)
        with suppress(BufferError):
            self._memory.close()


class BoardWriter:
    """Replaces rows. Made by `Board.writer`.

    Compiled code calls `aegis.shm.seqlock.write_row` with `address(row)`, until this is closed.
    """

    def __init__(self, seat: Seat, rows: _Rows) -> None:
        from aegis.shm.board_entry import write  # noqa: PLC0415  # compiled code, which an owner may not need

        self._seat: Final = seat
        self._rows: Final = rows
        self._write: Final[Callable[[int, int, int], None]] = write
        self._open = True
        nothing = np.zeros(1, rows.shape.dtype)
        for row in range(rows.shape.rows):  # what a writer before this one knew is no longer so
            self.write(row, nothing)

    def address(self, row: int) -> int:
        """Where a row is, for compiled code."""
        return self._rows.address(row)

    def write(self, row: int, record: Records) -> None:
        """Replace a row by an array of one record.

        Raises:
            Refused: it is something else.
        """
        source = self._rows.address_of(record)
        self._write(self._rows.address(row), source, self._rows.shape.dtype.itemsize)

    def close(self) -> None:
        """Let go of the board; its rows stay as they are. Twice does no harm."""
        if self._open:
            self._open = False
            self._rows.close()
            self._seat.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BoardReader:
    """Copies rows. Made by `Board.reader`."""

    def __init__(self, board: Board, rows: _Rows) -> None:
        from aegis.shm.board_entry import read  # noqa: PLC0415  # compiled code, which an owner may not need

        self._board: Final = board
        self._rows: Final = rows
        self._read: Final[Callable[[int, int, int, int], bool]] = read

    @property
    def has_writer(self) -> bool:
        """True while somebody keeps the rows up."""
        return self._board.has_writer

    def read_into(self, row: int, out: Records) -> bool:
        """Copy a row as it was at one moment into an array of one record.

        Returns:
            False when it cannot be read now: its writer is held up at work on it, or died there and has no successor.

        Raises:
            Refused: `out` is something else, or cannot be written to.
        """
        if not out.flags.writeable:
            raise Refused("a row is copied into an array that can be written to")
        destination = self._rows.address_of(out)
        item = self._rows.shape.dtype.itemsize
        return self._read(self._rows.address(row), destination, item, _TRIES)

    def close(self) -> None:
        """Unmap. Twice does no harm."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
