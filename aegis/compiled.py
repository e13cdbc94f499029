"""Compiled code: one decorator, one cache folder, and a moment after which nothing compiles any more.

Numba's own cache does not notice an edit in a function that a compiled one calls from *another* module (numba
issue 1833): it would go on running the old callee. So the cache folder is named by the digest of every source
file that holds compiled code, plus the versions that shape the machine code; a changed kernel means a new folder.

Compiling takes seconds and would hold the GIL while the market runs, so every kernel has an eager signature: it is
compiled, or loaded from the cache, when its module is imported. Once the engine is warm, `forbid_compiling()`
turns an accidental new specialisation into an immediate error instead of a stall.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import config as numba_config

__all__ = [
    "cache_folder",
    "compiled",
    "entry_point",
    "forbid_compiling",
    "inlined",
    "is_warm",
    "mark_warm",
]

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = Path(__file__).resolve().parent
_kernels: list[
    Any
] = []  # every dispatcher of this process, so that compiling can be forbidden on all of them


def _sources() -> list[Path]:
    """The source files that hold compiled code: those that import this module, and this module."""
    marker = b"aegis.compiled"
    return [path for path in sorted(_PACKAGE.rglob("*.py")) if marker in path.read_bytes()]


@cache
def cache_folder() -> Path:
    """The folder of the compiled code for exactly these sources on this interpreter; owner-only."""
    digest = hashlib.sha256()
    for part in (numba.__version__, platform.machine(), sys.version):
        digest.update(part.encode())
    for path in _sources():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "aegis" / digest.hexdigest()[:20]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        # A home that cannot be written to (a container, a service account): compile for this process only.
        folder = Path(tempfile.mkdtemp(prefix="aegis-kernels-"))
    return folder


def compiled(
    signature: object, *, nogil: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function at import for one signature, from the cache where it can be.

    Args:
        signature: a numba signature, as a string or built from `numba.types`.
        nogil: release the GIL while it runs. It costs about 30 ns a call, so it is for spins and long batches.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        before = numba_config.CACHE_DIR
        numba_config.CACHE_DIR = str(cache_folder())
        try:
            kernel = numba.njit(signature, cache=True, nogil=nogil, error_model="numpy")(function)
        finally:
            numba_config.CACHE_DIR = before  # an embedding program keeps its own setting
        _kernels.append(kernel)
        return kernel  # type: ignore[no-any-return]

    return decorate


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function into those that call it. It has no machine code, and no cache entry, of its own."""
    return numba.njit(inline="always", error_model="numpy")(function)  # type: ignore[no-any-return]


def entry_point(kernel: Callable[P, R]) -> Callable[P, R]:
    """The native entry of a kernel's one specialisation: half the cost of a call through the dispatcher.

    It still checks the number and the types of the arguments (`TypeError`), it only skips the search for a
    matching specialisation. `entry_point` is internal to numba; where it is missing the kernel itself is returned.
    """
    overloads = list(getattr(kernel, "overloads", {}).values())
    if len(overloads) == 1 and hasattr(overloads[0], "entry_point"):
        return overloads[0].entry_point  # type: ignore[no-any-return]
    return kernel


def forbid_compiling() -> None:
    """From here on a call with unforeseen types is a `TypeError`, not a stall of seconds."""
    for kernel in _kernels:
        kernel.disable_compile()


def is_warm() -> bool:
    """True when a process has already compiled and cached every kernel of these sources."""
    return (cache_folder() / "complete").exists()


def mark_warm() -> None:
    """Record that every kernel of these sources is in the cache. Call it after importing all of them."""
    (cache_folder() / "complete").touch()
