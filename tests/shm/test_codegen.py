"""What the kernels become: atomic instructions here, and the right barriers on a processor that reorders."""

from __future__ import annotations

import re
from typing import Any

import numba
import pytest
from llvmlite import binding as llvm

from aegis.shm import reading, writing

SIGNATURES: dict[Any, str] = {
    writing.put: "boolean(int64, Tuple((int64, uint64, float64)))",
    writing.put_many: "int64(int64, int64, int64)",
    writing.commit: "void(int64, int64)",
    reading.walk: "int64(int64, int64, int64)",
    reading.ready: "int64(int64)",
    reading.arm: "int64(int64)",
    reading.release: "int64(int64, int64)",
    reading.spin: "int64(int64, int64)",
}
# What each must contain: LLVM's form, and what a 64-bit ARM makes of it.
NEEDED: dict[Any, tuple[list[str], list[str]]] = {
    writing.put: (
        [
            r"store atomic .* monotonic",
            r"store atomic .* release",
            r"fence release",
            r"fence seq_cst",
            r"atomicrmw xchg",
        ],
        [r"\bstlr\b", r"\bdmb\s+ish\b"],
    ),
    writing.put_many: (
        [r"store atomic .* release", r"fence release"],
        [r"\bstlr\b", r"\bdmb\s+ish\b"],
    ),
    writing.commit: ([r"store atomic .* release"], [r"\bstlr\b"]),
    reading.walk: (
        [
            r"load atomic .* acquire",
            r"load atomic .* monotonic",
            r"fence acquire",
            r"store atomic .* release",
        ],
        [r"\bldar\b", r"\bdmb\s+ishld\b", r"\bstlr\b"],
    ),
    reading.ready: ([r"load atomic .* acquire"], [r"\bldar\b"]),
    reading.arm: (
        [r"atomicrmw or", r"fence seq_cst", r"load atomic .* acquire"],
        [r"\bldar\b", r"\bdmb\s+ish\b"],
    ),
    reading.release: ([r"fence acquire", r"load atomic .* monotonic"], [r"\bdmb\s+ishld\b"]),
}


def intermediate(kernel: Any) -> str:
    """LLVM's form of a kernel, optimised, freshly compiled."""
    compiled = numba.njit(numba.core.sigutils._parse_signature_string(SIGNATURES[kernel]))(
        kernel.py_func
    )
    (code,) = compiled.inspect_llvm().values()
    return str(code)


def on_arm(code: str) -> str:
    """The same as assembly of a 64-bit ARM."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(opt=2)
    code = re.sub(r"(?m)^target (triple|datalayout) = .*$", "", code)
    return str(target.emit_assembly(llvm.parse_assembly(code)))


@pytest.mark.parametrize("kernel", NEEDED, ids=lambda kernel: kernel.__name__)
def test_kernel_is_atomic(kernel: Any) -> None:
    """Every access of the protocol survives optimisation with its ordering, here and on ARM."""
    code = intermediate(kernel)
    here, there = NEEDED[kernel]
    for pattern in here:
        assert re.search(pattern, code), pattern
    assembly = on_arm(code)
    for pattern in there:
        assert re.search(pattern, assembly), pattern


def test_words_are_stored_whole() -> None:
    """A record's words are stored as 64-bit atomics, never split, merged or left to a memcpy."""
    code = intermediate(writing.put)
    assert len(re.findall(r"store atomic i64 .* monotonic, align 8", code)) >= 4
    assert "memcpy" not in code


def test_spin_looks_again() -> None:
    """A spin loads the stamp in every round: an ordinary load would be read once and spun on for ever."""
    blocks = dict(
        re.findall(r"(?ms)^(\w[\w.]*):(.*?)(?=^\w[\w.]*:|^})", intermediate(reading.spin))
    )
    (round_end,) = (block for block in blocks.values() if "pause" in block)
    (next_round, _otherwise) = re.findall(r"label %([\w.]+)", round_end)
    assert "load atomic" in blocks[next_round]
