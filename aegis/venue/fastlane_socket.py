"""A socket for compiled code: receive what is there, without waiting and without a Python object."""

from __future__ import annotations

import socket
from typing import Final

from numba import types

from aegis.compiled import compiled
from aegis.memory import word

__all__ = ["receive"]

_recv = types.ExternalFunction(
    "recv", types.intp(types.int32, types.intp, types.uintp, types.int32)
)
_errno_location = types.ExternalFunction("__errno_location", types.intp())
_DONT_WAIT: Final = int(socket.MSG_DONTWAIT)
_INT: Final = 0xFFFF_FFFF


@compiled("int64(int64, int64, int64)", late=True)
def receive(fd: int, to: int, room: int) -> int:
    """recv(2): how many bytes were written to an address, 0 at the end; the error's number below 0."""
    count = _recv(types.int32(fd), to, types.uintp(room), types.int32(_DONT_WAIT))
    # The eight bytes at errno's place are in the C library's own memory; the upper four are something else's.
    return count if count >= 0 else -(word(_errno_location()) & _INT)
