"""A ring: one segment, made by its owner and attached to by others, for one writer and up to eight readers."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import numpy.typing as npt

from aegis.errors import Refused
from aegis.shm.header import check_header, fill
from aegis.shm.layout import Geometry
from aegis.shm.policy import Policy, Start
from aegis.shm.seats import WRITER_SEAT, is_taken
from aegis.shm.segment import WAKE_FDS, Home, Memfd, OnDisk, open_wake_fds
from aegis.shm.status import RingStatus, ring_status, writer_gone
from aegis.shm.wakeup import ADAPTIVE, Waiting
from aegis.shm.window import Window

if TYPE_CHECKING:
    from aegis.shm.reader import Reader
    from aegis.shm.writer import Writer

__all__ = ["CAPACITY", "Ring"]

CAPACITY: Final = 16_384
"""Slots of a ring where nothing else is asked for: a megabyte of TICKs."""


class Ring:
    """A handle on a segment in this process. Closing it closes its writer and readers here, not the others' ones.

    The segment lives as long as somebody has it open (or it has a name).
    """

    fd: Final[int]
    """The segment's descriptor."""
    wake_fds: Final[tuple[int, ...]]
    """Eventfds: one wakes each reader, the last one the writer. Empty: this process polls instead."""
    geometry: Final[Geometry]

    def __init__(self, fd: int, wake_fds: tuple[int, ...], geometry: Geometry) -> None:
        self.fd = fd
        self.wake_fds = wake_fds
        self.geometry = geometry
        self._parties: Final[list[Reader | Writer]] = []
        self._closed = False

    @classmethod
    def create(
        cls,
        dtype: npt.DTypeLike,
        capacity: int = CAPACITY,
        *,
        home: Home | None = None,
        first: int = 0,
    ) -> Self:
        """Make a ring and own its descriptors.

        Args:
            dtype: a structured numpy type of whole 8-byte words.
            capacity: slots, a power of two.
            home: where the memory lives; anonymous memory (`Memfd`) unless something else is named.
            first: the sequence to start behind.

        Raises:
            Refused: a record type or capacity that the layout cannot hold, or a name that is taken.
            Unavailable: there is not so much memory.
        """
        home = Memfd() if home is None else home
        geometry = Geometry(np.dtype(dtype), capacity)
        fd = home.create(geometry.total_bytes)
        with ExitStack() as undo:
            undo.callback(os.close, fd)
            window = Window(fd, geometry, writable=True)
            fill(window.header, window.slots, geometry, first)
            window.close()
            wake_fds = open_wake_fds()
            for each in wake_fds:
                undo.callback(os.close, each)
            home.appear(fd)
            undo.pop_all()
        return cls(fd, wake_fds, geometry)

    @classmethod
    def attach(
        cls,
        dtype: npt.DTypeLike,
        *,
        fd: int,
        wake_fds: tuple[int, ...] = (),
        needs_writer: bool = False,
    ) -> Self:
        """Take over descriptors that were inherited or received, and check what they lead to.

        Args:
            dtype: the record type that this process expects.
            fd: the segment's descriptor; closed with the ring, like the next.
            wake_fds: the creator's `wake_fds`, all of them; without them waiting means polling.
            needs_writer: refuse a ring that nobody alive writes.

        Raises:
            Refused: a wrong magic, version, size, record type or state, or no writer, each in its own words.
        """
        geometry = check_header(fd, np.dtype(dtype))
        if len(wake_fds) not in {0, WAKE_FDS}:
            raise Refused(f"a ring has {WAKE_FDS} wake-up descriptors, not {len(wake_fds)}")
        if needs_writer and not is_taken(fd, WRITER_SEAT):
            raise Refused("nobody alive writes this ring")
        for each in (fd, *wake_fds):
            os.set_inheritable(each, False)  # they came by inheritance, and go no further
        return cls(fd, wake_fds, geometry)

    @classmethod
    def open(cls, dtype: npt.DTypeLike, home: OnDisk, *, needs_writer: bool = False) -> Self:
        """Attach to a ring by its name.

        Raises:
            Refused: as `attach`, or the file may be touched by others.
            Unavailable: there is none of this name.
        """
        fd = home.open()
        with ExitStack() as undo:
            undo.callback(os.close, fd)
            ring = cls.attach(dtype, fd=fd, needs_writer=needs_writer)
            undo.pop_all()
        return ring

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Every descriptor that another process needs to attach; the first is `fd`, the others `wake_fds`."""
        return (self.fd, *self.wake_fds)

    @property
    def has_writer(self) -> bool:
        """True while a living process, this or another, is the ring's writer."""
        return is_taken(self.fd, WRITER_SEAT)

    def status(self) -> RingStatus:
        """Who writes, who reads, how far each is and when each showed that it still moves."""
        return ring_status(self.fd, self.geometry)

    async def writer_gone(self) -> None:
        """Wait until no living process is the ring's writer; returns at once when there is none now."""
        await writer_gone(self.fd, self.geometry)

    def writer(self) -> Writer:
        """Become the ring's one writer.

        Raises:
            Refused: it has a living one.
        """
        from aegis.shm.writer import Writer  # noqa: PLC0415  # loads compiled code, which an owner may not need

        writer = Writer(self.fd, self.geometry, self.wake_fds)
        self._parties.append(writer)
        return writer

    def reader(
        self,
        name: str,
        *,
        policy: Policy = Policy.LOSSY,
        patience_ms: int | None = None,
        start: Start | int = Start.NEWEST,
        waiting: Waiting = ADAPTIVE,
    ) -> Reader:
        """Join as one of up to eight readers.

        Args:
            name: for whoever looks at the ring; at most 24 bytes of it are kept.
            policy: what happens when this reader is a whole ring behind.
            patience_ms: for a gating reader, how long it may keep the writer waiting before it is evicted and
                loses records like a lossy one; None: for ever, while it lives.
            start: the first record, or the sequence of the last one already read.
            waiting: how it waits for records.

        Raises:
            Refused: all places are taken, or the ring no longer holds the record to start with.
        """
        from aegis.shm.reader import Reader  # noqa: PLC0415  # loads compiled code, which an owner may not need

        reader = Reader(
            self.fd,
            self.geometry,
            self.wake_fds,
            name=name,
            policy=policy,
            patience_ns=(patience_ms or 0) * 1_000_000,
            start=start,
            waiting=waiting,
        )
        self._parties.append(reader)
        return reader

    def close(self) -> None:
        """Close this process's writer, readers and descriptors. Twice does no harm."""
        if self._closed:
            return
        self._closed = True
        for party in self._parties:
            party.close()
        for fd in self.pass_fds:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
