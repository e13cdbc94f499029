"""Which core is whose: the loop has the last one to itself, as far as this program's threads and processes go.

Whoever wakes a thread tempts the scheduler to run it right there, in the waker's way or behind it. So it was with the Brain's
thread and the loop, for signal after signal, while another core was at rest: on a guest more than elsewhere, for there Linux
takes a core that its host has halted for one that is not free. What is bound to its core is woken on it.

With one core there is nothing to divide, and nobody is bound. The same where another loop of this machine has the core already:
who has several engines gives each cores of its own (taskset), of which the last is then its loop's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar, TypeVarTuple

__all__ = [
    "elsewhere",
    "given_cores",
    "keep_to_the_last_core",
    "last_core",
    "leave_the_last_core",
    "off_the_loops_core",
    "on_any_core",
]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_CLAIM: Final = "\0aegis-core-"
"""With the number of a core behind it, an abstract socket's name: whose loop keeps to that core has it."""
_given: ContextVar[frozenset[int] | None] = ContextVar("_given", default=None)
"""Where the loop keeps to the last core: all that it had before. Tasks inherit it, and the threads that they have started."""


def given_cores() -> frozenset[int]:
    """The cores that the engine may use, whatever part of them the calling thread keeps to."""
    return _given.get() or frozenset(os.sched_getaffinity(0))


def last_core() -> int:
    """The one that is the loop's."""
    return max(given_cores())


@contextmanager
def keep_to_the_last_core() -> Iterator[bool]:
    """Keep the calling thread on the last core; whether it does.

    Threads that it starts inherit that, unless they work `elsewhere`; child processes do not. It does not where there is only
    one core, or where another process or thread keeps to this one already: an abstract socket's name is the claim, so it ends
    with its owner, by whatever death.
    """
    cores = frozenset(os.sched_getaffinity(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        if len(cores) < 2 or not _is_bound(claim, f"{_CLAIM}{max(cores)}"):
            yield False
            return
        _given.set(cores)
        os.sched_setaffinity(0, {max(cores)})
        try:
            yield True
        finally:
            os.sched_setaffinity(0, cores)
            _given.set(None)


def _is_bound(claim: socket.socket, name: str) -> bool:
    try:
        claim.bind(name)
    except OSError:
        return False
    return True


@contextmanager
def on_any_core() -> Iterator[None]:
    """Have the calling thread run anywhere for a moment: a child process inherits where it may run."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, given_cores())
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def off_the_loops_core() -> Iterator[None]:
    """Have the calling thread, which is not the loop's, keep off the last core while the loop keeps to it."""
    cores = _given.get()
    if cores is None:
        yield
        return
    os.sched_setaffinity(0, cores - {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def elsewhere(function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Call a function in a thread that was started for it: off the core that the loop keeps to."""
    with off_the_loops_core():
        return function(*args)


def leave_the_last_core() -> None:
    """Keep the calling thread, and those that it starts from here on, off the last core that it may use, if it has two.

    For the main thread of a child process. What runs on a core takes its caches, and whoever is woken there waits for its
    turn; with one core that no child takes, the parent's loop is where both cost the least.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
