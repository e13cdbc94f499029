"""The ring between processes: ten million records checked one by one, and parties that die, stop and come back."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.lowlevel
from crew import Crew, is_stopped, kill
from numbered import BATCH, NUMBERED, numbered, wrong

from aegis.shm import OnDisk, Policy, Ring, Start
from aegis.shm.layout import Records, Standing
from aegis.shm.reader import Reader

pytestmark = pytest.mark.processes
TEN_MILLION = 10_000_000
KILLS = 40


@pytest.fixture
def out() -> Records:
    return np.empty(BATCH, NUMBERED)


@pytest.fixture
def ring(request: pytest.FixtureRequest) -> Iterator[Ring]:
    with Ring.create(NUMBERED, getattr(request, "param", 64)) as ring:
        yield ring


both_sizes = pytest.mark.parametrize("ring", [64, 16_384], indirect=True)


@pytest.fixture
def crew(ring: Ring) -> Iterator[Crew]:
    with Crew(ring) as crew:
        yield crew


def read_on(reader: Reader, out: Records) -> int:
    """Wait and read once; every record is checked against its place."""
    reader.wait_blocking()
    count = reader.read_into(out)
    assert wrong(out[:count], reader.position - count + 1) == 0
    return count


@pytest.mark.parametrize("policy", Policy)
def test_ten_million_records_arrive(policy: Policy, out: Records) -> None:
    """Ten million records pass from process to process: none torn, none twice, and each taken or counted as lost."""
    capacity = (
        4096 if policy is Policy.GATE else 64
    )  # so small that the lossy reader is overtaken all the time
    with (
        Ring.create(NUMBERED, capacity) as ring,
        ring.reader("r", policy=policy) as reader,
        Crew(ring) as crew,
    ):
        crew.start("write", count=TEN_MILLION, batch=1000)
        taken = 0
        while reader.position < TEN_MILLION:
            taken += read_on(reader, out)
            assert taken + reader.lost == reader.position
        assert crew.result() == {"written": TEN_MILLION}
        assert reader.finished
        assert (reader.lost == 0) is (policy is Policy.GATE)


def test_both_policies_share_a_writer(ring: Ring, crew: Crew, out: Records) -> None:
    """A gating and a lossy reader in different processes each keep their own promise."""
    with ring.reader("gate", policy=Policy.GATE) as reader:
        crew.start("read", policy="LOSSY")
        while len(ring.status().readers) < 2:
            os.sched_yield()
        crew.start("write", count=200_000, batch=100)
        while reader.position < 200_000:
            read_on(reader, out)
        assert reader.lost == 0
        results = [crew.result(), crew.result()]
        child = next(result for result in results if "taken" in result)
        assert child["wrong"] == 0
        assert child["taken"] + child["lost"] == child["moved"] == 200_000


@both_sizes
def test_killed_writer_shows_nothing_torn(ring: Ring, crew: Crew, out: Records) -> None:
    """Forty writers are killed in full flow; readers see whole records in order, and the next one goes on."""
    dice = random.Random(1)  # noqa: S311  # moments, not secrets
    with ring.reader("gate", policy=Policy.GATE) as gate, ring.reader("lossy") as lossy:
        taken = 0
        for _ in range(KILLS):
            pid = crew.start("write_until_killed", batch=dice.randrange(1, 200))
            goal = gate.position + dice.randrange(1, 5000)
            while gate.position < goal:
                read_on(gate, out)
                taken += read_on(lossy, out)
            kill(pid)
            while ring.has_writer or gate.lag:
                read_on(gate, out)
        assert gate.lost == 0
        while lossy.lag:
            taken += read_on(lossy, out)
        assert taken + lossy.lost == lossy.position


@both_sizes
def test_killed_reader_frees_the_writer(ring: Ring, crew: Crew, out: Records) -> None:
    """Forty gating readers are killed; the writer finds each dead and goes on, and others lose nothing."""
    dice = random.Random(2)  # noqa: S311
    with ring.writer() as writer, ring.reader("stays", policy=Policy.GATE) as stays:
        for _ in range(KILLS):
            pid = crew.start("read", policy="GATE")
            for _ in range(dice.randrange(1, 20)):
                deadline_ns = time.monotonic_ns() + 10_000_000_000
                while len(ring.status().readers) < 2 and time.monotonic_ns() < deadline_ns:
                    os.sched_yield()
                records = numbered(writer.position + 1, dice.randrange(1, 64))
                assert writer.write_wait(records, deadline_ns, time.monotonic_ns) == len(records)
                read_on(stays, out)
            kill(pid)
            records = numbered(writer.position + 1, 64)
            for _ in range(ring.geometry.capacity // 64 + 1):
                deadline_ns = time.monotonic_ns() + 10_000_000_000
                records = numbered(writer.position + 1, 64)
                assert writer.write_wait(records, deadline_ns, time.monotonic_ns) == 64
                read_on(stays, out)
            writer.evict_dead()
            assert [reader.name for reader in ring.status().readers] == ["stays"]
        assert stays.lost == 0


def test_stopped_writer_is_alive_but_silent(ring: Ring, crew: Crew, out: Records) -> None:
    """A writer that is stopped keeps its seat, but its heart stands still; resumed, it goes on where it was."""
    with ring.reader("r", policy=Policy.GATE) as reader:
        pid = crew.start("write_until_killed", batch=10)
        while reader.position < 1000:
            read_on(reader, out)
        os.kill(pid, signal.SIGSTOP)
        while not is_stopped(pid):
            os.sched_yield()
        while reader.lag:
            read_on(reader, out)
        before = ring.status().writer
        assert reader.wait_blocking() == 0
        assert before is not None
        assert ring.status().writer == before
        os.kill(pid, signal.SIGCONT)
        goal = reader.position + 10_000
        while reader.position < goal:
            read_on(reader, out)
        assert ring.status().writer != before
        assert reader.lost == 0


def test_stopped_reader_is_evicted_and_told(ring: Ring, crew: Crew) -> None:
    """A gating reader that stops lets the writer wait for its patience and no longer; resumed, it knows its loss."""
    with ring.writer() as writer:
        pid = crew.start("read", policy="GATE", patience_ms=20)
        while not ring.status().readers:
            os.sched_yield()
        os.kill(pid, signal.SIGSTOP)
        while not is_stopped(pid):
            os.sched_yield()
        for _ in range(3 * ring.geometry.capacity // 32):
            records = numbered(writer.position + 1, 32)
            deadline_ns = time.monotonic_ns() + 10_000_000_000
            assert writer.write_wait(records, deadline_ns, time.monotonic_ns) == 32
        assert ring.status().readers[0].standing is Standing.EVICTED
        os.kill(pid, signal.SIGCONT)
        writer.finish()
        result = crew.result()
        assert result["evicted"]
        assert result["wrong"] == 0
        assert result["lost"] > 0
        assert result["taken"] + result["lost"] == result["moved"]


def test_interrupted_writer_leaves_its_seat(ring: Ring, crew: Crew, out: Records) -> None:
    """Ctrl-C ends a writer like any other way out of its context."""
    with ring.reader("r", policy=Policy.GATE) as reader:
        pid = crew.start("write_until_killed", batch=50)
        while reader.position < 1000:
            read_on(reader, out)
        os.kill(pid, signal.SIGINT)
        while ring.has_writer or reader.lag:
            read_on(reader, out)
        with ring.writer() as successor:
            assert successor.position == reader.position


async def test_dead_writer_is_noticed(ring: Ring, crew: Crew) -> None:
    """Waiting for a writer's end returns when its process is killed."""
    pid = crew.start("write_until_killed", batch=10)
    while not ring.has_writer:
        await trio.lowlevel.checkpoint()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring.writer_gone)
        await trio.testing.wait_all_tasks_blocked()
        kill(pid)
    assert not ring.has_writer


