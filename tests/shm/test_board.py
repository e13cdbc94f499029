"""A board within one process and between two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from aegis.errors import Broken, Refused
from aegis.shm import Ring, seqlock
from aegis.shm.board import Board

WIDE = np.dtype([("number", "<i8"), ("copies", "<i8", (87,))])
"""As wide as a book's top: a copy takes long enough to be replaced under one's hands."""
SMALL = np.dtype([("number", "<i8"), ("half", "<f8")])


def record(number: int) -> np.ndarray:
    row = np.zeros(1, WIDE)
    row["number"] = row["copies"] = number
    return row


def is_whole(row: np.ndarray) -> bool:
    return bool((row["copies"] == row["number"]).all())


def test_rows_are_what_was_written_last() -> None:
    """Each row is by itself; one that was never written is zero."""
    with Board.create(SMALL, 3) as board, board.writer() as writer, board.reader() as reader:
        out = np.zeros(1, SMALL)
        for number in range(5):
            writer.write(1, np.array([(number, number / 2)], SMALL))
        assert reader.read_into(1, out)
        assert out.tolist() == [(4, 2.0)]
        assert reader.read_into(2, out)
        assert out.tolist() == [(0, 0.0)]


def test_a_writer_begins_with_zeros() -> None:
    """What the writer before knew is no longer so; it has a successor only when it is gone."""
    with Board.create(SMALL, 1) as board, board.reader() as reader:
        out = np.zeros(1, SMALL)
        with board.writer() as writer:
            alive = board.has_writer
            assert alive
            with pytest.raises(Refused, match="the board already has a living writer"):
                board.writer()
            writer.write(0, np.array([(7, 0.5)], SMALL))
        assert not board.has_writer
        assert reader.read_into(0, out)
        assert out.tolist() == [(7, 0.5)]
        with board.writer():
            assert reader.read_into(0, out)
        assert out.tolist() == [(0, 0.0)]


def test_what_is_no_row_is_refused() -> None:
    """Another type, several records, and rows that do not exist."""
    with Board.create(SMALL, 2) as board, board.writer() as writer, board.reader() as reader:
        for wrong in (np.zeros(1, WIDE), np.zeros(2, SMALL), np.zeros((1, 1), SMALL)):
            with pytest.raises(Refused, match="array of one"):
                writer.write(0, wrong)
            with pytest.raises(Refused, match="array of one"):
                reader.read_into(0, wrong)
        kept = np.frombuffer(bytes(SMALL.itemsize), SMALL)
        with pytest.raises(Refused, match="can be written to"):
            reader.read_into(0, kept)
        for row in (-1, 2):
            with pytest.raises(Broken):
                writer.write(row, np.zeros(1, SMALL))
    with pytest.raises(Broken, match="open"):
        reader.read_into(0, np.zeros(1, SMALL))


@pytest.mark.parametrize("rows", [0, (1 << 16) + 1])
def test_size_is_checked(rows: int) -> None:
    """A board has at least one row, and no more than symbols have numbers."""
    with pytest.raises(Refused, match="rows"):
        Board.create(SMALL, rows)


def test_attach_checks_what_it_is() -> None:
    """Something else, another type, and a damaged header are told apart."""
    with Ring.create(SMALL, 4) as ring, pytest.raises(Refused, match="no board"):
        Board.attach(SMALL, fd=ring.fd)
    with Board.create(SMALL, 4) as board:
        with pytest.raises(Refused, match="number"):
            Board.attach(WIDE, fd=board.fd)
        os.pwrite(board.fd, b"\x05", 0x10)
        Board.attach(SMALL, fd=board.fd)  # five rows fit the same page
        os.pwrite(board.fd, b"\x50", 0x11)
        with pytest.raises(Refused, match="sizes"):
            Board.attach(SMALL, fd=board.fd)
        os.pwrite(board.fd, b"\x02", 0x08)
        with pytest.raises(Refused, match="version 2"):
            Board.attach(SMALL, fd=board.fd)


def test_a_reader_cannot_write() -> None:
    """Its pages are mapped for reading alone, and nobody can change the size under it."""
    with Board.create(SMALL, 1) as board, board.reader() as reader:
        assert not reader._rows._bytes.flags.writeable
        with pytest.raises(PermissionError):
            os.ftruncate(board.fd, 0)


def test_nothing_is_left_behind() -> None:
    """No descriptor and no mapping outlives a board."""
    fds = set(Path("/proc/self/fd").iterdir())
    with Board.create(SMALL, 1) as board, board.writer(), board.reader():
        assert "aegis-board" in Path("/proc/self/maps").read_text()
    assert set(Path("/proc/self/fd").iterdir()) == fds
    assert "aegis-board" not in Path("/proc/self/maps").read_text()


PEER = """
import sys
import numpy as np
from aegis.shm.board import Board
fd, what = int(sys.argv[1]), sys.argv[2]
WIDE = np.dtype([("number", "<i8"), ("copies", "<i8", (87,))])
with Board.attach(WIDE, fd=fd) as board, board.writer() as writer:
    row = np.zeros(1, WIDE)
    print("ready", flush=True)
    number = 0
    while what == "for ever" or number < int(what):
        number += 1
        row["number"] = row["copies"] = number
        writer.write(0, row)
