"""A reader's sleep for compiled code: what `wakeup.Bell` is for Python, without the GIL.

    silence(fd, scratch)              first, or a ring that is meant for the next sleep might be silenced later
    if arm(reader) == 0 and ...:      announce the sleep, and look again at everything that may wake it
        listen(fd, scratch, 20)

`scratch` is the address of eight bytes that nobody else uses.
"""

from __future__ import annotations

import select
from typing import Final

from numba import types

from aegis.compiled import inlined
from aegis.shm.atomics import store_relaxed
from aegis.shm.layout import WORD

__all__ = ["listen", "silence"]

_read = types.ExternalFunction("read", types.intp(types.int32, types.intp, types.uintp))
_poll = types.ExternalFunction("poll", types.int32(types.intp, types.uintp, types.int32))
_POLLIN: Final = int(select.POLLIN)
_LOW_HALF: Final = 0xFFFF_FFFF


@inlined
def silence(fd: int, scratch: int) -> None:
    """Make an eventfd quiet, whether it rings or not; -1 is none."""
    if fd >= 0:
        _read(types.int32(fd), scratch, types.uintp(WORD))


@inlined
def listen(fd: int, scratch: int, timeout_ms: int) -> None:
    """Sleep until an eventfd rings, at most so long; where there is none (-1), for just so long."""
    store_relaxed(scratch, (fd & _LOW_HALF) | _POLLIN << 32)  # struct pollfd: fd, events, revents
    _poll(scratch, types.uintp(1), types.int32(timeout_ms))
