"""How a ring stands, for whoever looks at it from outside: nobody has to be asked, and nobody is disturbed."""

from __future__ import annotations

import mmap
import os
from typing import Any, Final

import attrs
import numpy as np
import trio

from aegis.shm.layout import (
    ENTRIES,
    ENTRY,
    HEADER,
    READERS_MAX,
    Geometry,
    Records,
    Standing,
    State,
    signed,
)
from aegis.shm.seats import WRITER_SEAT, is_taken, reader_seat

__all__ = ["ReaderStatus", "RingStatus", "WriterStatus", "ring_status", "writer_gone"]

_LOOK_S: Final = 0.02


@attrs.frozen
class WriterStatus:
    """The living writer."""

    pid: int
    epoch: int
    """How many writers the ring has had."""
    stalls: int
    """How often it found no room."""
    heartbeat_ns: int
    """The monotonic time of its last `beat`, 0 before the first: alive but silent for long means stuck."""


@attrs.frozen
class ReaderStatus:
    """One of the readers, alive or not yet evicted."""

    name: str
    pid: int
    alive: bool
    standing: Standing
    position: int
    lag: int
    lost: int
    heartbeat_ns: int


@attrs.frozen
class RingStatus:
    """A ring at one moment; figures of different parties may be some records apart."""

    published: int
    finished: bool
    writer: WriterStatus | None
    readers: tuple[ReaderStatus, ...]


def ring_status(fd: int, geometry: Geometry) -> RingStatus:
    """Look at header and reader table.

    Args:
        fd: the segment.
        geometry: its sizes.
    """
    with mmap.mmap(fd, geometry.slots_offset, prot=mmap.PROT_READ) as pages:
        # Copies: views would keep the mapping open.
        header = np.frombuffer(pages, HEADER, 1).copy()[0]
        entries = np.frombuffer(pages, ENTRY, READERS_MAX, mmap.PAGESIZE + ENTRIES).copy()
    readers = [_reader(fd, header, entries, index) for index in range(READERS_MAX)]
    return RingStatus(
        published=int(header["pub"]),
        finished=int(header["state"]) == State.FINISHED,
        writer=_writer(header) if is_taken(fd, WRITER_SEAT) else None,
        readers=tuple(reader for reader in readers if reader.standing is not Standing.FREE),
    )


def _writer(header: Any) -> WriterStatus:
    return WriterStatus(*(int(header[name]) for name in ("pid", "epoch", "stalls", "heartbeat_ns")))


def _reader(fd: int, header: Any, entries: Records, index: int) -> ReaderStatus:
    entry = entries[index]
    position = int(entry["cursor"])
    return ReaderStatus(
        name=entry["name"].decode(errors="replace"),
        pid=int(entry["pid"]),
        alive=is_taken(fd, reader_seat(index)),
        standing=Standing(int(entry["standing"])),
        position=position,
        lag=max(signed(int(header["pub"]) - position), 0),
        lost=int(entry["lost"]),
        heartbeat_ns=int(entry["heartbeat_ns"]),
    )


async def writer_gone(fd: int, geometry: Geometry) -> None:
    """Return as soon as nobody alive is the ring's writer: some 2 ms after a death, 20 ms after it left.

    The seat's lock is the truth; the process only tells when to look at it.
    """
    await trio.lowlevel.checkpoint()
    while (writer := ring_status(fd, geometry).writer) is not None:
        with trio.move_on_after(_LOOK_S):
            await _ended(writer.pid)


async def _ended(pid: int) -> None:
    """Wait for the end of a process; for ever where it cannot be seen (another user's or namespace's)."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        await trio.sleep_forever()
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)
