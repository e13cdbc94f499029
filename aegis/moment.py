"""The machine's monotonic clock for compiled code: what `kernel.clock` is for Python."""

from __future__ import annotations

from typing import Final

from numba import types

from aegis.compiled import inlined
from aegis.memory import word

__all__ = ["MOMENT_BYTES", "monotonic_ns"]

MOMENT_BYTES: Final = 16
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))
_MONOTONIC: Final = 1  # CLOCK_MONOTONIC of Linux
_NS: Final = 1_000_000_000


@inlined
def monotonic_ns(scratch: int) -> int:
    """Nanoseconds as `time.monotonic_ns` counts them; `scratch` is the address of `MOMENT_BYTES` that nobody else uses."""
    _clock_gettime(types.int32(_MONOTONIC), scratch)  # struct timespec
    return word(scratch) * _NS + word(scratch + 8)
