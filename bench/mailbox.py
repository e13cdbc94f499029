"""The kernel's mailboxes and what is built on them, beside their peers: `python -m bench.mailbox [--json]`.

All contestants of a metric do the same work in the same run, in turns. What they have done is counted and checked: a
wrong count ends the program with exit code 3. Lower is better, except for shares and rates. The goals that compare
two contestants are ratios of medians of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import trio

from aegis.kernel import Actor, ActorRef, Level, Priority, message, on, open_system
from aegis.kernel.cell import Cell
from aegis.kernel.pool import Pool
from aegis.kernel.replay import Replay

BURST = 64
PERIOD_NS = 2_000_000  # of the SYSTEM messages under flood
now_ns = time.perf_counter_ns


class WrongWorkError(Exception):
    """A contestant did not do what it is timed for."""


def expect(done: int, due: int) -> None:
    if done != due:
        raise WrongWorkError(f"{done} instead of {due}")


@message(Priority.INGEST)
class Tick:
    price: float


@message(Priority.EXECUTION)
class Question:
    pass


@message(Priority.EXECUTION)
class Ping:
    sender: ActorRef


@message(Priority.SYSTEM)
class Beat:
    pass


@message(Priority.EXECUTION)
class Order:
    pass


@message(Priority.ANALYSIS)
class Signal:
    pass


@message(Priority.BACKGROUND)
class Chore:
    pass


class Counter(Actor):
    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.INGEST: Level.block(4096)}

    def __init__(self) -> None:
        self.count = 0

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        self.count += 1

    @on(Question)
    async def question(self, question: Question) -> int:
        return self.count


class Player(Actor):
    """Answers each ping with its own, until the rally is over."""

    def __init__(self, rally: int, over: trio.Event) -> None:
        self.left = rally
        self.over = over

    async def started(self) -> None:
        self.mine = Ping(self.ctx.ref)

    @on(Ping)
    async def ping(self, ping: Ping) -> None:
        self.left -= 1
        if self.left:
            ping.sender.tell(self.mine)
        else:
            self.over.set()


class Flooded(Actor):
    """Works about 3 us a tick, and measures how late each beat of its SYSTEM timer is handled."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.INGEST: Level.block(4096)}

    def __init__(self, lateness_ns: list[int]) -> None:
        self.lateness_ns = lateness_ns

    async def started(self) -> None:
        self.begin_ns = self.ctx.clock.monotonic_ns()
        self.ctx.every("beat", PERIOD_NS / 1e9, Beat())

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        sum(range(150))

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        # From when it was due. A lateness beyond a period would show as a missing beat.
        self.lateness_ns.append((self.ctx.clock.monotonic_ns() - self.begin_ns) % PERIOD_NS)


class Busy(Actor):
    """Counts by type."""

    def __init__(self, counts: dict[type, int]) -> None:
        self.counts = counts

    @on(Order)
    @on(Signal)
    @on(Tick)
    @on(Chore)
    def work(self, each: object) -> None:
        self.counts[type(each)] = self.counts.get(type(each), 0) + 1


