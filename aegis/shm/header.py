"""Page 0: how it is filled once, and what is checked before a process believes it."""

from __future__ import annotations

import mmap
import os
from typing import Any, Final

import numpy as np

from aegis.errors import Refused, check
from aegis.shm.layout import (
    HEADER,
    MAGIC,
    VERSION,
    Geometry,
    Records,
    State,
    describe,
    fingerprint,
    signed,
)

__all__ = ["check_header", "fill"]


def fill(header: Records, slots: Records, geometry: Geometry, first: int) -> None:
    """Describe a fresh segment. Nobody else can see it yet: its name or descriptor is given away afterwards.

    Every slot is stamped as if it held the record one lap before its first, so that an empty slot and one that
    still holds the last lap look alike, wherever counting starts.
    """
    check(len(slots) == geometry.capacity, "every slot is stamped")
    header["magic"] = MAGIC
    header["version"] = VERSION
    header["page_bytes"] = mmap.PAGESIZE
    header["stride_bytes"] = geometry.stride_bytes
    header["capacity"] = geometry.capacity
    header["item_bytes"] = geometry.item_bytes
    header["total_bytes"] = geometry.total_bytes
    header["fingerprint"] = fingerprint(geometry.dtype)
    header["description"] = describe(geometry.dtype)
    header["first"] = header["pub"] = first
    lap_before = np.arange(geometry.capacity) + np.int64(signed(first + 1 - geometry.capacity))
    place = (lap_before - 1) & (geometry.capacity - 1)
    slots["begin"][place] = slots["end"][place] = lap_before
    header["state"] = State.READY


def check_header(fd: int, dtype: np.dtype[Any]) -> Geometry:
    """Read page 0 and return the ring's geometry.

    Raises:
        Refused: it is no ring, of another layout, damaged, of another record type, or not complete. Each has a
            message of its own.
    """
    head = os.pread(fd, HEADER.itemsize, 0)
    if len(head) < HEADER.itemsize or not head.startswith(MAGIC):
        raise Refused("this is no ring: its first bytes are not AEGISRNG")
    header = np.frombuffer(head, HEADER)[0]
    if header["version"] != VERSION:
        raise Refused(
            f"the ring has layout version {header['version']}, this program knows {VERSION}"
        )
    if header["state"] == State.NEW:
        raise Refused("the ring is not complete: who created it has not finished, or died")
    if header["fingerprint"] != fingerprint(dtype):
        raise Refused(
            f"the ring carries {header['description'].decode(errors='replace')},"
            f" not {describe(dtype).decode()}"
        )
    if header["page_bytes"] != mmap.PAGESIZE:
        raise Refused(
            f"the ring was made with pages of {header['page_bytes']} bytes,"
            f" this machine has {mmap.PAGESIZE}"
        )
    geometry = Geometry(dtype, int(header["capacity"]))
    _check_sizes(fd, header, geometry)
    return geometry


def _check_sizes(fd: int, header: Any, geometry: Geometry) -> None:
    claims: Final = {
        "stride_bytes": geometry.stride_bytes,
        "item_bytes": geometry.item_bytes,
        "total_bytes": geometry.total_bytes,
    }
    for name, expected in claims.items():
        if header[name] != expected:
            raise Refused(
                f"the ring's {name} is {header[name]}, its record type and capacity make {expected}"
            )
    size = os.fstat(fd).st_size
    if size != geometry.total_bytes:
        raise Refused(f"the ring's memory has {size} bytes, its header says {geometry.total_bytes}")
