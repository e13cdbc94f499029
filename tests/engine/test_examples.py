from __future__ import annotations

import json
import os
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


@pytest.mark.processes
def test_strategy_of_ones_own_trades_by_its_name(tmp_path: Path) -> None:
    """The twenty lines of the example, named on the command line, become orders and fills on paper."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "aegis",
            "run",
            "--strategy",
            "my_strategy:Bands",
            "--for",
            "8s",
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=EXAMPLES,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    summary = json.loads(done.stdout)
    assert summary["strategies"]["bands"]["proposed"] > 0
    assert summary["strategies"]["bands"]["quarantined"] == {}
    assert (summary["fills"] > 0, summary["reconciled"]) == (True, True)
    source = (EXAMPLES / "my_strategy.py").read_text()
    body = source[source.index("@attrs") :]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20
