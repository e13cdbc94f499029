"""What all benchmarks share: contestants in turns, goals, one JSON document or a table."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Contestant", "Goal", "WrongWorkError", "commit", "expect", "main"]


class WrongWorkError(Exception):
    """A contestant did not do what it is timed for."""


def expect(done: object, due: object) -> None:
    """Check what a contestant has done.

    Raises:
        WrongWorkError: when it is not what was due.
    """
    if done != due:
        raise WrongWorkError(f"{done} instead of {due}")


@attrs.frozen
class Contestant:
    """One way to do the work of a metric; `run` does it once and returns the figure."""

    name: str
    metric: str
    unit: str
    run: Callable[[], float]
    figures: list[float] = attrs.field(factory=list)

    @property
    def median(self) -> float:
        """The median over the runs so far."""
        return statistics.median(self.figures)


@attrs.frozen
class Goal:
    """A figure and what was aimed for; beyond the floor it is a defect. Goals above their floor are to be reached."""

    name: str
    value: float
    unit: str
    goal: float
    floor: float

    @property
    def holds(self) -> bool:
        """True when the figure is at least, or at most, the goal."""
        return self.value >= self.goal if self.goal >= self.floor else self.value <= self.goal


def main(
    name: str,
    contestants: Callable[[float], Sequence[Contestant]],
    goals: Callable[[Sequence[Contestant]], Sequence[Goal]],
) -> int:
    """Run a benchmark from the command line; returns the exit code: 0, or 3 where some work was wrong.

    Args:
        name: of the benchmark.
        contestants: makes them for a scale; 1 is the full amount of work.
        goals: finds the goals' figures in the medians.
    """
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--runs", type=int, default=5, help="of each contestant (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the amount of work (1)")
    options = parser.parse_args()
    everybody = contestants(options.scale)
    wrong = ""
    try:
        for _ in range(options.runs):
            for each in everybody:
                gc.collect()
                each.figures.append(each.run())
    except* WrongWorkError as group:  # out of a nursery it comes in a group
        wrong = _first(group)
    if wrong:
        sys.stderr.write(f"{name}: wrong work: {wrong}\n")
        return 3
    report = _as_json if options.json else _as_table
    print(report(name, everybody, goals(everybody)))
    return 0


def _first(group: BaseExceptionGroup[Any]) -> str:
    cause: BaseException = group
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return str(cause)


def _machine() -> str:
    system = platform.uname()
    return f"{system.machine} {system.system} {system.release}, CPython {platform.python_version()}"


def commit() -> str:
    """The commit of the working tree, read from its files: a machine that measures need not have git."""
    git = Path(__file__).parents[1] / ".git"
    if git.is_file():  # a second working tree names its folder
        git = Path(git.read_text().strip().removeprefix("gitdir: "))
    if not (git / "HEAD").is_file():
        return "unknown"
    head = (git / "HEAD").read_text().strip().removeprefix("ref: ")
    shared = git / "commondir"
    root = git / shared.read_text().strip() if shared.is_file() else git
    if (root / head).is_file():
        return (root / head).read_text().strip()
    packed = root / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.endswith(f" {head}")), head)


def _as_json(name: str, everybody: Sequence[Contestant], goals: Sequence[Goal]) -> str:
    return json.dumps(
        {
            "name": name,
            "commit": commit(),
            "machine": _machine(),
            "results": [
                {
                    "contestant": each.name,
                    "metric": each.metric,
                    "unit": each.unit,
                    "median": each.median,
                    "min": min(each.figures),
                    "max": max(each.figures),
                    "runs": len(each.figures),
                }
                for each in everybody
            ],
            "goals": [{**attrs.asdict(each), "holds": each.holds} for each in goals],
        }
    )


def _as_table(name: str, everybody: Sequence[Contestant], goals: Sequence[Goal]) -> str:
    lines = [f"{name} on {_machine()}", ""]
    for each in everybody:
        spread = f"({min(each.figures):.4g} to {max(each.figures):.4g})"
        lines.append(f"{each.metric:<36}{each.name:<32}{each.median:>10.4g} {each.unit:<5}{spread}")
    lines.append("")
    for goal in goals:
        what = "holds" if goal.holds else "MISSED"
        lines.append(f"{goal.name:<68}{goal.value:>10.4g} {goal.unit:<5}goal {goal.goal:g}: {what}")
    return "\n".join(lines)
