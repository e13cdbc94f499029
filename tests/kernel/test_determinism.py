"""The same trace in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("traced_program.py")


def trace(hash_seed: int, *arguments: str) -> str:
    """What the program prints in a fresh process."""
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.processes
def test_trace_is_equal_in_every_process() -> None:
    """Ten processes with different hash seeds give one trace: crashes, ties, cancellations and all."""
    assert len({trace(hash_seed) for hash_seed in range(1, 11)}) == 1


@pytest.mark.processes
def test_trace_of_an_order() -> None:
    """An order that is drawn at random is the same each time, and different from another."""
    assert trace(1, "5") == trace(2, "5")
    assert len({trace(1), trace(1, "5"), trace(1, "6")}) == 3
