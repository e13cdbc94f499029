"""Atomic words for compiled code: loads, stores, fences and exchanges on plain 64-bit addresses.

Numba has no atomics, and LLVM may keep an ordinary load in a register for ever: a loop that waits on a word which
another process writes would never end. Each load, store, fence and exchange here becomes exactly one LLVM instruction
with the named ordering, so its meaning is that of the C11 memory model on every processor that LLVM knows.

Addresses are `int64`. Words of the segment are always 8 bytes wide and 8 bytes aligned. All of this is frozen into
compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "add_bits",
    "copy_in",
    "copy_out",
    "exchange",
    "fence_acquire",
    "fence_release",
    "fence_total",
    "load_acquire",
    "load_relaxed",
    "pause",
    "store_relaxed",
    "store_release",
    "store_words",
]

_WORD = ir.IntType(64)
_WORD_BYTES = 8
_Type = Any  # a numba type; an instruction is asked for its signature by the types of its arguments


def _instruction(define: Callable[..., Any]) -> Any:
    """A function of compiled code that becomes the LLVM instructions which `define` generates."""
    return intrinsic(define)


def _word_at(builder: Any, address: Any, index: int = 0) -> Any:
    """The address, `index` words further on, as a pointer to a 64-bit word."""
    moved = builder.add(address, ir.Constant(_WORD, index * _WORD_BYTES)) if index else address
    return builder.inttoptr(moved, _WORD.as_pointer())


def _load(ordering: str) -> Any:
    @_instruction
    def load(_context: _Type, _address: _Type) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.load_atomic(_word_at(builder, args[0]), ordering, _WORD_BYTES)

        return types.int64(types.int64), generate

    return load


def _store(ordering: str) -> Any:
    @_instruction
    def store(_context: _Type, _address: _Type, _word: _Type) -> Any:
        def generate(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            builder.store_atomic(args[1], _word_at(builder, args[0]), ordering, _WORD_BYTES)
            return target.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return store


def _fence(ordering: str) -> Any:
    @_instruction
    def fence(_context: _Type) -> Any:
        def generate(target: Any, builder: Any, _signature: Any, _args: Any) -> Any:
            builder.fence(ordering)
            return target.get_dummy_value()

        return types.void(), generate

    return fence


def _exchange(operation: str) -> Any:
    @_instruction
    def swap(_context: _Type, _address: _Type, _word: _Type) -> Any:
        def generate(_target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.atomic_rmw(operation, _word_at(builder, args[0]), args[1], "seq_cst")

        return types.int64(types.int64, types.int64), generate

    return swap


load_relaxed: Final[Callable[[int], int]] = _load("monotonic")
load_acquire: Final[Callable[[int], int]] = _load("acquire")
store_relaxed: Final[Callable[[int, int], None]] = _store("monotonic")
store_release: Final[Callable[[int, int], None]] = _store("release")
fence_acquire: Final[Callable[[], None]] = _fence("acquire")
fence_release: Final[Callable[[], None]] = _fence("release")
fence_total: Final[Callable[[], None]] = _fence("seq_cst")
"""The only fence that also keeps an earlier store before a later load (Dekker's pattern)."""
exchange: Final[Callable[[int, int], int]] = _exchange("xchg")
add_bits: Final[Callable[[int, int], int]] = _exchange("or")


@_instruction
def store_words(_context: _Type, _address: _Type, words: _Type) -> Any:
    """Store a tuple of int64, uint64 or float64 into consecutive words, each relaxed.

    The tuple may mix the three: a float64 goes in by its bits. It never exists in memory.
    """
    if not isinstance(words, types.BaseTuple) or any(t.bitwidth != 64 for t in words.types):
        return None  # numba then reports that no implementation fits these types

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        for index, kind in enumerate(signature.args[1].types):
            word = builder.extract_value(args[1], index)
            if isinstance(kind, types.Float):
                word = builder.bitcast(word, _WORD)
            builder.store_atomic(word, _word_at(builder, args[0], index), "monotonic", _WORD_BYTES)
        return target.get_dummy_value()

    return types.void(types.int64, words), generate


def _copy(load: Callable[..., Any], store: Callable[..., Any]) -> Any:
    @_instruction
    def copy(_context: _Type, _to: _Type, _source: _Type) -> Any:
        def generate(target: Any, builder: Any, _signature: Any, args: Any) -> Any:
            store(builder, load(builder, _word_at(builder, args[1])), _word_at(builder, args[0]))
            return target.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return copy


def _atomic_load(builder: Any, pointer: Any) -> Any:
    return builder.load_atomic(pointer, "monotonic", _WORD_BYTES)


def _atomic_store(builder: Any, word: Any, pointer: Any) -> Any:
    return builder.store_atomic(word, pointer, "monotonic", _WORD_BYTES)


def _plain_load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=1)


def _plain_store(builder: Any, word: Any, pointer: Any) -> Any:
    return builder.store(word, pointer, align=1)


# Only the shared side of a copy is raced for; the caller's own array is plain memory and may be unaligned.
copy_in: Final[Callable[[int, int], None]] = _copy(_plain_load, _atomic_store)
"""Copy one word `(to, source)` from private memory into the segment."""
copy_out: Final[Callable[[int, int], None]] = _copy(_atomic_load, _plain_store)
"""Copy one word `(to, source)` from the segment into private memory."""


def _pause_instruction() -> tuple[str, list[int]]:
    """LLVM's name and arguments of this processor's spin hint (inline assembly would abort: no parser is loaded)."""
    machine = platform.machine().lower()
    if machine in {"x86_64", "amd64"}:
        return "llvm.x86.sse2.pause", []
    if machine in {"aarch64", "arm64"}:
        return "llvm.aarch64.isb", [15]  # 15: what `isb` without an operand means
    return "llvm.donothing", []


@_instruction
def pause(_context: _Type) -> Any:
    """Tell the processor that this is a spin: without it the waiting core slows the one it waits for."""
    name, operands = _pause_instruction()

    def generate(target: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [i32] * len(operands))
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [ir.Constant(i32, operand) for operand in operands])
        return target.get_dummy_value()

    return types.void(), generate
