"""The Brain on its thread, for `bench.brain`: how late the loop is beside it, how soon a signal is there, how soon it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import attrs
import numpy as np
import trio

from aegis.actors.brain import Brain
from aegis.actors.janitor import Janitor
from aegis.actors.latency import Latency
from aegis.config import RunConfig
from aegis.cpu_latency import request_cpu_latency
from aegis.kernel import ActorRef, open_system
from aegis.kernel.cores import given_cores, keep_to_the_last_core
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK
from aegis.messages import Report
from aegis.shm import Policy, Ring
from bench.report import Contestant, Goal, expect
from bench.soak import Gate
from bench.soak_market import SYMBOLS, start_market

RATE = 100_000
TICK_S = 0.001
NAMES = tuple(f"COIN{number}USDT" for number in range(SYMBOLS))
PARAMETERS = Parameters(interval_ms=100, pivot_bars=2)
WARM_S = 0.3
ASKED_US = RunConfig().cpu_latency_us
TICKER, END = "1 ms ticker, late", "cancel to the thread's end"
SIGNAL, HANDLED = "tick to signal", "tick to signal's handler"
IDLE, SATURATED, LIVE, ASLEEP = "beside an idle Brain", "beside a busy Brain", "Brain", "asleep"
RESTING = "Brain, idle cores at rest"


@attrs.frozen
class Live:
    """A Brain at work."""

    brain: ActorRef
    analysis: Analysis
    latency: Latency


@asynccontextmanager
async def open_brain(rate: int | None, cpu_latency_us: int = ASKED_US) -> AsyncIterator[Live]:
    """A Brain whose market brings `rate` ticks a second, 0 for more than it can, None for none."""
    latency = Latency()
    analysis = Analysis(SYMBOLS, PARAMETERS)
    policy = Policy.LOSSY if rate else Policy.GATE
    with (
        request_cpu_latency(cpu_latency_us),  # as an engine does, if it may
        keep_to_the_last_core() as keeps,
        Ring.create(TICK) as ring,
        ring.reader("brain", policy=policy) as reader,
    ):
        expect(keeps or len(given_cores()) == 1, True)  # no other engine runs here
        market = None if rate is None else await start_market(ring, rate, 0)
        try:
            async with open_system("live") as system:
                gate = await system.spawn(Gate, latency, name="gate")
                await system.spawn(Janitor, name="janitor")
                brain = await system.spawn(Brain, reader, analysis, NAMES, gate, name="brain")
                if market is not None:
                    await market.lines.read()
                    while not analysis.counts()["ticks"]:
                        await trio.sleep(TICK_S)
                await trio.sleep(WARM_S)
                yield Live(brain, analysis, latency)
        finally:
            if market is not None:
                market.kill()
                await market.stop()


async def ticker(seconds: float, rate: int | None) -> tuple[float, float]:
    """Sleep a millisecond again and again: by how much later than that each sleep ended, p50 and p99 in us."""
    late_us = []
    async with open_brain(rate) as live:
        before, end = live.analysis.counts()["ticks"], time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            await trio.sleep(TICK_S)
            late_us.append((time.perf_counter() - began - TICK_S) * 1e6)
        expect(live.analysis.counts()["ticks"] > before, rate is not None)
    return float(np.percentile(late_us, 50)), float(np.percentile(late_us, 99))


async def signals(seconds: float, cpu_latency_us: int = ASKED_US) -> tuple[float, ...]:
    """From the writing of a tick in another process to the signal in the Gate's mailbox, and to its handler.

    Returns:
        p50 and p99 of each, in us.
    """
    async with open_brain(RATE, cpu_latency_us) as live:
        await trio.sleep(seconds)
        report = await live.brain.ask(Report(), timeout=10)
        expect((report.ticks_lost, report.lost, report.proposed > 0), (0, 0, True))
    ends = (report.tick_to_signal_us, live.latency.report())
    return tuple(float(figure) for end in ends for figure in (end.p50, end.p99))


async def end(rate: int | None) -> float:
    """From the stop of the Brain to its end, in ms: its thread is not at work any more."""
    async with open_brain(rate) as live:
        began = time.perf_counter()
        await live.brain.stop("measured")
        return (time.perf_counter() - began) * 1e3


def contestants(scale: float) -> list[Contestant]:
    """The figures that take a Brain at work; what has one name is of one run."""
    seconds = max(1.0, 4.0 * scale)
    measured: list[tuple[str, tuple[str, ...], Callable[[], tuple[float, ...]]]] = [
        (IDLE, (TICKER,), partial(trio.run, ticker, seconds, None)),
        (SATURATED, (TICKER,), partial(trio.run, ticker, seconds, 0)),
        (LIVE, (SIGNAL, HANDLED), partial(trio.run, signals, seconds)),
        (RESTING, (SIGNAL, HANDLED), partial(trio.run, signals, seconds, -1)),
    ]
    everybody = []
    for name, metrics, measure in measured:
        everybody += _of_one_run(name, metrics, measure)
    for name, rate in ((ASLEEP, None), (SATURATED, 0)):
        everybody.append(Contestant(name, END, "ms", partial(trio.run, end, rate)))
    return everybody


def _of_one_run(
    name: str, metrics: Sequence[str], measure: Callable[[], tuple[float, ...]]
) -> list[Contestant]:
    """p50 and p99 of each metric: the first of them runs, the others are of its run."""
    latest: list[float] = []

    def first() -> float:
        latest[:] = measure()
        return latest[0]

    def other(index: int) -> Callable[[], float]:
        return lambda: latest[index]

    names = [f"{metric}, {which}" for metric in metrics for which in ("p50", "p99")]
    runs = [first, *map(other, range(1, len(names)))]
    return [Contestant(name, each, "us", run) for each, run in zip(names, runs, strict=True)]


def goals(median: dict[tuple[str, str], float], worst_end_ms: float) -> list[Goal]:
    """What is promised of them."""
    found = [
        Goal(
            f"{TICKER}, {which}: beside a busy Brain against an idle one",
            median[SATURATED, f"{TICKER}, {which}"] / median[IDLE, f"{TICKER}, {which}"],
            "x",
            1.2,
            floor,
        )
        for which, floor in (("p50", 1.5), ("p99", 3.0))
    ]
    return [
        *found,
        *(
            Goal(f"{SIGNAL}, {which}", median[LIVE, f"{SIGNAL}, {which}"], "us", goal, 2 * goal)
            for which, goal in (("p50", 200), ("p99", 1000))
        ),
        Goal("cancel to the thread's end, worst", worst_end_ms, "ms", 50, 100),
    ]
