"""Which core is whose: a loop has the last one to itself, as far as its own program's threads and processes go.

Whoever wakes a thread tempts the scheduler to run it right there, in the waker's way or behind it. So it was with the Brain's
thread and the loop, for signal after signal, while another core was at rest: on a guest more than elsewhere, for there Linux
takes a core that its host has halted for one that is not free. What is bound to its core is woken on it.

With one core there is nothing to divide, and nobody is bound. The same where another loop has the core already: who has several
engines gives each cores of its own (taskset), of which the last is then its loop's. The claim is seen by what shares a network
namespace: containers that share cores but no network have to be given cores of their own.

Where a thread runs is a help and no more: what the system does not grant is left as it is.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

__all__ = [
    "beside_the_loop",
    "elsewhere",
    "given_cores",
    "keep_to_the_last_core",
    "last_core",
    "leave_the_last_core",
    "on_any_core",
]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_CLAIM: Final = "\0aegis-core-"
"""With the number of a core behind it, an abstract socket's name: whose loop keeps to that core has it."""
_ITSELF: Final = 0
_THREADS: Final = Path("/proc/self/task")


class _Thread(threading.local):
    """What this module knows of a thread."""

    given: frozenset[int] | None = None
    """Where it keeps to one core: all that it had before."""


_thread: Final = _Thread()


def given_cores() -> frozenset[int]:
    """The cores that the calling thread was given, the one that it keeps to and the others."""
    return _thread.given or frozenset(os.sched_getaffinity(_ITSELF))


def last_core() -> int:
    """The one that is the loop's."""
    return max(given_cores())


@contextmanager
def keep_to_the_last_core() -> Iterator[bool]:
    """Keep the calling thread, which runs a loop, on the last core; whether it does.

    Threads that it starts inherit that, but for those that work `elsewhere`, and so do processes, but for those of
    `kernel.process`. It does not where there is only one core, or where another loop keeps to this one: an abstract socket's name
    is the claim, so it ends with its owner, by whatever death.
    """
    cores = frozenset(os.sched_getaffinity(_ITSELF))
    with ExitStack() as undone:
        keeps = len(cores) > 1 and _claims(max(cores), undone)
        if keeps:
            undone.callback(_let_go, cores)
            _thread.given = cores
            _move(_ITSELF, {max(cores)})
        yield keeps


def _claims(core: int, undone: ExitStack) -> bool:
    try:
        claim = undone.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        claim.bind(f"{_CLAIM}{core}")
    except OSError:  # it is another's, or there are no such sockets here
        return False
    return True


def _let_go(cores: frozenset[int]) -> None:
    """Give the calling thread its cores back, and those that inherited one from it: Trio keeps threads, for whoever is next."""
    _thread.given = None
    _move(_ITSELF, cores)
    threads: list[int] = []
    with suppress(OSError):  # no descriptor is left to look with
        threads = [int(entry.name) for entry in _THREADS.iterdir()]
    for thread in threads:
        with suppress(OSError):  # it has ended
            if os.sched_getaffinity(thread) == {max(cores)}:
                _move(thread, cores)


def _move(thread: int, cores: set[int] | frozenset[int]) -> None:
    with suppress(OSError):  # the machine, or who divides it, has taken them away meanwhile
        os.sched_setaffinity(thread, cores)


@contextmanager
def on_any_core() -> Iterator[None]:
    """Have the calling thread run anywhere for a moment: a child process inherits where it may run."""
    before = os.sched_getaffinity(_ITSELF)
    _move(_ITSELF, given_cores())
    try:
        yield
    finally:
        _move(_ITSELF, before)


def elsewhere(function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """A function as it is to be called in another thread: off the core that this one keeps to, if it does."""
    given = _thread.given
    return function if given is None else _moved(function, given - {max(given)}, given)


def beside_the_loop(function: Callable[[*Ts], R]) -> Callable[[*Ts], R]:
    """The same for a thread that the loop waits for: on its core, where nobody has to be woken for it."""
    given = _thread.given
    return function if given is None else _moved(function, frozenset({max(given)}), given)


def _moved(
    function: Callable[[*Ts], R], cores: frozenset[int], given: frozenset[int]
) -> Callable[[*Ts], R]:
    def call(*args: *Ts) -> R:
        _move(_ITSELF, cores)
        try:
            return function(*args)
        finally:
            _move(_ITSELF, given)  # the thread may do something else next

    return call


def leave_the_last_core() -> None:
    """Keep the calling thread, and those that it starts from here on, off the last core that it may use, if it has two.

    For the main thread of a child process. What runs on a core takes its caches, and whoever is woken there waits for its
    turn; with one core that no child takes, the parent's loop is where both cost the least.
    """
    cores = sorted(os.sched_getaffinity(_ITSELF))
    if len(cores) > 1:
        _move(_ITSELF, set(cores[:-1]))
