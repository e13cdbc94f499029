from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.processes
def test_example_prints_signals_of_the_engines_own_actors() -> None:
    """A program that embeds the Feed and the Brain gets their signals, and ends by itself."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "signals.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if " at " in line]
    assert len(lines) >= 5
    assert all(line.split()[0].endswith("USDT") for line in lines)
