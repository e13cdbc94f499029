"""Hours in minutes: `python -m bench.soak [--seconds 600] [--json]`.

Another process writes 100,000 ticks a second of 300 symbols into a ring; Brain and Janitor do what they do when they
trade, and what they propose goes to an actor that stands for the Gate. Each second the figures are taken. It holds
when no tick was lost, the memory at the end is that of the beginning, and the collector has not looked at its oldest
generation but in idle moments. Exit code 3 when it does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import attrs
import trio

from aegis.actors.brain import Brain
from aegis.actors.brain_report import BrainReport
from aegis.actors.garbage import GarbageReport
from aegis.actors.janitor import Janitor
from aegis.actors.latency import Latency
from aegis.compiled import forbid_compiling
from aegis.config import RunConfig
from aegis.cpu_latency import request_cpu_latency
from aegis.kernel import Actor, ActorRef, Level, Priority, on, open_system
from aegis.kernel.clock import SystemClock
from aegis.kernel.cores import given_cores, keep_to_the_last_core
from aegis.market.analysis import Analysis
from aegis.market.parameters import Parameters
from aegis.market.records import TICK, received_us
from aegis.messages import Report, Signal
from aegis.shm import CAPACITY, Policy, Ring
from bench.report import expect
from bench.soak_market import SYMBOLS, start_market

RATE = 100_000
NAMES = tuple(f"COIN{number}USDT" for number in range(SYMBOLS))
PARAMETERS = Parameters(interval_ms=100, pivot_bars=2)
WARM_SHARE = 0.1
"""Of the time: pages are touched for the first time, buffers grow to their size."""
FLAT_BYTES = 2 << 20
_ASK_S = 20.0
_DRAIN_S = 30.0


class Gate(Actor):
    """Stands for the Gate: judges nothing, and keeps the time that signals took to be here.

    Receives: `Signal`.
    Sends: nothing.
    Owns: the latencies.
    When it dies: the soak fails.
    """

    mailbox = {Priority.ANALYSIS: Level.latest(key=lambda signal: signal.symbol)}

    def __init__(self, latency: Latency) -> None:
        self._latency = latency

    @on(Signal)
    def take(self, signal: Signal) -> None:
        """Note how old it is."""
        now_us = received_us(SystemClock.monotonic_ns())
        self._latency.add((now_us - signal.caused_us) & 0xFFFFFFFF)


@attrs.frozen
class Sample:
    """The figures of one second."""

    rss: int
    brain: BrainReport
    garbage: GarbageReport


def rss_bytes() -> int:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """What this process has used of the cores."""
    return sum(os.times()[:2])


async def soak(seconds: float, rate: int, capacity: int) -> dict[str, Any]:
    """Run for so long; the figures, and what does not hold."""
    latency = Latency()
    analysis = Analysis(SYMBOLS, PARAMETERS)
    ticks = int(rate * seconds)
    samples: list[Sample] = []
    with (
        request_cpu_latency(RunConfig().cpu_latency_us),  # as an engine does, if it may
        keep_to_the_last_core() as keeps,
        Ring.create(TICK, capacity) as ring,
        ring.reader("brain", policy=Policy.LOSSY) as reader,
    ):
        expect(keeps or len(given_cores()) == 1, True)  # no other engine runs here
        forbid_compiling()
        async with open_system("soak") as system, trio.open_nursery() as nursery:
            gate = await system.spawn(Gate, latency, name="gate")
            brain = await system.spawn(Brain, reader, analysis, NAMES, gate, name="brain")
            janitor = await system.spawn(Janitor, name="janitor")
            async with await start_market(ring, rate, ticks) as market:
                await market.lines.read()
                began, cpu_began = trio.current_time(), cpu_seconds()
                nursery.start_soon(take_samples, brain, janitor, samples)
                await market.lines.read()
                took, cpu = trio.current_time() - began, cpu_seconds() - cpu_began
                with trio.move_on_after(_DRAIN_S):
                    while (report := await ask(brain)).counts["ticks"] + reader.lost < ticks:
                        await trio.sleep(0.05)
                end = Sample(rss_bytes(), report, await ask(janitor))
                nursery.cancel_scope.cancel()
    samples.append(end)
    return judge(samples, latency, ticks, took, cpu)


async def ask(actor: ActorRef) -> Any:
    return await actor.ask(Report(), timeout=_ASK_S)


async def take_samples(brain: ActorRef, janitor: ActorRef, samples: list[Sample]) -> None:
    while True:
        await trio.sleep(1.0)
        samples.append(Sample(rss_bytes(), await ask(brain), await ask(janitor)))


def judge(
    samples: list[Sample], latency: Latency, ticks: int, took: float, cpu: float
) -> dict[str, Any]:
    """One document: the figures, and the list of what does not hold."""
    last = samples[-1]
    warm = samples[int(len(samples) * WARM_SHARE) + 1 :] or samples
    growth = warm[-1].rss - warm[0].rss
    came = last.brain.counts["ticks"]
    faults = {
        f"{ticks - came} of {ticks} ticks did not come": came != ticks,
        f"{last.brain.ticks_lost} ticks were lost": last.brain.ticks_lost > 0,
        f"{last.brain.lost} signals found no room": last.brain.lost > 0,
        f"memory grew by {growth} bytes": growth > FLAT_BYTES,
        "the oldest generation was collected in a busy moment": last.garbage.busy[2] > 0,
        "no signal was made": last.brain.proposed == 0,
        "the step ran on the loop's thread": last.brain.step_thread == last.brain.loop_thread,
    }
    return {
        "name": "soak",
        "seconds": round(took, 1),
        "ticks": came,
        "ticks_a_second": round(came / took),
        "ticks_lost": last.brain.ticks_lost,
        "bars": last.brain.counts["bars"],
        "signals": last.brain.proposed,
        "tick_to_signal_us": attrs.asdict(latency.report()),
        "rss_bytes": {"warm": warm[0].rss, "end": warm[-1].rss, "growth": growth},
        "cores": round(cpu / took, 3),
        "garbage": attrs.asdict(last.garbage),
        "objects_a_tick": round(last.garbage.objects / max(came, 1), 5),
        "threads": {"loop": last.brain.loop_thread, "step": last.brain.step_thread},
        "faults": [fault for fault, is_so in faults.items() if is_so],
    }


def main() -> int:
    """Run it from the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--rate", type=int, default=RATE, help=f"ticks a second ({RATE})")
    parser.add_argument(
        "--capacity", type=int, default=CAPACITY, help=f"of the ring, in ticks ({CAPACITY})"
    )
    options = parser.parse_args()
    found = trio.run(soak, options.seconds, options.rate, options.capacity)
    if options.json:
        print(json.dumps(found))
    else:
        for key, value in found.items():
            print(f"{key:<20}{value}")
    return 3 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
