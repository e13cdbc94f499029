"""Each property broken once on purpose: the measurement sees it, and its line fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar, TypeVarTuple

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import trio

from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.errors import Unavailable
from aegis.kernel import Priority, open_system
from aegis.kernel.dispatcher import Dispatcher
from aegis.kernel.pool import Pool
from aegis.market.analysis import Analysis
from aegis.market.records import TICK
from aegis.messages import Report
from aegis.ops.verify import execution, lines
from aegis.ops.verify.endings import measure_ending
from aegis.ops.verify.facts import Load
from aegis.ops.verify.loop import Deaf
from aegis.ops.verify.objects import PooledCandle, measure_path, measure_pool
from aegis.ops.verify.priorities import Listener, measure_dispatcher, measure_mailbox
from aegis.ops.verify.ring import measure_ring
from aegis.shm import Ring
from aegis.shm.reader import Reader
from aegis.shm.segment import Named

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Reversed(Dispatcher):
    """Takes the least urgent for the most urgent."""

    async def submit(
        self, priority: Priority, function: Callable[[*Ts], Awaitable[R]], *args: *Ts
    ) -> R:
        return await super().submit(Priority(4 - priority), function, *args)


async def test_dispatcher_that_runs_lower_priorities_first_is_found() -> None:
    """The real one passes, the reversed one fails."""
    good = await measure_dispatcher(Dispatcher(workers=1))
    bad = await measure_dispatcher(Reversed(workers=1))
    assert lines.priority_order("dispatcher", good).holds
    assert not lines.priority_order("dispatcher", bad).holds


class Backwards(Listener):
    """Writes down what it handled last as if it had been first."""

    def __init__(self, ran: list[Priority], held: trio.Event, release: trio.Event) -> None:
        class Front(list[Priority]):
            def append(self, priority: Priority) -> None:
                ran.insert(0, priority)

        super().__init__(Front(), held, release)


async def test_mailbox_that_hands_out_lower_priorities_first_is_found() -> None:
    """The real order passes, the order backwards fails."""
    assert lines.priority_order("mailbox", await measure_mailbox()).holds
    assert not lines.priority_order("mailbox", await measure_mailbox(Backwards)).holds


class Bare:
    """A ring's reader without what the Brain's thread needs: the Brain then steps where it is, on the loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @property
    def lost(self) -> int:
        return self._reader.lost

    async def wait(self) -> object:
        return await self._reader.wait()

    def read_into(self, out: npt.NDArray[np.void]) -> int:
        return self._reader.read_into(out)


@pytest.mark.parametrize("bare", [False, True])
async def test_structure_on_the_loop_is_found(good_load: Load, bare: bool) -> None:
    """The Brain's own thread passes; a Brain that steps on the loop fails."""
    with Ring.create(TICK) as ring, ring.writer() as writer:
        reader = ring.reader("brain")
        async with open_system("threads") as system:
            gate = await system.spawn(Deaf)
            brain = await system.spawn(
                Brain, Bare(reader) if bare else reader, Analysis(1), ("BTCUSDT",), gate
            )
            writer.write_batch(np.zeros(1, TICK))
            with trio.fail_after(30):
                report: BrainReport = await brain.ask(Report(), timeout=5)
                while not report.counts["ticks"] or not report.step_thread:
                    await trio.lowlevel.checkpoint()
                    report = await brain.ask(Report(), timeout=5)
    load = attrs.evolve(
        good_load, loop_thread=report.loop_thread, structure_thread=report.step_thread
    )
    assert lines.structure_thread(load).holds is not bare


def test_allocation_per_tick_is_found() -> None:
    """The compiled step passes; one object a tick beside it fails."""
    kept: list[object] = []

    def step(ticks: npt.NDArray[np.void]) -> None:
        kept[:] = [object() for _ in ticks]

    assert lines.path_allocations(measure_path()).holds
    assert not lines.path_allocations(measure_path(step)).holds


class Leaky(Pool[PooledCandle]):
    """Loses an object that it is given back while nearly all are there."""

    def release(self, item: PooledCandle) -> None:
        if len(self._free) < self._size - 1:
            super().release(item)


def test_pool_that_leaks_is_found() -> None:
    """A pool that keeps everything gets all of it back; one that loses an object grows, or refuses, and fails."""
    good = measure_pool(PooledCandle, Pool(PooledCandle, size=2_000))
    bad = measure_pool(PooledCandle, Leaky(PooledCandle, size=2_000, grow_by=10))
    assert (good.lent, good.free_after, good.grown) == (2_000, 2_000, 0)
    assert not lines.pools("candles", bad).holds
    with pytest.raises(Unavailable):
        measure_pool(PooledCandle, Leaky(PooledCandle, size=2_000))


@pytest.mark.processes
async def test_ring_that_loses_records_is_found() -> None:
    """A ring too small for its writer loses records, counts them, and fails."""
    lossy = await measure_ring(capacity=2, gap_ns=0, records=20_000)
    assert lossy.lost > 0
    assert lossy.received + lossy.lost == lossy.sent
    assert not lines.ring_hop(lossy).holds


@pytest.mark.processes
async def test_ring_that_keeps_every_record_is_measured() -> None:
    """With room for all there is no loss, and every record came in order from another process."""
    hop = await measure_ring(records=5_000)
    assert (hop.received, hop.lost, hop.in_order) == (5_000, 0, True)
    assert hop.p50_us > 0


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.processes
async def test_leaked_segment_is_found(undo: ExitStack) -> None:
    """A killed run leaves nothing; a segment that stays behind it fails the line."""
    home = Named("verify-leak")

    def leave() -> None:
        undo.callback(home.path.unlink)
        undo.enter_context(Ring.create(TICK, home=home))

    left = await measure_ending("SIGKILL of main", leave)
    assert (left.processes, left.segments, left.ended) == (0, 1, True)
    assert not lines.ending(left).holds


async def test_part_that_cannot_be_measured_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong while measuring is a line that does not hold, and the rest goes on."""

    async def away(_seconds: float) -> list[lines.Line]:
        raise Unavailable("the writer ended")

    monkeypatch.setitem(execution.PARTS, "ring", away)
    told: list[lines.Line] = []
    found = await execution.verify(("ring", "priorities"), 1.0, told.append)
    assert found == told
    assert [line.holds for line in found] == [False, True, True]
    document = execution.report(found)
    assert document["verified"] is False
    assert document["lines"][0]["figure"] == "not measured: the writer ended"
    assert execution.report(found[1:])["verified"] is True
    assert execution.report([])["verified"] is False
