"""What tests of several layers ask of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest


def _idle_threads(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            if os.sched_getscheduler(int(task.name)) == os.SCHED_IDLE:
                found.add(int(task.name))
    return found


@pytest.fixture
def idle_threads() -> Callable[[int], set[int]]:
    """The ids of a process' threads that have the idle policy, as the kernel says now.

    A thread that was joined is in its list for a moment more.
    """
    return _idle_threads
