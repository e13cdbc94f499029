"""The kernel's mailboxes and what is built on them, beside their peers: `python -m bench.mailbox [--json]`.

Lower is better for all times. "tell and receive" is both ends in one task, 64 messages of four priorities at a time,
where asyncio's `get` never waits; "carry" brings them from one task to another, so many told in one go. The goals that
compare the kernel with asyncio are ratios of medians of one run. A `PriorityQueue` is a heap: the more wait in it, the
more each costs.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import trio

from bench import mailbox_work as work
from bench import pool_work
from bench.report import Contestant, Goal, main


def contestants(scale: float) -> list[Contestant]:
    messages = max(1, round(64 * scale)) * work.FLOOD
    few = max(100, round(2000 * scale))

    def trio_run(function: Callable[..., Awaitable[float]], *args: int) -> Callable[[], float]:
        return lambda: trio.run(function, *args)

    def asyncio_run(
        function: Callable[..., Coroutine[Any, Any, float]], *args: int
    ) -> Callable[[], float]:
        return lambda: asyncio.run(function(*args))

    def carry(burst: int) -> list[Contestant]:
        metric = f"carry, {burst} at a time"
        peer = asyncio_run(work.priority_queue_carry, messages, burst)
        return [
            Contestant("kernel", metric, "ns", trio_run(work.kernel_carry, messages, burst)),
            Contestant("asyncio.PriorityQueue", metric, "ns", peer),
        ]

    return [
        Contestant("kernel", "tell and receive", "ns", trio_run(work.kernel_receive, messages)),
        *(
            Contestant(name, "tell and receive", "ns", asyncio_run(receive, messages))
            for name, receive in (
                ("asyncio.PriorityQueue", work.priority_queue_receive),
                ("its get_nowait", work.priority_queue_receive_nowait),
            )
        ),
        *carry(work.BURST),
        *carry(work.FLOOD),
        Contestant("trio channel", "carry", "ns", trio_run(work.channel_carry, messages)),
        Contestant("kernel", "tell and handle", "ns", trio_run(work.kernel_handle, messages)),
        Contestant("replay", "tell and handle", "ns", lambda: work.replay_handle(messages)),
        Contestant("kernel", "wake-up", "ns", trio_run(work.kernel_wake, few)),
        Contestant("trio channel", "wake-up", "ns", trio_run(work.channel_wake, few)),
        Contestant("trio checkpoint", "wake-up", "ns", trio_run(work.trio_checkpoint, 4 * few)),
        Contestant("kernel", "ask", "ns", trio_run(work.kernel_ask, few)),
        Contestant("kernel", "SYSTEM p99", "ns", trio_run(work.kernel_system_p99, few // 4)),
        Contestant("kernel", "least share", "1", trio_run(work.kernel_fairness, messages)),
        Contestant("pool", "candle", "ns", lambda: pool_work.pooled_candles(messages)),
        Contestant("fresh object", "candle", "ns", lambda: pool_work.fresh_candles(messages)),
        Contestant("array record", "candle", "ns", lambda: pool_work.array_candles(messages)),
    ]


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}
    kernel = {metric: figure for (name, metric), figure in median.items() if name == "kernel"}
    beside_asyncio = [
        Goal(
            f"{metric}: throughput beside asyncio.PriorityQueue",
            median["asyncio.PriorityQueue", metric] / kernel[metric],
            "x",
            goal=2.0,
            floor=1.3,
        )
        for metric in kernel
        if metric.startswith("carry") or metric == "tell and receive"
    ]
    rate = 1e3 / median["replay", "tell and handle"]
    return [
        *beside_asyncio,
        Goal("tell and receive", kernel["tell and receive"], "ns", 500, 1000),
        Goal("tell and handle", kernel["tell and handle"], "ns", 1300, 2600),
        Goal("wake-up of a waiting actor, one way", kernel["wake-up"], "ns", 6000, 12_000),
        Goal(
            "wake-up of a waiting actor, in Trio checkpoints",
            kernel["wake-up"] / median["trio checkpoint", "wake-up"],
            "x",
            goal=1.75,
            floor=3.0,
        ),
        Goal("SYSTEM p99 from due to handled, INGEST full", kernel["SYSTEM p99"], "ns", 5e5, 1e6),
        Goal("least share of a lower level, EXECUTION full", kernel["least share"], "1", 0.5, 0.1),
        Goal("replay, millions of messages a second", rate, "1/us", 1.0, 0.5),
    ]


if __name__ == "__main__":
    sys.exit(main("mailbox", contestants, goals))
