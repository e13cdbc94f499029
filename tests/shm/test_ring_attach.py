"""What a process believes about descriptors that it was handed."""

from __future__ import annotations

import fcntl
import mmap
import os
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis.errors import Refused, Unavailable
from aegis.market.records import CANDLE, TICK
from aegis.shm import Memfd, Named, OnDisk, Ring
from aegis.shm.layout import HEADER, READERS_MAX, Geometry


def spoil(field: str, value: object) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        header[field] = value

    return change


REFUSALS = {
    "magic": (spoil("magic", b"ELFELFEL"), "no ring"),
    "version": (spoil("version", 2), "layout version 2, this program knows 1"),
    "state": (spoil("state", 0), "not complete"),
    "fingerprint": (spoil("fingerprint", 1), "carries"),
    "capacity": (spoil("capacity", 24), "power of two"),
    "more slots": (spoil("capacity", 1024), "total_bytes is"),
    "stride": (spoil("stride_bytes", 128), "stride_bytes is 128"),
    "item": (spoil("item_bytes", 40), "item_bytes is 40"),
    "total": (spoil("total_bytes", 4096), "total_bytes is 4096"),
    "page": (spoil("page_bytes", 0), "pages of 0 bytes"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_attach_refuses(case: str) -> None:
    """Each thing that can be wrong with a header is refused in words of its own."""
    change, message = REFUSALS[case]
    with Ring.create(TICK, 8) as ring:
        with mmap.mmap(ring.fd, mmap.PAGESIZE) as page:
            header = np.frombuffer(page, HEADER, 1)
            change(header)
            del header
        with pytest.raises(Refused, match=message):
            Ring.attach(TICK, fd=ring.fd)


def test_attach_refuses_another_record_type() -> None:
    """Two programs that disagree about a record do not exchange any, and the message shows both."""
    with Ring.create(TICK, 8) as ring, pytest.raises(Refused, match=r"event_ns.*not.*timestamp"):
        Ring.attach(CANDLE, fd=ring.fd)


def test_attach_refuses_another_size() -> None:
    """Memory shorter than its header says would be a SIGBUS later."""
    with Ring.create(TICK, 8) as ring:
        size = ring.geometry.total_bytes
        short = os.memfd_create("short")
        os.write(short, os.pread(ring.fd, size - 64, 0))
        with pytest.raises(Refused, match=f"has {size - 64} bytes"):
            Ring.attach(TICK, fd=short)
        os.close(short)


def test_attach_refuses_what_is_no_ring(tmp_path: Path) -> None:
    """An empty file, or one of something else, is not taken for a ring."""
    path = tmp_path / "text"
    path.write_bytes(b"not a ring at all" * 100)
    path.chmod(0o600)
    with pytest.raises(Refused, match="no ring"):
        Ring.open(TICK, OnDisk(path))
    path.write_bytes(b"")
    with pytest.raises(Refused, match="no ring"):
        Ring.open(TICK, OnDisk(path))


def test_attach_refuses_a_missing_writer() -> None:
    """A reader that needs a living writer learns at once that there is none."""
    with Ring.create(TICK, 8) as ring:
        with pytest.raises(Refused, match="nobody alive writes"):
            Ring.attach(TICK, fd=ring.fd, needs_writer=True)
        with ring.writer():
            Ring.attach(TICK, fd=os.dup(ring.fd), needs_writer=True).close()


def test_attach_refuses_too_few_wake_fds() -> None:
    """A wake-up that goes to the wrong descriptor would be lost, so all of them are needed."""
    with Ring.create(TICK, 8) as ring, pytest.raises(Refused, match="9 wake-up descriptors, not 8"):
        Ring.attach(TICK, fd=ring.fd, wake_fds=ring.wake_fds[1:])


@pytest.mark.parametrize("capacity", [-8, 0, 1, 3, 10_000, 2**33])
def test_create_refuses_the_capacity(capacity: int) -> None:
    """A capacity that is no power of two would break the mapping of sequences to slots."""
    with pytest.raises(Refused, match="power of two"):
        Ring.create(TICK, capacity)


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("<f8"),
        np.dtype([("odd", "u1")]),
        np.dtype([("a", "<i8"), ("o", "O")]),
        np.dtype([("big", ">i8")]),
        np.dtype([("a", "<u4"), ("b", "<f8"), ("c", "<u4")]),
        np.dtype([("x" * 1000, "<i8")]),
    ],
    ids=["scalar", "one byte", "object", "big-endian", "across words", "name too long"],
)
def test_create_refuses_the_record(dtype: Any) -> None:
    """Only plain little-endian numbers in whole words can be a record."""
    with pytest.raises(Refused):
        Ring.create(dtype, 8)


