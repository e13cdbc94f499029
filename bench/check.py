"""Whether the last full run is above its floors: `python -m bench.check`, before a release.

Only ratios are judged, because only they mean the same on another machine; a goal states its floor beside itself, half of
what it aims at where nothing else is said. Exit code 3 where one is below, or where a benchmark is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import attrs

from bench import full_run
from bench.full_run import NAMES, Run
from bench.report import commit

__all__ = ["Judgement", "judge"]

_RATIO: Final = "x"


@attrs.frozen
class Judgement:
    """One thing that was looked at."""

    name: str
    says: str
    holds: bool


def judge(run: Run) -> list[Judgement]:
    """Compare every ratio of the last full run with its floor."""
    there = {benchmark["name"] for benchmark in run.benchmarks}
    found = [
        Judgement(name, "is not in the last full run", holds=False)
        for name in NAMES
        if name not in there
    ]
    found += [
        Judgement(f"{benchmark}: {goal['name']}", _says(goal), holds=_is_above_floor(goal))
        for benchmark, goal in full_run.goals(run.benchmarks)
        if goal["unit"] == _RATIO
    ]
    return found


def _is_above_floor(goal: full_run.Document) -> bool:
    value, aim, floor = (float(goal[name]) for name in ("value", "goal", "floor"))
    return value >= floor if aim >= floor else value <= floor


def _says(goal: full_run.Document) -> str:
    return f"{goal['value']:.3g} x, goal {goal['goal']:g} x, floor {goal['floor']:g} x"


def main(path: Path = full_run.LATEST) -> int:
    """Print every judgement; 3 where one does not hold."""
    try:
        run = full_run.load(path)
    except FileNotFoundError:
        print("there is no full run yet: make bench")
        return 3
    print(f"the run of {run.date}, commit {run.commit[:12]}; the tree is at {commit()[:12]}")
    found = judge(run)
    for each in found:
        print(f"{'holds' if each.holds else 'BELOW':<7}{each.name}: {each.says}")
    return 0 if all(each.holds for each in found) else 3


if __name__ == "__main__":
    sys.exit(main())
