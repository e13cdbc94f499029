"""The doctor: what it thinks of machines that it is told of, and of this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from aegis.config import Config, RunConfig, VenueConfig
from aegis.ops import doctor, machine
from aegis.ops.findings import Finding, Verdict, examine
from aegis.ops.machine import Disk, Facts, Offset, Package

GIGABYTE = 1 << 30
GOOD_DISK = Disk("/state", "ext4", 50 * GIGABYTE, sync_ms=0.5, sync_worst_ms=2.0)
GOOD = Facts(
    system="Linux",
    implementation="CPython",
    python=(3, 11, 7),
    packages=(Package("trio", "0.31", "0.35.0"), Package("h11", "0.14", "0.14")),
    cores=2,
    shm_free_bytes=GIGABYTE,
    memfd="",
    pidfd=True,
    files_max=1024,
    clock_source="tsc",
    clock_read_ns=30.0,
    work_us=30.0,
    rested_work_us=60.0,
    cpu_latency_us=0,
    resting="",
    cache="/cache",
    cache_why="",
    compiled=True,
    disk=GOOD_DISK,
    disk_why="",
    keys=False,
    offset=Offset("sim", 1),
)


def of(name: str, facts: Facts) -> Finding:
    (found,) = [each for each in examine(facts) if each.name == name]
    return found


def test_healthy_machine_has_nothing_to_do() -> None:
    """Everything is looked at, all is well, and nothing is advised."""
    found = examine(GOOD)
    assert {each.verdict for each in found} == {Verdict.OK}
    assert not any(each.advice for each in found)
    assert all(each.found for each in found)
    assert doctor.report(found)["healthy"] is True


@pytest.mark.parametrize(
    ("name", "verdict", "change"),
    [
        ("Python", Verdict.ERROR, {"python": (3, 10, 14)}),
        ("Python", Verdict.ERROR, {"implementation": "PyPy"}),
        ("Python", Verdict.ERROR, {"system": "Darwin"}),
        ("Python", Verdict.ERROR, {"pidfd": False}),
        ("packages", Verdict.ERROR, {"packages": (Package("trio", "0.31", ""),)}),
        ("packages", Verdict.ERROR, {"packages": (Package("trio", "0.31", "0.9.2"),)}),
        ("packages", Verdict.ERROR, {"packages": ()}),
        ("cores", Verdict.WARNING, {"cores": 1}),
        ("shared memory", Verdict.ERROR, {"memfd": "Operation not permitted"}),
        ("shared memory", Verdict.WARNING, {"shm_free_bytes": None}),
        ("shared memory", Verdict.WARNING, {"shm_free_bytes": 1 << 20}),
        ("open files", Verdict.WARNING, {"files_max": 256}),
        ("open files", Verdict.ERROR, {"files_max": 64}),
        ("fsync", Verdict.WARNING, {"disk": attrs.evolve(GOOD_DISK, sync_ms=25.0)}),
        ("fsync", Verdict.WARNING, {"disk": attrs.evolve(GOOD_DISK, sync_ms=0.002)}),
        ("fsync", Verdict.ERROR, {"disk": None, "disk_why": "read-only"}),
        ("clock source", Verdict.WARNING, {"clock_source": "hpet"}),
        ("clock source", Verdict.WARNING, {"clock_read_ns": 4000.0}),
        ("after a rest", Verdict.WARNING, {"rested_work_us": 200.0}),
        ("idle cores", Verdict.WARNING, {"resting": "Permission denied"}),
        ("venue's clock", Verdict.WARNING, {"offset": Offset("sim", -300)}),
        ("venue's clock", Verdict.ERROR, {"offset": Offset("sim", 1500)}),
        ("venue's clock", Verdict.ERROR, {"offset": Offset("sim", None, "no route")}),
        ("API key", Verdict.ERROR, {"offset": Offset("binance-testnet", 3)}),
        ("compiled code", Verdict.WARNING, {"compiled": False}),
        ("compiled code", Verdict.ERROR, {"cache": "", "cache_why": "others may write"}),
        ("journal's disk", Verdict.ERROR, {"disk": None, "disk_why": "read-only"}),
        ("journal's disk", Verdict.ERROR, {"disk": attrs.evolve(GOOD_DISK, free_bytes=1 << 20)}),
        ("journal's disk", Verdict.WARNING, {"disk": attrs.evolve(GOOD_DISK, free_bytes=1 << 29)}),
        ("journal's disk", Verdict.WARNING, {"disk": attrs.evolve(GOOD_DISK, kind="tmpfs")}),
        ("journal's disk", Verdict.WARNING, {"disk": attrs.evolve(GOOD_DISK, kind="nfs4")}),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    name: str, verdict: Verdict, change: dict[str, Any]
) -> None:
    """One thing at a time: the right finding says so, with advice, and an error makes the machine unhealthy."""
    facts = attrs.evolve(GOOD, **change)
    found = of(name, facts)
    assert found.verdict is verdict
    assert found.advice
    assert doctor.report(examine(facts))["healthy"] is (verdict is not Verdict.ERROR)


def test_cores_that_rest_because_nobody_asked_are_no_fault() -> None:
    """Whoever set it so knows."""
    found = of("idle cores", attrs.evolve(GOOD, resting="not asked for", cpu_latency_us=-1))
    assert (found.verdict, found.found) == (Verdict.OK, "they rest: not asked for")


def test_keys_that_are_there_are_no_error() -> None:
    """A venue with an account needs a key, and is content with one."""
    facts = attrs.evolve(GOOD, offset=Offset("binance-testnet", 3), keys=True)
    assert of("API key", facts).verdict is Verdict.OK


def test_this_machine_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts of the machine that runs this test: its packages, its disk, its clock, its memory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    facts = machine.look(Config(), Offset("sim", 0))
    assert facts.disk is not None
    assert facts.disk.folder == str(tmp_path / "aegis" / "sim")
    assert facts.disk.kind
    assert 0 < facts.disk.sync_ms <= facts.disk.sync_worst_ms
    assert {"trio", "numba"} <= {each.name for each in facts.packages if each.installed}
    assert "pytest" not in {each.name for each in facts.packages}
    assert facts.clock_read_ns > 0
    assert facts.work_us > 0
    assert facts.rested_work_us > 0
    assert facts.memfd == ""
    assert list((tmp_path / "aegis" / "sim").iterdir()) == []


def test_folder_that_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    """A journal below a file: the disk is an error that names the path, not a traceback."""
    (tmp_path / "file").touch()
    config = Config(run=RunConfig(journal=str(tmp_path / "file" / "journal.db")))
    found = of("journal's disk", machine.look(config, Offset("sim", 0)))
    assert found.verdict is Verdict.ERROR
    assert str(tmp_path / "file") in found.found


async def test_venue_that_does_not_answer_is_a_finding() -> None:
    """Nobody listens at the configured address: an error with its reason."""
    venue = VenueConfig("custom", rest_url="http://127.0.0.1:1", streams_url="ws://127.0.0.1:1")
    found = {each.name: each for each in await doctor.examine(Config(venue=venue))}
    assert found["venue's clock"].verdict is Verdict.ERROR
    assert "ConnectError" in found["venue's clock"].found
