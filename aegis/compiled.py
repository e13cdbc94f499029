"""Compiled code: one decorator, one cache folder, and a moment after which nothing compiles any more.

Compiling takes seconds and would hold the GIL while the market runs, so every kernel has an eager signature: it is
compiled, or loaded from the cache, when its module is imported. Once the engine is warm, `forbid_compiling()`
turns an accidental new specialisation into an immediate error instead of a stall.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core import config as numba_config

from aegis.kernel_cache import cache_folder, is_warm

__all__ = [
    "callback",
    "compiled",
    "entry_point",
    "forbid_compiling",
    "inlined",
    "until_it_ends",
    "watch_compiling",
]

P = ParamSpec("P")
R = TypeVar("R")

# Every dispatcher of this process, so that compiling can be forbidden on all of them.
_kernels: list[Any] = []
_late: dict[Any, object] = {}
"""Those that are not loaded yet, with their signatures."""
_forbidding: list[object] = []
"""The blocks that do not want it."""
_watchers: list[Callable[[str], object]] = []
# What C may call is never freed.
_callbacks: list[Any] = []


def compiled(
    signature: object, *, nogil: bool = False, late: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function at import for one signature, from the cache where it can be.

    Args:
        signature: a numba signature, as a string or built from `numba.types`.
        nogil: release the GIL while it runs. It costs about 30 ns a call, so it is for spins and long batches.
        late: where everything is in the cache already, load it for `entry_point` only, or for the first call from Python.
            A kernel that only others call is a part of their machine code: to load it too takes 6 ms, and there are many.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        is_late = late and is_warm()
        signatures = () if is_late else (signature,)
        if not is_late:
            _tell_watchers(function)
        with _own_cache():
            # What was not imported, but run from a text, could not be found again for what the cache holds of it.
            kept = inspect.getmodule(function) is not None
            compile_it = numba.njit(*signatures, cache=kept, nogil=nogil, error_model="numpy")
            kernel = compile_it(function)
        if is_late:
            _put_off(kernel, signature)
        else:
            _kernels.append(kernel)
        return kernel  # type: ignore[no-any-return]

    return decorate


def _put_off(kernel: Any, signature: object) -> None:
    """Load a kernel when it is needed: for its one signature, also where a new caller has other types to offer."""
    _late[kernel] = signature
    template_of = kernel.get_call_template

    def load_first(arguments: Any, keywords: Any) -> Any:
        _load(kernel)
        return template_of(arguments, keywords)

    kernel.get_call_template = load_first


def _load(kernel: Any) -> None:
    if kernel in _late:
        signature = _late.pop(kernel)
        _tell_watchers(kernel.py_func)
        kernel.compile(signature)
        kernel.disable_compile()
        _kernels.append(kernel)


def callback(signature: object) -> Callable[[Callable[P, R]], int]:
    """Compile a function at import for C to call; what takes its name is its address."""

    def decorate(function: Callable[P, R]) -> int:
        _tell_watchers(function)
        with _own_cache():
            kept = numba.cfunc(signature, cache=True)(function)
        _callbacks.append(kept)
        return int(kept.address)

    return decorate


@contextmanager
def watch_compiling(told: Callable[[str], object]) -> Iterator[None]:
    """Have a function told the name of each kernel before it is compiled, or found in the cache."""
    _watchers.append(told)
    try:
        yield
    finally:
        _watchers.remove(told)


def _tell_watchers(function: Callable[..., Any]) -> None:
    for told in _watchers:
        told(f"{function.__module__}.{function.__name__}")


@contextmanager
def _own_cache() -> Iterator[None]:
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_folder())
    try:
        yield
    finally:
        numba_config.CACHE_DIR = before  # an embedding program keeps its own setting


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of those that call it: it has no cache entry of its own, and cannot be called from Python.

    LLVM pastes it into its callers, when the types are known and each part is compiled once. Numba's own
    `inline="always"` does so before, and infers the whole of every caller anew: the step, some sixty small functions, took
    258 s that way and 10 s this way, and is as fast.

    Pass records to it, not arrays: numba counts references to an array at each call, atomically, which costs more than
    most of these functions.
    """
    part = numba.njit(
        forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy"
    )
    return part(function)  # type: ignore[no-any-return]


def entry_point(kernel: Callable[P, R]) -> Callable[P, R]:
    """The native entry of a kernel's one specialisation: half the cost of a call through the dispatcher.

    It still checks the number and the types of the arguments (`TypeError`), it only skips the search for a
    matching specialisation. `entry_point` is internal to numba; where it is missing the kernel itself is returned.
    """
    _load(kernel)
    overloads = list(getattr(kernel, "overloads", {}).values())
    if len(overloads) == 1 and hasattr(overloads[0], "entry_point"):
        return overloads[0].entry_point  # type: ignore[no-any-return]
    return kernel


def forbid_compiling() -> None:
    """From here on a call with unforeseen types is a `TypeError`, not a stall of seconds."""
    for kernel in _kernels:
        kernel.disable_compile()
    _set_late(can_compile=False)


@contextmanager
def until_it_ends() -> Iterator[Callable[[], None]]:
    """Give a function that forbids compiling for the rest of a block: a program may go on after its engine.

    Of several such blocks the last one that is left allows it again.
    """
    block = object()

    def forbid() -> None:
        _forbidding.append(block)
        forbid_compiling()

    try:
        yield forbid
    finally:
        if block in _forbidding:
            _forbidding.remove(block)
            if not _forbidding:
                _set_late(can_compile=True)


def _set_late(*, can_compile: bool) -> None:
    for kernel in _late:
        # `disable_compile` wants a specialisation to be there; this is what it does.
        kernel._can_compile = can_compile  # noqa: SLF001
