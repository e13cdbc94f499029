"""The vigil: a thread that keeps a core from going to rest.

A core without work rests, and whoever comes next pays for it: it has to be woken, and the same work takes longer at first.
`aegis doctor` measures that as "after a rest". Signals come in bursts with rests between them. A thread of Linux's idle
policy gives way at once to every other of its control group, and hardly takes time from it; so a core that has one is awake for
whoever needs it.

It is the core that helper processes leave to the loop, and no other: they are busy anyway while a market runs. With all cores
of a small virtual machine awake, its host was seen to have none left for the machine's disk, and a flush took seven times as long.

What it costs: a core that is busy all the time, with its heat; half of a core that shares its hardware with it (SMT); and time of
other control groups, containers or guests where they have the same cores: to them it looks like work.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numba import types
from numpy.typing import NDArray

from aegis.compiled import callback
from aegis.errors import Refused
from aegis.kernel.cores import given_cores, last_core
from aegis.shm.atomics import load_acquire, pause, store_release

__all__ = ["Vigil", "has_quota"]

_WORD: Final = 8
# The words of a thread: 1 to stop it; how it stands; struct sched_param, whose one number is 0; the set of its one core.
_STOP, _STANDING, _NOTHING, _CORES = range(0, 4 * _WORD, _WORD)
_CORES_BYTES: Final = 128
_WORDS: Final = (_CORES + _CORES_BYTES) // _WORD
_WATCHES, _CANNOT = 1, 2
_LOOKS: Final = 64
"""Pauses between two looks at the word that stops it: a few microseconds."""
_LOOK_AGAIN_S: Final = 0.0005
_ITSELF: Final = 0
_IDLE: Final = int(os.SCHED_IDLE)
_CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")

_sched_setscheduler = types.ExternalFunction(
    "sched_setscheduler", types.int32(types.int32, types.int32, types.intp)
)
_sched_setaffinity = types.ExternalFunction(
    "sched_setaffinity", types.int32(types.int32, types.uintp, types.intp)
)


@callback("int64(int64)")
def _watch(words: int) -> int:
    """The thread. It never touches Python, so it cannot hold what Python waits for."""
    size = types.uintp(_CORES_BYTES)
    if _sched_setaffinity(types.int32(_ITSELF), size, words + _CORES) != 0:
        store_release(words + _STANDING, _CANNOT)
        return 0
    # Told before it has the idle policy: with it, on a busy core, it might be long in telling.
    store_release(words + _STANDING, _WATCHES)
    if _sched_setscheduler(types.int32(_ITSELF), types.int32(_IDLE), words + _NOTHING) != 0:
        return 0  # at any other priority it would be in the way
    while load_acquire(words + _STOP) == 0:
        for _ in range(_LOOKS):
            pause()
    return 0


class Vigil:
    """Keeps cores awake for as long as it is open, once.

    with Vigil():
        ...

    Where the machine does not give the idle policy, it keeps none.

    Args:
        cores: which; the last one that the caller may use, unless told otherwise.

    Raises:
        Refused: a core is not there or not the caller's, or this control group has a quota of processor time, which the
            vigil would use up. No thread is left running.
    """

    def __init__(self, cores: Collection[int] = ()) -> None:
        self.cores: Final = tuple(cores) or (last_core(),)
        self._threads: list[tuple[ctypes.c_ulong, NDArray[np.int64]]] = []
        self._libc: Final = ctypes.CDLL(None)

    def __enter__(self) -> Self:
        if has_quota():
            raise Refused("cores are not kept awake out of a quota of processor time (cpu.max)")
        with ExitStack() as undone:
            undone.callback(self.close)
            with (
                _no_signals()
            ):  # a thread inherits it: Python's handlers belong to Python's threads
                for core in self.cores:
                    self._start(core)
            for core, (_, words) in zip(self.cores, self._threads, strict=True):
                while words[_STANDING // _WORD] == 0:
                    # Asleep, because it may be this core that the thread needs.
                    select.select((), (), (), _LOOK_AGAIN_S)
                if words[_STANDING // _WORD] == _CANNOT:
                    raise Refused(f"core {core} cannot be kept awake: it is not ours")
            undone.pop_all()
        return self

    def _start(self, core: int) -> None:
        if not 0 <= core < 8 * _CORES_BYTES:
            raise Refused(f"core {core} cannot be kept awake: there is no such core")
        words = np.zeros(_WORDS, np.int64)
        words[_CORES // _WORD :] = _set_of({core}).view(np.int64)
        thread = ctypes.c_ulong()
        entry, argument = ctypes.c_void_p(_watch), ctypes.c_void_p(words.ctypes.data)
        failed = self._libc.pthread_create(ctypes.byref(thread), None, entry, argument)
        if failed:
            raise Refused(f"no thread to keep core {core} awake: {os.strerror(failed)}")
        self._threads.append((thread, words))

    def close(self) -> None:
        """End the threads and wait for that. Twice does no harm."""
        for _, words in self._threads:
            words[_STOP // _WORD] = 1
        anywhere = _set_of(given_cores()).tobytes()
        for thread, _ in self._threads:
            # To see that, it may run wherever there is time: its own core may be busy.
            self._libc.pthread_setaffinity_np(thread, ctypes.c_size_t(_CORES_BYTES), anywhere)
            self._libc.pthread_join(thread, None)
        self._threads.clear()

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()


def _set_of(cores: Collection[int]) -> NDArray[np.uint8]:
    """A cpu_set_t."""
    members = np.zeros(_CORES_BYTES, np.uint8)
    for core in cores:
        if 0 <= core < 8 * _CORES_BYTES:
            members[core // 8] |= 1 << core % 8
    return members


@contextmanager
def _no_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def has_quota(root: Path = _CONTROL_GROUPS, own: Path = _OWN_GROUP) -> bool:
    """Whether this process' control group (version 2), or one above it, has less time than its cores have."""
    lines = own.read_text().splitlines() if own.exists() else ()
    path = next((line.removeprefix("0::/") for line in lines if line.startswith("0::")), "")
    group = root / path
    for each in (group, *group.parents):
        limit = each / "cpu.max"
        if limit.exists() and not limit.read_text().startswith("max"):
            return True
        if each == root:
            break
    return False
