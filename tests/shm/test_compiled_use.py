"""The ring from compiled code of another module, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from aegis.compiled import compiled
from aegis.market.records import TICK
from aegis.shm import Policy, Ring
from aegis.shm.reading import ready, walk
from aegis.shm.writing import put


@compiled("int64(int64, int64)", nogil=True)
def burst(handle: int, count: int) -> int:
    """Write ticks until there is no more room; return how many."""
    for number in range(count):
        word = np.uint64(7) | (np.uint64(2) << np.uint64(16)) | (np.uint64(number) << np.uint64(32))
        if not put(handle, (number, word, 0.5 * number, 2.0, 3.0, 4.0)):
            return number
    return count


@compiled("int64(int64, int64, int64)", nogil=True)
def drain(handle: int, address: int, limit: int) -> int:
    """Take what is there, in steps of `limit`; return how many."""
    taken = 0
    while ready(handle) > 0:
        taken += walk(handle, address, limit)
    return taken


def test_compiled_code_writes_and_reads() -> None:
    """`put` and `walk` compiled into other kernels move whole records without a Python call."""
    with (
        Ring.create(TICK, 64) as ring,
        ring.writer() as writer,
        ring.reader("r", policy=Policy.GATE) as reader,
    ):
        assert burst(writer.handle, 100) == 64
        assert writer.position == 64
        out = np.zeros(10, TICK)
        assert drain(reader.handle, out.ctypes.data, 10) == 64
        assert (reader.position, reader.lag, reader.lost) == (64, 0, 0)
        assert out[:4].tolist() == [
            (number, 7, 2, 0, number, 0.5 * number, 2.0, 3.0, 4.0) for number in range(60, 64)
        ]
        assert burst(writer.handle, 5) == 5


def test_owner_loads_no_compiled_code() -> None:
    """A process that only creates a ring and hands it on does not pay for numba."""
    program = """
import sys
from aegis.market.records import TICK
from aegis.shm import Ring
with Ring.create(TICK) as ring:
    ring.status()
print("numba" in sys.modules)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"
