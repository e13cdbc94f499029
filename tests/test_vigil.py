"""The vigil: real threads, seen as the kernel sees them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from aegis import vigil
from aegis.errors import Refused
from aegis.kernel.cores import last_core
from aegis.vigil import Vigil, has_quota

Wait = Callable[[int], list[int]]
LOOKS, LOOK_S = 10_000, 0.001


@pytest.fixture
def until_idle_threads(idle_threads: Callable[[int], set[int]]) -> Wait:
    """Waits until there are so many idle threads, and gives them.

    A thread says that it watches just before it has the policy, and a joined one is listed for a moment more.
    """

    def wait(count: int) -> list[int]:
        found: set[int] = set()
        for _ in range(LOOKS):
            if len(found := idle_threads(os.getpid())) == count:
                return sorted(found)
            select.select((), (), (), LOOK_S)
        pytest.fail(f"{len(found)} idle threads, and not {count}")

    return wait


def test_the_last_core_is_kept_awake_by_a_thread_of_the_idle_policy_until_the_end(
    until_idle_threads: Wait,
) -> None:
    """By one thread, which runs nowhere else; and none is left."""
    with Vigil():
        (thread,) = until_idle_threads(1)
        assert os.sched_getaffinity(thread) == {last_core()}
    assert until_idle_threads(0) == []


def test_each_core_that_is_named_has_a_thread(until_idle_threads: Wait) -> None:
    """One each."""
    cores = sorted(os.sched_getaffinity(0))
    with Vigil(cores):
        threads = until_idle_threads(len(cores))
        assert sorted(os.sched_getaffinity(each).pop() for each in threads) == cores


@pytest.mark.parametrize("absent", [1023, 1024, -1])
def test_a_core_that_is_not_there_is_refused_and_no_thread_is_left(
    until_idle_threads: Wait, absent: int
) -> None:
    """The one of the core that is there ends as well."""
    with pytest.raises(Refused, match=f"core {absent} cannot"):
        Vigil((last_core(), absent)).__enter__()
    assert until_idle_threads(0) == []


def test_an_interrupt_while_it_begins_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch, until_idle_threads: Wait
) -> None:
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


def test_its_threads_take_no_signals(until_idle_threads: Wait) -> None:
    """Python's handlers belong to Python's threads."""
    with Vigil():
        (thread,) = until_idle_threads(1)
        status = Path(f"/proc/self/task/{thread}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    assert blocked & 1 << signal.SIGINT - 1
    assert blocked & 1 << signal.SIGTERM - 1


def test_ctrl_c_ends_a_program_that_does_nothing_but_keep_a_vigil() -> None:
    """The process and its threads."""
    program = (
        "import select, signal\n"
        "from aegis.vigil import Vigil\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background it may be ignored
        "with Vigil():\n"
        "    print('watching', flush=True)\n"
        "    while True:\n"  # a signal just before a sleep does not end it
        "        select.select((), (), (), 0.01)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"watching\n"
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == -signal.SIGINT
        finally:
            child.kill()


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
