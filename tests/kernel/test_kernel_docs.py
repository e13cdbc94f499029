"""The pages and examples of the kernel do what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:```text\n(.*?)```\n)?", re.DOTALL)


def test_kernel_page_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Every Python block of the page runs, in order, and prints the text below it."""
    blocks = BLOCK.findall((ROOT / "docs" / "kernel.md").read_text())
    assert len(blocks) > 5
    page: dict[str, Any] = {"__name__": "page"}
    for code, expected in blocks:
        exec(compile(code, "docs/kernel.md", "exec"), page)  # noqa: S102  # our own page
        assert capsys.readouterr().out == expected


@pytest.mark.processes
def test_embedding_example_prints_signals() -> None:
    """The example runs two systems in one program and ends by itself."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "embed.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert sorted(line.split()[0] for line in lines) == ["BTCUSDT"] * 3 + ["ETHUSDT"] * 3
    assert done.stderr == ""


@pytest.mark.processes
def test_mailbox_benchmark_reports_as_json() -> None:
    """The benchmark does its work, checks it, and prints one document in the common form."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.mailbox", "--json", "--runs", "1", "--scale", "0.02"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    report = json.loads(done.stdout)
    assert set(report) == {"name", "commit", "machine", "results", "goals"}
    assert all(each["runs"] == 1 and each["median"] > 0 for each in report["results"])
    assert all(
        set(each) >= {"name", "value", "unit", "goal", "floor", "holds"} for each in report["goals"]
    )
