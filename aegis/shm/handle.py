"""What both sides' compiled code does with a handle: find a slot, ring an eventfd."""

from __future__ import annotations

from numba import types

from aegis.compiled import inlined
from aegis.shm.atomics import load_relaxed
from aegis.shm.block import MASK, ONE, SLOTS_AT, STRIDE
from aegis.shm.layout import WORD
from aegis.shm.sequence import forward

__all__ = ["asking_for", "signal", "slot_of"]

_write = types.ExternalFunction("write", types.intp(types.int32, types.intp, types.uintp))


@inlined
def slot_of(handle: int, done: int) -> int:
    """The address of the slot of record `done + 1`."""
    index = done & load_relaxed(handle + MASK)
    return load_relaxed(handle + SLOTS_AT) + index * load_relaxed(handle + STRIDE)


@inlined
def asking_for(cursor: int) -> int:
    """The word by which a writer asks for room: twice the cursor it waits for, plus one. So 0 is: nobody asks.

    As sequences do, these words may wrap, and compare by the sign of their difference.
    """
    return forward(forward(cursor, cursor), 1)


@inlined
def signal(handle: int, fd: int) -> None:
    """Ring an eventfd; -1 is nobody."""
    if fd >= 0:
        _write(types.int32(fd), handle + ONE, types.uintp(WORD))