async def kernel_receive(messages: int) -> float:
    """`tell` and the pop, with nobody in between."""
    async with open_system() as system:
        cell = Cell(system, "receiver", Counter)
        tick, tell, box = Tick(1.0), cell.ref.tell, cell.mailbox
        received = 0
        begin = now_ns()
        for _ in range(messages // BURST):
            for _ in range(BURST):
                tell(tick)
            while box.mask:
                box.pop()
                received += 1
        spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def channel_receive(messages: int) -> float:
    """A memory channel, without waiting; it knows no priorities."""
    send, receive = trio.open_memory_channel[Tick](BURST)
    tick, received = Tick(1.0), 0
    begin = now_ns()
    for _ in range(messages // BURST):
        for _ in range(BURST):
            send.send_nowait(tick)
        for _ in range(BURST):
            receive.receive_nowait()
            received += 1
    spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def kernel_handle(messages: int) -> float:
    """`tell` to a running actor, with all its figures taken."""
    async with open_system() as system:
        counter = await system.spawn(Counter)
        tick, tell, box = Tick(1.0), counter.tell, counter.cell.mailbox
        begin = now_ns()
        for _ in range(messages // BURST):
            for _ in range(BURST):
                tell(tick)
            await trio.lowlevel.checkpoint()
        while box.mask:
            await trio.lowlevel.checkpoint()
        spent = now_ns() - begin
        expect(counter.stats().handled, messages)
    return spent / messages


async def priority_queue_handle(messages: int) -> float:
    """asyncio's PriorityQueue and a task that takes from it."""
    queue: asyncio.PriorityQueue[tuple[int, int, Tick]] = asyncio.PriorityQueue()
    counter = Counter()

    async def consume() -> None:
        while True:
            _, _, tick = await queue.get()
            await counter.tick(tick)

    consumer = asyncio.create_task(consume())
    tick, number = Tick(1.0), 0
    begin = now_ns()
    for _ in range(messages // BURST):
        for _ in range(BURST):
            number += 1  # keeps the order within a priority, as a mailbox does
            queue.put_nowait((3, number, tick))
        await asyncio.sleep(0)
    while not queue.empty():
        await asyncio.sleep(0)
    spent = now_ns() - begin
    consumer.cancel()
    expect(counter.count, messages)
    return spent / messages


async def channel_handle(messages: int) -> float:
    """A memory channel and a task that receives from it; it knows no priorities."""
    send, receive = trio.open_memory_channel[Tick](BURST)
    counter, tick = Counter(), Tick(1.0)

    async def consume() -> None:
        async for each in receive:
            await counter.tick(each)

    begin = now_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        for _ in range(messages):
            await send.send(tick)
        await send.aclose()
    spent = now_ns() - begin
    expect(counter.count, messages)
    return spent / messages


async def kernel_ask(messages: int) -> float:
    questions = messages // BURST
    async with open_system() as system:
        counter = await system.spawn(Counter)
        begin = now_ns()
        for _ in range(questions):
            await counter.ask(Question(), timeout=1.0)
        spent = now_ns() - begin
        expect(counter.stats().handled, questions)
    return spent / questions


async def kernel_wake(messages: int) -> float:
    """One way between two actors that wait for each other."""
    rally = messages // BURST
    over = trio.Event()
    async with open_system() as system:
        left = await system.spawn(Player, rally + 1, over, name="left")
        right = await system.spawn(Player, rally, over, name="right")
        begin = now_ns()
        right.tell(Ping(left))
        await over.wait()
        spent = now_ns() - begin
        hops = left.stats().handled + right.stats().handled
    expect(hops, 2 * rally - 1)
    return spent / hops


async def channel_wake(messages: int) -> float:
    """One way between two tasks that wait for each other on memory channels."""
    rally = messages // BURST
    there, back = trio.open_memory_channel[int](1), trio.open_memory_channel[int](1)

    async def answer() -> None:
        async for number in there[1]:
            back[0].send_nowait(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        begin = now_ns()
        for number in range(rally):
            there[0].send_nowait(number)
            expect(await back[1].receive(), number)
        spent = now_ns() - begin
        await there[0].aclose()
    return spent / rally / 2


async def kernel_system_p99(messages: int) -> float:
    """How late a SYSTEM message is handled, from when its timer was due, while INGEST is kept full."""
    lateness_ns: list[int] = []
    beats = max(100, messages // 100)
    async with open_system() as system:
        flooded = await system.spawn(Flooded, lateness_ns)
        tick = Tick(1.0)
        fill = lambda: [flooded.tell(tick) for _ in range(4096 - flooded.cell.mailbox.depths()[3])]
        while len(lateness_ns) < beats:
            fill()
            await trio.lowlevel.checkpoint()
    return sorted(lateness_ns)[int(len(lateness_ns) * 0.99)]


async def kernel_fairness(messages: int) -> float:
    """The smallest share of any lower level while EXECUTION is never empty, of what a turn in 32 makes for three."""
    counts: dict[type, int] = {}
    async with open_system() as system:
        busy = await system.spawn(Busy, counts)
        while sum(counts.values()) < messages:
            for each in (Order(), Signal(), Tick(1.0), Chore()):
                for _ in range(BURST):
                    busy.tell(each)
            await trio.lowlevel.checkpoint()
        lower = [counts.get(kind, 0) for kind in (Signal, Tick, Chore)]
    return min(lower) / (sum(counts.values()) / 32 / 3)
