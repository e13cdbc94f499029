"""The kernel's mailboxes and what is built on them, beside their peers: `python -m bench.mailbox [--json]`.

Lower is better for all times. "carry" brings messages of four priorities from one task to another, 256 in one go; the
goal that compares the kernel with asyncio is the ratio of the two medians of this run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import trio

from bench import mailbox_work as work
from bench.report import Contestant, Goal, main


def contestants(scale: float) -> list[Contestant]:
    messages = max(1, round(250 * scale)) * work.BURST
    few = max(100, round(2000 * scale))

    def on_trio(function: Callable[[int], Awaitable[float]], count: int) -> Callable[[], float]:
        return lambda: trio.run(function, count)

    def on_asyncio() -> float:
        return asyncio.run(work.priority_queue_carry(messages))

    return [
        Contestant("kernel", "tell and receive", "ns", on_trio(work.kernel_receive, messages)),
        Contestant("kernel", "carry", "ns", on_trio(work.kernel_carry, messages)),
        Contestant("asyncio.PriorityQueue", "carry", "ns", on_asyncio),
        Contestant("trio channel", "carry", "ns", on_trio(work.channel_carry, messages)),
        Contestant("kernel", "tell and handle", "ns", on_trio(work.kernel_handle, messages)),
        Contestant("replay", "tell and handle", "ns", lambda: work.replay_handle(messages)),
        Contestant("kernel", "wake-up", "ns", on_trio(work.kernel_wake, few)),
        Contestant("trio channel", "wake-up", "ns", on_trio(work.channel_wake, few)),
        Contestant("kernel", "ask", "ns", on_trio(work.kernel_ask, few)),
        Contestant("kernel", "SYSTEM p99", "ns", on_trio(work.kernel_system_p99, few // 4)),
        Contestant("kernel", "least share", "1", on_trio(work.kernel_fairness, messages)),
        Contestant("pool", "candle", "ns", lambda: work.pooled_candles(messages)),
        Contestant("fresh object", "candle", "ns", lambda: work.fresh_candles(messages)),
        Contestant("array record", "candle", "ns", lambda: work.array_candles(messages)),
    ]


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}
    kernel = {metric: figure for (name, metric), figure in median.items() if name == "kernel"}
    ratio = median["asyncio.PriorityQueue", "carry"] / kernel["carry"]
    rate = 1e3 / median["replay", "tell and handle"]
    return [
        Goal("carry, throughput beside asyncio.PriorityQueue", ratio, "x", 2.0, 1.5),
        Goal("tell and receive", kernel["tell and receive"], "ns", 500, 1000),
        Goal("tell and handle", kernel["tell and handle"], "ns", 1300, 2600),
        Goal("wake-up of a waiting actor, one way", kernel["wake-up"], "ns", 6000, 12_000),
        Goal("SYSTEM p99 from due to handled, INGEST full", kernel["SYSTEM p99"], "ns", 5e5, 1e6),
        Goal("least share of a lower level, EXECUTION full", kernel["least share"], "1", 0.5, 0.1),
        Goal("replay, millions of messages a second", rate, "1/us", 1.0, 0.5),
    ]


if __name__ == "__main__":
    sys.exit(main("mailbox", contestants, goals))
