"""The vigil: real threads, seen as the kernel sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from aegis import vigil
from aegis.errors import Refused
from aegis.kernel.cores import last_core
from aegis.vigil import Vigil, has_quota

POLICY = 40 - 2
"""Of the fields of /proc/<pid>/task/<tid>/stat that follow the name: the scheduling policy (field 41)."""


def idle_threads() -> dict[int, set[int]]:
    """The threads of this process that have the idle policy, each with its cores."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            if int(fields[POLICY]) == os.SCHED_IDLE:
                found[int(task.name)] = os.sched_getaffinity(int(task.name))
    return found


def until_idle_threads(count: int) -> list[set[int]]:
    """The cores of so many idle threads, once there are so many.

    A thread says that it watches just before it has the policy, and a joined one is in the kernel's list for a moment more.
    """
    while len(found := idle_threads()) != count:
        os.sched_yield()
    return sorted(found.values(), key=min)


def test_the_last_core_is_kept_awake_by_a_thread_of_the_idle_policy_until_the_end() -> None:
    """By one thread, which runs nowhere else; and none is left."""
    with Vigil():
        assert until_idle_threads(1) == [{last_core()}]
    assert until_idle_threads(0) == []


def test_each_core_that_is_named_has_a_thread() -> None:
    """One each."""
    cores = sorted(os.sched_getaffinity(0))
    with Vigil(cores):
        assert until_idle_threads(len(cores)) == [{core} for core in cores]


@pytest.mark.parametrize("absent", [1023, 1024, -1])
def test_a_core_that_is_not_there_is_refused_and_no_thread_is_left(absent: int) -> None:
    """The one of the core that is there ends as well."""
    with pytest.raises(Refused, match=f"core {absent} cannot"):
        Vigil((last_core(), absent)).__enter__()
    assert until_idle_threads(0) == []


def test_an_interrupt_while_it_begins_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C waits while signals are blocked, and comes when the threads are there."""
    block = signal.pthread_sigmask

    def block_or_interrupt(how: int, mask: Iterable[int]) -> set[int]:
        before = block(how, mask)
        if how == signal.SIG_SETMASK:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "pthread_sigmask", block_or_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Vigil().__enter__()
    assert until_idle_threads(0) == []


def test_its_threads_take_no_signals() -> None:
    """Python's handlers belong to Python's threads."""
    with Vigil():
        until_idle_threads(1)
        (thread,) = idle_threads()
        status = Path(f"/proc/self/task/{thread}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    assert blocked & 1 << signal.SIGINT - 1
    assert blocked & 1 << signal.SIGTERM - 1


def test_ctrl_c_ends_a_program_that_does_nothing_but_keep_a_vigil() -> None:
    """The process and its threads."""
    program = (
        "import signal\n"
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
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == -signal.SIGINT


@pytest.mark.parametrize(
    ("limits", "limited"),
    [
        ({}, False),
        ({"a": "max 100000", "a/b": "max 100000"}, False),
        ({"a/b": "150000 100000"}, True),
        ({"a": "50000 100000", "a/b": "max 100000"}, True),
        ({"": "50000 100000"}, True),
        ({"other": "50000 100000"}, False),
    ],
)
def test_a_quota_of_the_own_group_or_one_above_is_seen(
    tmp_path: Path, limits: dict[str, str], limited: bool
) -> None:
    """And that of another is not."""
    root, own = tmp_path / "groups", tmp_path / "cgroup"
    own.write_text("1:cpu:/elsewhere\n0::/a/b\n")
    (root / "a" / "b").mkdir(parents=True)
    for group, limit in limits.items():
        (root / group).mkdir(exist_ok=True)
        (root / group / "cpu.max").write_text(limit + "\n")
    assert has_quota(root, own) is limited


def test_no_core_is_kept_awake_out_of_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would use up what the engine has."""
    monkeypatch.setattr(vigil, "has_quota", lambda: True)
    with pytest.raises(Refused, match="quota"):
        Vigil().__enter__()
