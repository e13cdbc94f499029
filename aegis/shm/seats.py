"""Who is alive: one byte of the segment's file for each party, locked while it lives.

The kernel drops such a lock when its holder dies, by whatever death, so it needs no time-out and cannot be left
behind. Locks of the "open file description" kind are used: they belong to a descriptor, not to a process, so two
parties of one process exclude each other as well.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

from aegis.errors import Refused

__all__ = ["WRITER_SEAT", "Seat", "is_taken", "reader_seat"]

WRITER_SEAT: Final = 0
_FLOCK: Final = struct.Struct("hhqqi4x")  # struct flock: type, whence, start, length, pid


def reader_seat(index: int) -> int:
    """The byte that reader `index` locks."""
    return 1 + index


def _lock(fd: int, command: int, seat: int) -> int:
    """Run one lock command on a seat; return the lock type that came back."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, seat, 1, 0)
    answer: int = _FLOCK.unpack(fcntl.fcntl(fd, command, asked))[0]
    return answer


def is_taken(fd: int, seat: int) -> bool:
    """True while a living party holds the seat."""
    return _lock(fd, fcntl.F_OFD_GETLK, seat) != fcntl.F_UNLCK


class Seat:
    """A held lock.

    Raises:
        Refused: somebody alive holds it.
    """

    def __init__(self, fd: int, seat: int, holder: str, *, of: str = "ring") -> None:
        # Opened anew: descriptors that were inherited or duplicated share one description, and so one lock.
        self._fd: Final = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
        try:
            _lock(self._fd, fcntl.F_OFD_SETLK, seat)
        except BlockingIOError as error:
            os.close(self._fd)
            raise Refused(f"the {of} already has a living {holder}") from error

    def leave(self) -> None:
        """Let go of the lock."""
        os.close(self._fd)
