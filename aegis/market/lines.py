"""Cache lines: the pieces that a processor fetches and keeps memory in.

With 300 symbols a core's own cache does not hold the state: what a closed bar reads comes from further away, and so does what
it writes, in whole lines. Reads overlap with other work. Stores leave in the order of the program, so that one which waits for
its line holds up all that follow. `claim` asks for the lines before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["LINE", "claim", "in_lines", "zeros_in_lines"]

LINE: Final = 64
"""Bytes of a line; where a processor has longer ones, a row still begins with one of these."""

_BYTE: Final = ir.IntType(8)
_INT: Final = ir.IntType(32)
_TO_WRITE, _KEPT, _DATA = (ir.Constant(_INT, value) for value in (1, 3, 1))


def in_lines(fields: Sequence[tuple[Any, ...]]) -> np.dtype[np.void]:
    """A record of these fields, aligned, in whole lines: where one record of an array begins with a line, all do.

    A field that fills whole lines begins with one: what it holds in pairs and in fours does not lie across two.
    """
    given = np.dtype(list(fields))
    names = given.names or ()
    formats = [given[name] for name in names]
    offsets, end = [], 0
    for each in formats:
        offsets.append(_next(end, each.alignment if each.itemsize % LINE else LINE))
        end = offsets[-1] + each.itemsize
    itemsize = _next(end, LINE)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def _next(place: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-place // unit) * unit


def zeros_in_lines(count: int, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """So many records of zeros, the first one at the beginning of a line, on pages that are there already."""
    memory = np.empty(count * dtype.itemsize + LINE, np.uint8)
    memory.fill(0)  # written, not only asked for: whoever uses it first need not wait for its pages
    first = -memory.ctypes.data % LINE
    return memory[first : first + count * dtype.itemsize].view(dtype)


@intrinsic  # type: ignore[untyped-decorator]  # numba publishes no types
def claim(_context: Any, record: Any) -> tuple[Any, Any]:
    """Ask for the first and the last line of a record, to write to them soon. It changes nothing and waits for nothing."""

    def generate(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        first = builder.bitcast(args[0], pointer)
        last = builder.gep(first, [ir.Constant(_INT, record.size - 1)])
        for place in (first, last):
            builder.call(prefetch, [place, _TO_WRITE, _KEPT, _DATA])
        return target.get_dummy_value()

    return types.void(record), generate
