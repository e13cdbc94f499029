"""The ring beside its peers, between two processes on two cores: `python -m bench.ring [--json]`.

Higher is better for M/s, lower for times. All contestants carry records of six numbers, checked one by one where they
arrive; memcpy, the bare cache line and the packet socket are what the ring is measured against: the machine's own
limits, of the same minute, because a virtual machine's cores move. pyzmq, faster-fifo and iceoryx2 take part where they
are installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench import ring_peers as peers
from bench import ring_work as work
from bench.report import Contestant, Goal, main

ONE = "one by one"
MANY = "batches of 64"
LOTS = "batches of 1024"
HOP = "compiled hop"
SPINNING = "Python to Python, spinning"
ASLEEP = "wake-up of a sleeping reader"


def contestants(scale: float) -> list[Contestant]:
    def some(count: int) -> int:
        return max(1, round(count * scale / 4096)) * 4096

    million, few = some(1_000_000), some(100_000)
    return [
        Contestant("ring", ONE, "M/s", lambda: work.ring_singles(million)),
        Contestant("seeds' struct ring", ONE, "M/s", lambda: peers.struct_ring(few)),
        Contestant("multiprocessing.Queue", ONE, "M/s", lambda: peers.mp_queue(few)),
        Contestant("multiprocessing.Pipe", ONE, "M/s", lambda: peers.mp_pipe(few)),
        Contestant("socketpair", ONE, "M/s", lambda: peers.stream_socket(few)),
        Contestant("ring", MANY, "M/s", lambda: work.ring_batches(10 * million, 64)),
        Contestant("memcpy", MANY, "M/s", lambda: work.memcpy_blocks(10 * million)),
        Contestant("ring", LOTS, "M/s", lambda: work.ring_batches(10 * million, 1024)),
        *_installed(few),
        Contestant("cache line", HOP, "ns", lambda: work.line_hop_ns(million)),
        Contestant("ring", HOP, "ns", lambda: work.ring_hop_ns(million)),
        *_late("ring", SPINNING, lambda: work.ring_lateness(few, 10_000, sleeps=False), (50, 99)),
        *_late("ring", ASLEEP, lambda: work.ring_lateness(few // 32, 300_000, sleeps=True), (50,)),
        *_late(
            "socketpair", ASLEEP, lambda: peers.packet_socket_lateness(few // 32, 300_000), (50,)
        ),
    ]


def _installed(few: int) -> Iterator[Contestant]:
    """The peers that are there; a missing one is named on stderr."""
    batched = {"faster_fifo": peers.faster_fifo_queue, "iceoryx2": peers.iceoryx}
    for name in ("zmq", *batched):
        module = peers.peer(name)
        if module is None:
            sys.stderr.write(f"ring: {name} is not installed, and skipped\n")
        elif name in batched:
            for metric, size in ((ONE, 1), (MANY, 64)):
                yield Contestant(name, metric, "M/s", partial(batched[name], module, few, size))
        else:
            yield Contestant(name, ONE, "M/s", partial(peers.zmq_ipc, module, few))


def _late(
    name: str, metric: str, run: Callable[[], work.Lateness], percents: Sequence[int]
) -> Iterator[Contestant]:
    """One contestant a percentile; the first of them does the work for all."""
    latest: list[work.Lateness] = []

    def figure(percent: int) -> float:
        if percent == percents[0]:
            latest[:] = [run()]
        return latest[0].percentile_us(percent)

    for percent in percents:
        yield Contestant(name, f"{metric}, p{percent}", "us", partial(figure, percent))


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}
    single, queue = median["ring", ONE], median["multiprocessing.Queue", ONE]
    memcpy = median["memcpy", MANY]
    return [
        Goal("single writes", single, "M/s", 6.0, 3.0),
        Goal("single writes beside multiprocessing.Queue", single / queue, "x", 30, 15),
        Goal("batches of 64 beside memcpy", median["ring", MANY] / memcpy, "x", 0.45, 0.3),
        Goal("batches of 1024 beside memcpy", median["ring", LOTS] / memcpy, "x", 0.75, 0.5),
        Goal(
            "compiled hop beside a bare cache line",
            median["ring", HOP] / median["cache line", HOP],
            "x",
            1.5,
            2.0,
        ),
        Goal("Python to Python, p50", median["ring", f"{SPINNING}, p50"], "us", 0.6, 1.2),
        Goal("Python to Python, p99", median["ring", f"{SPINNING}, p99"], "us", 1.5, 10.0),
        Goal(
            "sleeping reader beside a socketpair",
            median["ring", f"{ASLEEP}, p50"] / median["socketpair", f"{ASLEEP}, p50"],
            "x",
            1.0,
            1.5,
        ),
    ]


if __name__ == "__main__":
    sys.exit(main("ring", contestants, goals))