def test_tick_slot_is_one_cache_line() -> None:
    """A TICK and its two stamps fill 64 bytes, so a hop moves one line."""
    geometry = Geometry(TICK, 16_384)
    assert geometry.stride_bytes == 64
    assert geometry.total_bytes == 2 * mmap.PAGESIZE + 16_384 * 64


def test_memory_is_sealed() -> None:
    """Nobody who holds the descriptor can shrink the memory under a mapping, or lift that seal."""
    with Ring.create(TICK, 8, home=Memfd()) as ring:
        for size in (0, ring.geometry.total_bytes * 2):
            with pytest.raises(PermissionError):
                os.ftruncate(ring.fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(ring.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_named_ring_is_the_owners_alone() -> None:
    """A named ring is mode 0600, found by its name, refused twice, and gone when removed."""
    home = Named(f"test-{os.getpid()}")
    try:
        with Ring.create(TICK, 8, home=home) as ring, ring.writer() as writer:
            assert stat.S_IMODE(home.path.stat().st_mode) == 0o600
            with pytest.raises(Refused, match="exists"):
                Ring.create(TICK, 8, home=home)
            with Ring.open(TICK, home, needs_writer=True) as other, other.reader("r") as reader:
                writer.write_batch(np.zeros(3, TICK))
                assert reader.wait_blocking() == 3
    finally:
        home.remove()
    with pytest.raises(Unavailable):
        Ring.open(TICK, home)


def test_open_refuses_what_others_may_touch(tmp_path: Path) -> None:
    """A file that others may write could be changed under us; a link could lead anywhere."""
    home = OnDisk(tmp_path / "ring")
    Ring.create(TICK, 8, home=home).close()
    home.path.chmod(0o660)
    with pytest.raises(Refused, match="0600"):
        Ring.open(TICK, home)
    link = tmp_path / "link"
    link.symlink_to(home.path)
    with pytest.raises(Unavailable):
        Ring.open(TICK, OnDisk(link))


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "a b"])
def test_name_is_plain(name: str) -> None:
    """A name cannot lead out of the shared-memory folder."""
    with pytest.raises(Refused, match="letters"):
        Named(name)


def test_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    """A ring that cannot be made leaves no file and no descriptor."""
    before = set(Path("/proc/self/fd").iterdir())
    home = OnDisk(tmp_path / "ring")
    home.path.touch()
    with pytest.raises(Refused):
        Ring.create(TICK, 8, home=home)
    with pytest.raises(Unavailable):
        Ring.create(TICK, 8, home=OnDisk(tmp_path / "absent" / "ring"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(Unavailable, match="bytes"):
            Ring.create(TICK, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert list(tmp_path.iterdir()) == [home.path]


def test_a_place_that_cannot_be_used_is_free_again() -> None:
    """A party that has its place and cannot map the memory leaves both, for whoever comes next."""
    with Ring.create(TICK, 8) as ring:
        # Memory that may not be written to cannot be mapped for writing; a place in it can be taken all the same.
        read_only = os.open(f"/proc/self/fd/{ring.fd}", os.O_RDONLY | os.O_CLOEXEC)
        with Ring.attach(TICK, fd=read_only) as attached:
            before = set(Path("/proc/self/fd").iterdir())
            with pytest.raises(PermissionError):
                attached.writer()
            for _ in range(READERS_MAX):
                with pytest.raises(PermissionError):
                    attached.reader("r")
            assert set(Path("/proc/self/fd").iterdir()) == before
            ring.writer().close()
            for _ in range(READERS_MAX):
                ring.reader("r")


def test_creation_without_descriptors_leaves_nothing(tmp_path: Path) -> None:
    """Where there are too few for all bells, those that there were are closed, and the name is free."""
    before = set(Path("/proc/self/fd").iterdir())
    spare = [os.memfd_create("spare") for _ in range(READERS_MAX)]
    for fd in spare:
        os.close(fd)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Ring.create(TICK, 8, home=OnDisk(tmp_path / "ring"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert list(tmp_path.iterdir()) == []
