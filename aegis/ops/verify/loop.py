"""How late the loop is while the Brain has more to do than it can, and what awaiting the step on the loop would cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import numpy as np
import trio

from aegis.actors.brain import Brain
from aegis.kernel import Actor, on, open_system
from aegis.kernel.clock import SystemClock
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK
from aegis.messages import Signal
from aegis.ops.verify.facts import Lateness, LoopShare
from aegis.ops.verify.ring import start_writer
from aegis.ops.verify.ring_writer import BAR_NS, WriterOrders
from aegis.shm import CAPACITY, Policy, Ring
from aegis.shm.reader import Reader

__all__ = ["Deaf", "measure_loop"]

_SYMBOLS: Final = tuple(f"COIN{number}USDT" for number in range(300))
_SLEEP_S: Final = 0.001
_START_S: Final = 20.0
_WARM_S: Final = 0.2


class Deaf(Actor):
    """Stands in for the Gate.

    Receives: `Signal`.
    Sends: nothing.
    Owns: nothing.
    When it dies: the measurement fails.
    """

    @on(Signal)
    def ignore(self, _: Signal) -> None:
        """Nothing is judged here."""


async def measure_loop(seconds: float = 2.0) -> LoopShare:
    """Flood the Brain for so long, then the blocking form for as long again.

    Raises:
        trio.TooSlowError: no tick came.
    """
    ours, rate = await _while_flooded(_with_brain, seconds)
    blocking, blocking_rate = await _while_flooded(_on_the_loop, seconds)
    return LoopShare(rate, ours, blocking, blocking_rate)


async def _while_flooded(
    compute: Callable[[Reader, Analysis, trio.Event], Awaitable[None]], seconds: float
) -> tuple[Lateness, float]:
    """The lateness of the loop, and the ticks a second that were computed meanwhile."""
    parameters = Parameters(interval_ms=BAR_NS // 1_000_000, pivot_bars=2, atr_period=4)
    analysis = Analysis(len(_SYMBOLS), parameters)
    async with _flood() as reader, trio.open_nursery() as nursery:
        done = trio.Event()
        nursery.start_soon(compute, reader, analysis, done)
        with trio.fail_after(_START_S):
            while not analysis.counts()["ticks"]:
                await trio.sleep(_SLEEP_S)
        await trio.sleep(_WARM_S)
        before, began_ns = analysis.counts()["ticks"], SystemClock.monotonic_ns()
        late_us = await _sample(seconds)
        ticks = analysis.counts()["ticks"] - before
        elapsed_s = (SystemClock.monotonic_ns() - began_ns) / 1e9
        done.set()
    p50, p99 = np.percentile(late_us, [50, 99])
    return Lateness(len(late_us), float(p50), float(p99), max(late_us)), ticks / elapsed_s


@asynccontextmanager
async def _flood() -> AsyncIterator[Reader]:
    with Ring.create(TICK) as ring, ring.reader("brain", policy=Policy.GATE) as reader:
        child = await start_writer(ring, WriterOrders(ring.fd, ring.wake_fds, records=0))
        try:
            yield reader
        finally:
            child.kill()
            await child.stop()


async def _with_brain(reader: Reader, analysis: Analysis, done: trio.Event) -> None:
    async with open_system("verify") as system:
        gate = await system.spawn(Deaf)
        await system.spawn(Brain, reader, analysis, _SYMBOLS, gate)
        await done.wait()


async def _on_the_loop(reader: Reader, analysis: Analysis, done: trio.Event) -> None:
    """As the seeds have it: an async function that never gives way computes all that is there."""
    batch = np.empty(CAPACITY, TICK)

    async def process(count: int) -> None:
        analysis.step(batch[:count])

    while not done.is_set():
        await reader.wait()
        await process(reader.read_into(batch))


async def _sample(seconds: float) -> list[float]:
    """Sleep a millisecond again and again; how much later than that each sleep ended, in us."""
    now_ns = SystemClock.monotonic_ns
    end_ns = now_ns() + int(seconds * 1e9)
    late_us = []
    while (began_ns := now_ns()) < end_ns:
        await trio.sleep(_SLEEP_S)
        late_us.append((now_ns() - began_ns) / 1e3 - _SLEEP_S * 1e6)
    return late_us
