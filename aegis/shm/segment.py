"""The memory itself: where a segment's bytes live.

Three homes, one layout:

- `Memfd` (the default): has no name, so nothing can be left behind; the kernel frees it with its last user. Sealed,
  so nobody can shrink it under a mapping, which would be a SIGBUS. Handed over by descriptor.
- `Named`: a file of the shared-memory folder, for a process that cannot inherit a descriptor. Owner-only. Python's
  own `SharedMemory` is not used: on 3.11 its resource tracker unlinks the owner's segment when a reader exits.
- `OnDisk`: a regular file; its records survive the process, and so far as the disk has them, the machine.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import attrs

from aegis.errors import Refused, Unavailable
from aegis.shm.layout import READERS_MAX

__all__ = ["WAKE_FDS", "Home", "Memfd", "Named", "OnDisk", "open_wake_fds"]

_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # the POSIX shared-memory folder of Linux
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@attrs.frozen
class Memfd:
    """Anonymous memory, reachable only through its descriptor."""

    label: str = "aegis-ring"
    """How it shows in a process's memory map."""

    def create(self, size: int) -> int:
        """Return the descriptor of fresh zeroed memory that is all there and cannot change its size."""
        fd = os.memfd_create(self.label, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        _allocate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return fd

    def appear(self, fd: int) -> None:
        """Do nothing: it has no name to appear under."""

    def open(self) -> int:
        """Refuse: there is no name to open."""
        raise Refused("a memfd has no name: attach to its descriptor")

    def remove(self) -> None:
        """Do nothing: the kernel frees it with its last user."""


@attrs.frozen
class OnDisk:
    """A regular file, owner-only. It appears under its name when it is complete, never before."""

    path: Path = attrs.field(converter=Path)

    def create(self, size: int) -> int:
        """Return the descriptor of a fresh zeroed file that has no name yet."""
        try:
            fd = os.open(self.path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"no file can be made in {self.path.parent}: {error}") from error
        _allocate(fd, size)
        return fd

    def appear(self, fd: int) -> None:
        """Give the file its name; a crash before this leaves nothing behind.

        Raises:
            Refused: the name is taken.
        """
        folder = os.open(self.path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            # A folder descriptor makes Python call linkat, which alone can follow the link in /proc.
            os.link(f"/proc/self/fd/{fd}", self.path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileExistsError as error:
            raise Refused(f"{self.path} exists: open it or remove it") from error
        finally:
            os.close(folder)

    def open(self) -> int:
        """Return a descriptor of the file.

        Raises:
            Refused: it belongs to somebody else, or others may touch it.
            Unavailable: it does not exist.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be opened: {error}") from error
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            os.close(fd)
            raise Refused(f"{self.path} must belong to this user alone (mode 0600)")
        return fd

    def remove(self) -> None:
        """Take the name away; those who have it open keep it."""
        self.path.unlink(missing_ok=True)


class Named(OnDisk):
    """A file of the shared-memory folder, `aegis-<user>-<name>`."""

    def __init__(self, name: str) -> None:
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise Refused(f"a ring's name is letters, digits and dashes, not {name!r}")
        super().__init__(_SHARED_MEMORY / f"aegis-{os.geteuid()}-{name}")


Home = Memfd | OnDisk
WAKE_FDS: Final = READERS_MAX + 1


def open_wake_fds() -> tuple[int, ...]:
    """Eventfds, all or none: one that wakes each reader, and a last one that wakes the writer when there is room."""
    wake_fds: list[int] = []
    with ExitStack() as undo:
        for _ in range(WAKE_FDS):
            wake_fds.append(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
            undo.callback(os.close, wake_fds[-1])
        undo.pop_all()
    return tuple(wake_fds)


def _allocate(fd: int, size: int) -> None:
    """Give the file its pages now: memory that is missing is an error here, not a SIGBUS at some later store."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        os.close(fd)
        raise Unavailable(f"no {size} bytes of shared memory: {error}") from error
