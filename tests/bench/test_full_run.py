"""The table, the floors and the document of a full run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from bench import check, document, full_run, table
from bench.full_run import NAMES, Run


def result(contestant: str, metric: str, unit: str, median: float) -> dict[str, Any]:
    spread = {"median": median, "min": median * 0.9, "max": median * 1.1, "runs": 5}
    return {"contestant": contestant, "metric": metric, "unit": unit, **spread}


def goal(name: str, value: float, unit: str, aim: float, floor: float) -> dict[str, Any]:
    holds = value >= aim if aim >= floor else value <= aim
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "goal": aim,
        "floor": floor,
        "holds": holds,
    }


def benchmark(name: str, *goals: dict[str, Any]) -> dict[str, Any]:
    results = [
        result("ours", "carry", "ns", 100.0),
        result("peer", "carry", "ns", 450.0),
        result("ours", "rate", "M/s", 2.0),
        result("peer", "rate", "M/s", 4.0),
        result("ours", "share", "1", 0.5),
        result("other", "share", "1", 0.7),
    ]
    head = {"name": name, "commit": "c0ffee", "machine": "m"}
    return {**head, "results": results, "goals": list(goals)}


@pytest.fixture
def run() -> Run:
    """A full run in which everything is as it should be."""
    ratio = goal("carry beside a peer", 4.5, "x", 4.0, 2.0)
    absolute = goal("carry", 100.0, "ns", 50.0, 80.0)
    benchmarks = [benchmark(NAMES[0], ratio, absolute), *(benchmark(each) for each in NAMES[1:])]
    return Run("2026-01-02 03:04 UTC", "c0ffee" * 6, "a machine", 600.0, tuple(benchmarks))


def test_ratios_say_how_many_times_better_ours_is() -> None:
    """Less is better for times, more for rates, and a bare number is compared with nothing."""
    shown = {
        (b.result.contestant, b.result.metric): b.ratio for b in full_run.beside(benchmark("x"))
    }
    assert shown["peer", "carry"] == 4.5
    assert shown["peer", "rate"] == 0.5
    assert shown["other", "share"] is None
    assert shown["ours", "carry"] is None


def test_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    """Date, commit, machine, figures and what is missing come back as they were."""
    kept = attrs.evolve(run, missing=("zmq is not installed",))
    full_run.save(kept, tmp_path / "results" / "latest.json")
    assert full_run.load(tmp_path / "results" / "latest.json") == kept


def test_check_passes_above_the_floors(run: Run) -> None:
    """Ratios are judged; a time that misses its goal is the machine's business."""
    found = check.judge(run)
    assert [(each.name, each.holds) for each in found] == [
        (f"{NAMES[0]}: carry beside a peer", True)
    ]


@pytest.mark.parametrize(
    ("value", "aim", "floor", "holds"),
    [(2.0, 4.0, 2.0, True), (1.99, 4.0, 2.0, False), (1.9, 1.0, 2.0, True), (2.1, 1.0, 2.0, False)],
)
def test_check_compares_with_the_floor(
    run: Run, value: float, aim: float, floor: float, *, holds: bool
) -> None:
    """A goal above its floor is to be reached, one below it not to be passed; half of it is enough here."""
    one = benchmark(NAMES[0], goal("it", value, "x", aim, floor))
    found = check.judge(attrs.evolve(run, benchmarks=(one, *run.benchmarks[1:])))
    assert [each.holds for each in found] == [holds]


def test_check_misses_a_benchmark(run: Run) -> None:
    """A run without one of them is no full run."""
    found = check.judge(attrs.evolve(run, benchmarks=run.benchmarks[:-1]))
    assert [each.name for each in found if not each.holds] == [NAMES[-1]]


def test_check_exits_3_without_a_run_or_below_a_floor(run: Run, tmp_path: Path) -> None:
    """For use before a release: 0 says that it may be made."""
    path = tmp_path / "latest.json"
    assert check.main(path) == 3
    full_run.save(run, path)
    assert check.main(path) == 0
    below = benchmark(NAMES[0], goal("it", 1.0, "x", 4.0, 2.0))
    full_run.save(attrs.evolve(run, benchmarks=(below, *run.benchmarks[1:])), path)
    assert check.main(path) == 3


def test_table_says_what_is_missed_and_by_how_much(run: Run) -> None:
    """Every figure stands in it once, with its spread, its ratio, and an honest word for a peer that is better."""
    shown = table.text(run)
    assert "2 x worse" in shown
    assert "4.5 x" in shown
    assert "missed by 2 x" in shown
    assert run.date in shown


def test_document_is_filled_between_its_marks(run: Run) -> None:
    """The table is replaced, again and again; the words around it stay."""
    empty = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    filled = document.filled(empty, table.markdown(run))
    assert document.filled(filled, table.markdown(run)) == filled
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")
    assert "\nold\n" not in filled
    assert "| carry | ours | 100 ns |" in filled
    with pytest.raises(ValueError, match="lacks"):
        document.filled("no marks", "table")