"""


def start(board: Board, what: str) -> subprocess.Popen[bytes]:
    """Start a process that writes row 0, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", PEER, str(board.fd), what],
        pass_fds=[board.fd],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.processes
def test_copies_of_a_row_that_another_process_replaces_are_whole() -> None:
    """While one process replaces a wide row 200,000 times, no copy is torn and none goes back in time."""
    with Board.create(WIDE, 2) as board, board.reader() as reader:
        out = np.zeros(1, WIDE)
        with start(board, "200000") as process:
            copies, newest = 0, 0
            while newest < 200_000:
                if not reader.read_into(0, out):
                    continue  # the writer is held up at work
                assert is_whole(out)
                assert out["number"][0] >= newest
                newest = int(out["number"][0])
                copies += 1
            assert process.wait() == 0
        assert copies > 1_000


@pytest.mark.processes
def test_a_killed_writer_leaves_no_torn_row() -> None:
    """After each of ten kills the row is whole or cannot be read, and the next writer makes it anew."""
    with Board.create(WIDE, 1) as board, board.reader() as reader:
        out = np.zeros(1, WIDE)
        for _ in range(10):
            with start(board, "for ever") as process:
                while not (reader.read_into(0, out) and out["number"][0] > 500):
                    os.sched_yield()
                process.kill()
                process.wait()
            assert not board.has_writer
            if reader.read_into(0, out):
                assert is_whole(out)
        with board.writer() as writer:
            writer.write(0, record(7))
            assert reader.read_into(0, out)
        assert is_whole(out)
        assert out["number"][0] == 7


def intermediate(kernel: object, signature: str) -> str:
    """LLVM's form of a kernel, optimised."""
    function = numba.njit(signature)(kernel.py_func)  # type: ignore[attr-defined]
    (code,) = function.inspect_llvm().values()
    return str(code)


def test_rows_are_copied_by_atomic_words() -> None:
    """Every access survives optimisation with its ordering, and no copy becomes a memcpy."""
    writing = intermediate(seqlock.write_row, "void(int64, int64, int64)")
    for pattern in (r"store atomic .* monotonic", r"fence release", r"store atomic .* release"):
        assert re.search(pattern, writing), pattern
    reading = intermediate(seqlock.read_row, "boolean(int64, int64, int64, int64)")
    for pattern in (r"load atomic .* acquire", r"load atomic .* monotonic", r"fence acquire"):
        assert re.search(pattern, reading), pattern
    assert "memcpy" not in writing + reading
