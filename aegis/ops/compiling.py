"""The first start of a version: everything is compiled before anything runs, and people see how far it is.

Each part is compiled by a process of its own: on two cores that halves the time, and the loop stays free to be told to stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
import trio

from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import Child, held
from aegis.kernel_cache import count_kernels, is_warm, mark_warm

__all__ = ["PARTS", "Progress", "compile_kernels"]

PARTS: Final = (
    ("aegis.engine",),
    ("aegis.actors.feed_worker", "aegis.actors.book_keeper"),
)
"""Modules that import all that is compiled, a process a line; what two lines share is compiled by whoever is first, or by
both."""
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
        self._begun: set[str] = set()
        self._began_ns = self._said_ns = now_ns()

    def begin(self, kernel: str) -> None:
        """Called before each kernel is compiled, or found in the cache."""
        self._begun.add(kernel)
        now_ns = self._now_ns()
        if now_ns - self._said_ns >= _EVERY_NS:
            self._said_ns = now_ns
            number = len(self._begun)
            self._say("compiling", kernel=kernel, number=number, of_about=max(self._about, number))

    def end(self) -> None:
        """Say that it is done."""
        seconds = (self._now_ns() - self._began_ns) / 1e9
        self._say("compiled", kernels=len(self._begun), seconds=round(seconds, 1))


async def compile_kernels(parts: Sequence[Sequence[str]] = PARTS) -> None:
    """Compile what the cache does not hold. The machine has no time for anything else, so nothing may be running yet.

    Args:
        parts: the modules that import all that is compiled, a process each line.

    Raises:
        Unavailable: it could not be compiled; what a process of it said is on standard error.
    """
    if is_warm():
        return
    log: Any = structlog.get_logger(__name__)
    log.info("compiling", how_often="once for this version in this place", takes="up to a minute")
    progress = Progress(log.info, SystemClock.monotonic_ns, count_kernels())
    async with trio.open_nursery() as nursery:
        for part in parts:
            nursery.start_soon(_compile, part, progress)
    mark_warm()
    progress.end()


async def _compile(part: Sequence[str], progress: Progress) -> None:
    async with held(Child([sys.executable, "-m", "aegis.ops.compiler", *part])) as child:
        async for kernel in child.lines:
            progress.begin(kernel.decode())
        code = await child.wait()
    if code != 0:
        raise Unavailable(f"{part[0]} could not be compiled: the compiler ended with code {code}")
