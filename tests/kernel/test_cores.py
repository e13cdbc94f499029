from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

_TELL = """
import json, os
from aegis.kernel.cores import leave_the_last_core
leave_the_last_core()
print(json.dumps(sorted(os.sched_getaffinity(0))))
"""


def cores_of_child(allowed: set[int]) -> list[int]:
    """Where a child that leaves the last core may run, when it may run on these."""
    told = subprocess.run(
        [sys.executable, "-c", _TELL],
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    cores: list[int] = json.loads(told.stdout)
    return cores


def test_child_leaves_the_last_core_that_it_may_use() -> None:
    """A user who gives the engine some cores keeps what is said by that."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("this machine has one core")
    assert cores_of_child(allowed) == sorted(allowed)[:-1]


def test_only_core_is_kept() -> None:
    """With one core there is nothing to leave."""
    core = min(os.sched_getaffinity(0))
    assert cores_of_child({core}) == [core]
