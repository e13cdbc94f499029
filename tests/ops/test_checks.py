"""`verify` and `doctor` as a person would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes


def aegis(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "aegis", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=120,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state")},
    )
    return done.returncode, done.stdout, done.stderr


def test_verify_says_what_it_measured(tmp_path: Path) -> None:
    """Some parts alone: a document whose lines hold, and exit code 0."""
    code, out, err = aegis(tmp_path, "verify", "--only", "priorities,pools,objects", "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 0, err
    assert document["verified"] is True
    assert {"machine", "python", "wall_ns"} <= set(document)
    names = [line["name"] for line in document["lines"]]
    assert names == [
        "priority order, dispatcher",
        "priority order, mailbox",
        "pool, candles",
        "pool, signals",
        "objects a tick, ring and step",
    ]
    keys = {"name", "figure", "bound", "source", "holds", "values"}
    assert all(set(line) == keys and line["holds"] for line in document["lines"])


def test_verify_without_a_terminal_prints_a_line_a_promise(tmp_path: Path) -> None:
    """Plain lines, each with its verdict first."""
    code, out, err = aegis(tmp_path, "verify", "--only", "priorities")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["pass", "pass"]


def test_verify_exits_3_where_a_line_fails(tmp_path: Path) -> None:
    """Where the state folder cannot be used the engine cannot trade: the part is not measured, and that is a failure."""
    (tmp_path / "state").touch()
    code, out, _ = aegis(tmp_path, "verify", "--only", "endings", "--json")
    assert code == 3
    document = json.loads(out)
    assert document["verified"] is False
    assert [line["holds"] for line in document["lines"]] == [False]
    assert "not measured" in document["lines"][0]["figure"]


def test_verify_of_the_load_shows_every_hop(tmp_path: Path) -> None:
    """The engine under a light load for a moment: pids, threads and a clean table of hops, whatever the pace is."""
    code, out, err = aegis(tmp_path, "verify", "--only", "load", "--for", "3s", "--json")
    assert code in {0, 3}, err
    lines = {line["name"]: line for line in json.loads(out)["lines"]}
    assert lines["processes"]["holds"]
    assert lines["structure's thread"]["holds"]
    order = lines["tick to order on the wire"]["values"]
    assert order["reconciled"]
    assert set(order["hops"]) == {"signal", "judged", "durable", "sent", "answered"}
    assert list((tmp_path / "state" / "aegis" / "sim").iterdir()) == []


def test_verify_of_an_unknown_part_is_bad_usage(tmp_path: Path) -> None:
    """It says which parts there are."""
    code, out, err = aegis(tmp_path, "verify", "--only", "everything", "--json")
    assert (code, out) == (2, "")
    assert "everything" in err
    assert "priorities" in err


def test_doctor_finds_this_machine_fit(tmp_path: Path) -> None:
    """No network is needed: the shipped exchange tells the time. One document, exit code 0."""
    code, out, err = aegis(tmp_path, "doctor", "--json")
    document: dict[str, Any] = json.loads(out)
    assert code == 0, err
    assert document["healthy"] is True
    found = {each["name"]: each for each in document["findings"]}
    assert {"Python", "packages", "fsync", "venue's clock", "journal's disk"} <= set(found)
    assert found["venue's clock"]["found"].startswith("sim: ")


def test_doctor_exits_3_on_an_error(tmp_path: Path) -> None:
    """A state folder that is a file: an error with advice, in plain lines, and exit code 3."""
    (tmp_path / "state").touch()
    code, out, _ = aegis(tmp_path, "doctor")
    assert code == 3
    (line,) = [each for each in out.splitlines() if each.startswith("error    journal's disk")]
    assert "XDG_STATE_HOME" in line


def test_doctor_refuses_an_unknown_venue(tmp_path: Path) -> None:
    """Bad usage is one line and exit code 2, as everywhere."""
    code, out, err = aegis(tmp_path, "doctor", "--venue", "nowhere")
    assert (code, out) == (2, "")
    assert "nowhere" in err
