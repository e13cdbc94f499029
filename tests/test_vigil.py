"""The vigil: real threads, seen as the kernel sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aegis.errors import Refused
from aegis.kernel.cores import last_core
from aegis.vigil import Vigil

POLICY = 40 - 2
"""Of the fields of /proc/<pid>/task/<tid>/stat that follow the name: the scheduling policy (field 41)."""


def idle_threads() -> dict[int, set[int]]:
    """The threads of this process that have the idle policy, each with its cores."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        if int(fields[POLICY]) == os.SCHED_IDLE:
            found[int(task.name)] = os.sched_getaffinity(int(task.name))
    return found


def test_the_last_core_is_kept_awake_by_a_thread_of_the_idle_policy_until_the_end() -> None:
    """By one thread, which runs nowhere else; and none is left."""
    assert not idle_threads()
    with Vigil():
        assert list(idle_threads().values()) == [{last_core()}]
    assert not idle_threads()


def test_each_core_that_is_named_has_a_thread() -> None:
    """One each."""
    cores = os.sched_getaffinity(0)
    with Vigil(sorted(cores)):
        assert sorted(idle_threads().values(), key=min) == [{core} for core in sorted(cores)]


@pytest.mark.parametrize("absent", [1023, 1024, -1])
def test_a_core_that_is_not_there_is_refused_and_no_thread_is_left(absent: int) -> None:
    """The one of the core that is there ends as well."""
    with pytest.raises(Refused, match=f"core {absent} cannot"):
        Vigil((last_core(), absent)).__enter__()
    assert not idle_threads()


def test_signals_go_to_python_and_a_killed_process_ends_with_its_threads() -> None:
    """Ctrl-C ends a program that does nothing but keep a vigil."""
    program = (
        "import signal, sys\n"
        "from aegis.vigil import Vigil\n"
        "with Vigil():\n"
        "    print('watching', flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"watching\n"
        child.send_signal(2)
        assert child.wait(20) == -2
