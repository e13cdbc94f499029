"""The results of a full run: one JSON file with its date, commit and machine, and what can be read off it."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

__all__ = [
    "LATEST",
    "NAMES",
    "Beside",
    "Result",
    "Run",
    "beside",
    "goals",
    "load",
    "machine",
    "save",
]

NAMES: Final = ("ring", "mailbox", "feed", "brain", "order", "end_to_end")
LATEST: Final = Path(__file__).parent / "results" / "latest.json"
_RATES: Final = {"M/s", "1/s", "1/us"}
"""Units of which more is better; of all others less is, and of a bare number nobody knows."""

Document = dict[str, Any]


@attrs.frozen
class Run:
    """A full run."""

    date: str
    commit: str
    machine: str
    seconds: float
    benchmarks: tuple[Document, ...]
    """As each benchmark said it with `--json`."""
    missing: tuple[str, ...] = ()
    """Peers that took no part, and benchmarks that did not end well, in their own words."""


@attrs.frozen
class Result:
    """A figure of one contestant."""

    contestant: str
    metric: str
    unit: str
    median: float
    min: float
    max: float
    runs: int


@attrs.frozen
class Beside:
    """A figure, and how many times better the engine's own part does at the same thing; None where there is no such."""

    result: Result
    ratio: float | None


def machine() -> str:
    """What this machine is."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = (line for line in cpuinfo.read_text().splitlines() if "model name" in line)
        model = next(named, model).partition(":")[2].strip() or model
    cores = len(os.sched_getaffinity(0))
    system = platform.uname()
    python = platform.python_version()
    return f"{model}, {cores} cores, {system.system} {system.release}, CPython {python}"


def now() -> str:
    """The date of a run."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def save(run: Run, path: Path = LATEST) -> None:
    """Keep it as the last full run."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(attrs.asdict(run), indent=1) + "\n")


def load(path: Path = LATEST) -> Run:
    """The last full run.

    Raises:
        FileNotFoundError: there was none.
    """
    document = json.loads(path.read_text())
    document["benchmarks"] = tuple(document["benchmarks"])
    document["missing"] = tuple(document["missing"])
    return Run(**document)


def beside(benchmark: Document) -> Iterator[Beside]:
    """The figures of a benchmark, metric by metric; the first contestant of a metric is the one that it is about."""
    results = [Result(**each) for each in benchmark["results"]]
    first: dict[str, Result] = {}
    for each in results:
        first.setdefault(each.metric, each)
    for metric, ours in first.items():
        yield Beside(ours, None)
        for each in results:
            if each.metric == metric and each is not ours:
                yield Beside(each, _ratio(ours, each))


def _ratio(ours: Result, other: Result) -> float | None:
    if not ours.median or not other.median or ours.unit in {"", "1"}:
        return None
    return ours.median / other.median if ours.unit in _RATES else other.median / ours.median


def goals(benchmarks: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    """Every goal, with the name of its benchmark."""
    for benchmark in benchmarks:
        for goal in benchmark["goals"]:
            yield benchmark["name"], goal
