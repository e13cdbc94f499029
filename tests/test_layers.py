"""The imports tell the story that ARCHITECTURE.md tells."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "aegis"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What a layer may import of aegis beside itself. A file of the top level stands by its name.
LAYERS = {
    "errors": set(),
    "compiled": {"kernel_cache"},
    "kernel_cache": {"errors"},
    "loading": set(),
    "memory": set(),
    "moment": {"compiled", "memory"},
    "paper": set(),
    "cpu_latency": {"errors"},
    "vigil": {"compiled", "errors", "kernel", "shm"},
    "kernel": {"errors"},
    "shm": {"errors", "compiled"},
    "market": {"errors", "compiled", "memory"},
    "orders": {"errors"},
    "venue": {"errors", "compiled", "kernel", "market", "memory", "moment", "orders", "shm"},
    "store": {"errors", "orders"},
    "messages": {"kernel", "orders", "store", "venue"},
    "topics": {"messages", "orders"},
    "actors": {"compiled", "errors", "kernel", "loading", "market", "messages", "orders", "shm", "store", "topics", "venue"},
    "topology": {"actors", "kernel", "messages"},
    "config": {"errors", "market", "orders", "paper"},
    "playbook": {"config", "errors", "kernel", "market"},
    "staging": {"actors", "config", "errors", "kernel", "market", "messages", "orders", "playbook", "shm", "store", "topology", "venue"},
    "engine": {"actors", "compiled", "config", "cpu_latency", "errors", "kernel", "market", "messages", "orders", "playbook", "shm", "staging", "store", "topology", "venue", "vigil"},
    "sim": {"errors", "kernel", "orders"},
}  # fmt: skip

# Modules that a pure layer must not know: no loop, no clock, no randomness, no input or output.
WORLDLY = {"asyncio", "httpx", "io", "os", "pathlib", "random", "secrets", "socket", "sqlite3"}
WORLDLY |= {"subprocess", "threading", "time", "trio", "trio_websocket"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def layer_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_respect_the_layers(path: Path) -> None:
    """A layer imports only what stands below it."""
    layer = layer_of(path)
    if layer not in LAYERS:
        return
    of_aegis = {name.split(".")[1] for name in imports(path) if name.startswith("aegis.")}
    assert of_aegis - {layer} <= LAYERS[layer]


@pytest.mark.parametrize("layer", ["market", "orders"])
def test_imports_of_pure_layers_are_pure(layer: str) -> None:
    """The numbers and the money rules know no loop, no clock and no world."""
    for path in (PACKAGE / layer).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & WORLDLY, path


def test_imports_of_the_simulator_stay_with_people_and_tests() -> None:
    """Nothing that trades knows the simulated exchange."""
    knowing = {
        layer_of(path) for path in SOURCES if any(n.startswith("aegis.sim") for n in imports(path))
    }
    assert knowing <= {"sim", "ops"}


def test_clocks_are_read_in_one_file() -> None:
    """Time comes from kernel/clock.py, so that a test can give another one; for compiled code from moment.py."""
    readers = {
        str(path.relative_to(PACKAGE)) for path in SOURCES if imports(path) & {"time", "datetime"}
    }
    assert readers == {"kernel/clock.py"}
    texts = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in SOURCES}
    assert {name for name, text in texts.items() if "clock_gettime" in text} == {
        "kernel/clock.py",
        "moment.py",
    }


def test_chance_is_made_in_one_file() -> None:
    """A random source is handed around; only kernel/clock.py makes one."""
    makers = {
        str(path.relative_to(PACKAGE))
        for path in SOURCES
        if "Random(" in path.read_text(encoding="utf-8") or "secrets" in imports(path)
    }
    assert makers == {"kernel/clock.py"}
