"""One table of a full run: for a terminal, and for the documents."""

from __future__ import annotations

from collections.abc import Iterator

from bench.full_run import Beside, Document, Run, beside, goals

__all__ = ["markdown", "text"]


def text(run: Run) -> str:
    """For a terminal."""
    lines = [f"{run.date}, commit {run.commit[:12]}, {run.machine}, {run.seconds:.0f} s"]
    for benchmark in run.benchmarks:
        lines += ["", benchmark["name"]]
        lines += [
            f"  {metric:<40}{who:<26}{figure:>16}  {spread:<22}{ratio}"
            for metric, who, figure, spread, ratio in _rows(benchmark)
        ]
    lines += ["", "goals"]
    lines += [
        f"  {name:<72}{value:>16}  goal {goal:<12}{verdict}"
        for name, value, goal, verdict in _goals(run)
    ]
    return "\n".join([*lines, "", *run.missing])


def markdown(run: Run) -> str:
    """For a document."""
    lines = [
        f"Run of {run.date}, commit `{run.commit[:12]}`, {run.machine}; {run.seconds:.0f} s in all."
    ]
    for benchmark in run.benchmarks:
        lines += ["", f"### {benchmark['name']}", ""]
        lines += ["| what | who | median | of all runs | beside ours |", "|---|---|--:|---|--:|"]
        lines += [f"| {' | '.join(row)} |" for row in _rows(benchmark)]
    lines += ["", "### Goals", "", "| goal | reached | aimed at | |", "|---|--:|--:|---|"]
    lines += [f"| {' | '.join(row)} |" for row in _goals(run)]
    if run.missing:
        lines += ["", "Missing:", "", *(f"- {each}" for each in run.missing)]
    return "\n".join(lines)


def _rows(benchmark: Document) -> Iterator[tuple[str, str, str, str, str]]:
    metric = ""
    for each in beside(benchmark):
        result = each.result
        shown = "" if result.metric == metric else result.metric
        metric = result.metric
        spread = f"{_number(result.min)} to {_number(result.max)}"
        figure = f"{_number(result.median)} {result.unit}".strip()
        yield shown, result.contestant, figure, spread, _ratio(each)


def _ratio(each: Beside) -> str:
    """How the engine's part compares: "5 x better", or honestly "2 x worse"."""
    if each.ratio is None:
        return ""
    if each.ratio >= 1:
        return f"{_number(each.ratio)} x"
    return f"{_number(1 / each.ratio)} x worse"


def _goals(run: Run) -> Iterator[tuple[str, str, str, str]]:
    for benchmark, goal in goals(run.benchmarks):
        verdict = "holds" if goal["holds"] else f"missed by {_missed(goal)}"
        value = f"{_number(goal['value'])} {goal['unit']}".strip()
        yield f"{benchmark}: {goal['name']}", value, _number(goal["goal"]), verdict


def _missed(goal: Document) -> str:
    value, aim = float(goal["value"]), float(goal["goal"])
    if not value or not aim:
        return _number(abs(value - aim))
    return f"{_number(max(value, aim) / min(value, aim))} x"


def _number(value: float) -> str:
    """Three digits, thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