async def test_left_writer_is_noticed(ring: Ring) -> None:
    """It returns as well when the writer leaves and its process lives on."""
    writer = ring.writer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ring.writer_gone)
        await trio.testing.wait_all_tasks_blocked()
        writer.close()
    assert not ring.has_writer


async def test_sleeping_reader_is_woken(ring: Ring, crew: Crew, out: Records) -> None:
    """A reader that sleeps in Trio is woken for each single record from another process."""
    with ring.reader("r") as reader:
        crew.start("write_slowly", count=300)
        while await reader.wait():
            count = reader.read_into(out)
            assert wrong(out[:count], reader.position - count + 1) == 0
        assert (reader.position, reader.lost) == (300, 0)


def test_ring_on_disk_survives_a_kill(tmp_path: Path, out: Records) -> None:
    """After its writer was killed, a file still holds every whole record, and the next writer goes on behind them."""
    home = OnDisk(tmp_path / "ring")
    Ring.create(NUMBERED, 1024, home=home).close()
    with Crew() as crew:
        for _ in range(5):
            with Ring.open(NUMBERED, home) as ring:
                start = ring.status().published
                pid = crew.start("write_until_killed", batch=100, path=str(home.path))
                while ring.status().published < start + 5000:
                    os.sched_yield()
                kill(pid)
                while ring.has_writer:
                    os.sched_yield()
                with ring.reader("late", start=Start.OLDEST) as late:
                    assert read_on(late, out) >= 1023  # one slot may be half written
                    assert late.position >= ring.status().published
                    assert late.lost == 0


def test_nothing_is_left_behind(out: Records) -> None:
    """After readers and writers were killed and the ring is closed: no name, no descriptor, no mapping."""
    names = set(Path("/dev/shm").iterdir())
    fds = set(Path("/proc/self/fd").iterdir())
    with Ring.create(NUMBERED, 64) as ring, ring.reader("r") as reader, Crew(ring) as crew:
        victims = [crew.start("write_until_killed", batch=10), crew.start("read", policy="LOSSY")]
        while reader.position < 1000:
            read_on(reader, out)
        for pid in victims:
            kill(pid)
    assert set(Path("/proc/self/fd").iterdir()) == fds
    assert set(Path("/dev/shm").iterdir()) == names
    assert "aegis-ring" not in Path("/proc/self/maps").read_text()
