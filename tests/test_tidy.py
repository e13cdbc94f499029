"""What a linter cannot say about the tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "aegis").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    first, last = function.lineno, function.end_lineno or function.lineno
    doc = function.body[0] if ast.get_docstring(function) is not None else None
    return last - first + 1 - ((doc.end_lineno or 0) - doc.lineno + 1 if doc else 0)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short_and_finished(path: Path) -> None:
    """A file holds at most 400 lines, a function 60, and nothing says that it will be done later."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    assert [f.name for f in functions(path) if length(f) > 60] == []
    assert not [word for word in UNFINISHED if word in text]


def test_exceptions_are_caught_broadly_in_the_supervisor_only() -> None:
    """A bug stops the actor it is in; only the supervisor decides what follows. Nobody catches BaseException."""
    broad, base = set(), set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "Exception"
                broad |= {path.name} if caught == "Exception" else set()
                base |= {path.name} if "BaseException" in caught else set()
    assert broad <= {"supervisor.py"}
    assert not base


def test_tickets_are_made_by_the_limits_only() -> None:
    """An order that was not judged cannot be expressed."""
    makers = {
        path.name for path in SOURCES if "Ticket(" in path.read_text().replace("class Ticket(", "")
    }
    makers -= {path.name for path in SOURCES if path.name == "limits.py"}
    assert makers == set()


def test_exceptions_all_stand_in_one_file() -> None:
    """The tree of errors can be read in one place."""
    for path in SOURCES:
        if path.name in {"errors.py", "cli.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = {ast.unparse(base) for base in node.bases}
                assert not bases & {"Exception", "Refused", "Unknown", "Unavailable", "Broken"}, (
                    path
                )


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_say_what_they_show(path: Path) -> None:
    """Every test has a sentence, and none sleeps."""
    for function in functions(path):
        if function.name.startswith("test_"):
            assert ast.get_docstring(function), function.name
            calls = [ast.unparse(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)]
            assert "time.sleep" not in calls, function.name
