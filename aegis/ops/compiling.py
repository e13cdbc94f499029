"""The first start of a version: everything is compiled before anything runs, and people see how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from aegis.kernel.clock import SystemClock
from aegis.kernel_cache import count_kernels, is_warm, mark_warm

__all__ = ["Progress", "compile_kernels"]

_EVERY_NS: Final = 1_000_000_000


class Progress:
    """Says what is being compiled, about once a second.

    Args:
        say: takes a line's name and its values.
        now_ns: a monotonic clock.
        about: how many kernels there are, as the sources look.
    """

    def __init__(self, say: Callable[..., object], now_ns: Callable[[], int], about: int) -> None:
        self._say = say
        self._now_ns = now_ns
        self._about = about
        self._begun = 0
        self._began_ns = self._said_ns = now_ns()

    def begin(self, kernel: str) -> None:
        """Called before each kernel is compiled, or found in the cache."""
        self._begun += 1
        now_ns = self._now_ns()
        if now_ns - self._said_ns >= _EVERY_NS:
            self._said_ns = now_ns
            of = max(self._about, self._begun)
            self._say("compiling", kernel=kernel, number=self._begun, of_about=of)

    def end(self) -> None:
        """Say that it is done."""
        seconds = (self._now_ns() - self._began_ns) / 1e9
        self._say("compiled", kernels=self._begun, seconds=round(seconds, 1))


def compile_kernels(load: Callable[[], object]) -> None:
    """Compile what the cache does not hold. It holds up everything, so nothing may be running yet.

    Args:
        load: imports all that is compiled.
    """
    if is_warm():
        return
    log: Any = structlog.get_logger(__name__)
    log.info("compiling", how_often="once for this version", takes="up to a minute")
    from aegis.compiled import watch_compiling  # noqa: PLC0415  # it imports numba

    progress = Progress(log.info, SystemClock.monotonic_ns, count_kernels())
    with watch_compiling(progress.begin):
        load()
    mark_warm()
    progress.end()
