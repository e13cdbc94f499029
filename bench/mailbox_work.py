"""The work that `bench.mailbox` times: the kernel's side and its peers', each counted and checked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import ClassVar

import trio

from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, message, on, open_system
from aegis.kernel.cell import Cell
from aegis.kernel.replay import Replay
from bench.report import expect

# Messages told in one go, which share what a turn of the loop costs; a multiple of four.
BURST = 64
FLOOD = 1024
PERIOD_NS = 2_000_000  # of the SYSTEM messages under flood
LOWER = list(Priority)[1:]
now_ns = time.perf_counter_ns


@message(Priority.EXECUTION)
class Order:
    """A message of level 1."""


@message(Priority.ANALYSIS)
class Signal:
    """A message of level 2."""


@message(Priority.INGEST)
class Tick:
    """A message of level 3."""


@message(Priority.BACKGROUND)
class Chore:
    """A message of level 4."""


@message(Priority.SYSTEM)
class Beat:
    """What the flooded actor's timer tells it."""


@message(Priority.EXECUTION)
class Ping:
    """What players tell each other."""

    sender: ActorRef


class Counter(Actor):
    """Counts what it handles."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {each: Level.block(4096) for each in LOWER}

    def __init__(self) -> None:
        self.count = 0

    @on(Order)
    @on(Signal)
    @on(Tick)
    @on(Chore)
    async def handle(self, each: object) -> int:
        """Count; the answer to an ask."""
        self.count += 1
        return self.count


class Player(Actor):
    """Answers each ping with its own, until the rally is over."""

    def __init__(self, rally: int, over: trio.Event) -> None:
        self.left = rally
        self.over = over

    async def started(self) -> None:
        """Make the one ping that it tells."""
        self.mine = Ping(self.ctx.ref)

    @on(Ping)
    async def ping(self, ping: Ping) -> None:
        """Tell it back."""
        self.left -= 1
        if self.left:
            ping.sender.tell(self.mine)
        else:
            self.over.set()


class Flooded(Actor):
    """Works some 3 us a tick, and measures how late it handles each beat."""

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.INGEST: Level.block(4096)}

    def __init__(self, lateness_ns: list[int]) -> None:
        self.lateness_ns = lateness_ns

    async def started(self) -> None:
        """Set the timer."""
        self.begin_ns = self.ctx.clock.monotonic_ns()
        self.ctx.every("beat", PERIOD_NS / 1e9, Beat())

    @on(Tick)
    async def tick(self, tick: Tick) -> None:
        """Take some time."""
        sum(range(150))

    @on(Beat)
    def beat(self, beat: Beat) -> None:
        """Count from when the beat was due."""
        self.lateness_ns.append((self.ctx.clock.monotonic_ns() - self.begin_ns) % PERIOD_NS)


class Busy(Actor):
    """Tells itself an order for each that it handles, so that EXECUTION is never empty; counts by type."""

    def __init__(self, counts: dict[type, int]) -> None:
        self.counts = counts

    @on(Order)
    @on(Signal)
    @on(Tick)
    @on(Chore)
    def work(self, each: object) -> None:
        """Count, and keep the orders coming."""
        self.counts[type(each)] = self.counts.get(type(each), 0) + 1
        if type(each) is Order:
            self.ctx.ref.tell(each)


async def kernel_receive(messages: int) -> float:
    """`tell` at four priorities and the receiver's fast path, in one task."""
    async with open_system() as system:
        cell = Cell(system, "receiver", Counter)
        tell, box = cell.ref.tell, cell.mailbox
        four = (Order(), Signal(), Tick(), Chore())
        received = 0
        begin = now_ns()
        for _ in range(messages // BURST):
            for _ in range(BURST // 4):
                for each in four:
                    tell(each)
            for _ in range(BURST):
                if not box.mask:
                    await box.wait()
                box.pop()
                received += 1
        spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def priority_queue_receive(messages: int) -> float:
    """`put_nowait` at four priorities and `get`, which has nothing to wait for, in one task."""
    queue: asyncio.PriorityQueue[tuple[int, int, object]] = asyncio.PriorityQueue(4 * 4096)
    four = ((1, Order()), (2, Signal()), (3, Tick()), (4, Chore()))
    received = number = 0
    begin = now_ns()
    for _ in range(messages // BURST):
        for _ in range(BURST // 4):
            for priority, each in four:
                number += 1
                queue.put_nowait((priority, number, each))
        for _ in range(BURST):
            await queue.get()
            received += 1
    spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def priority_queue_receive_nowait(messages: int) -> float:
    """The same by `get_nowait`."""
    queue: asyncio.PriorityQueue[tuple[int, int, object]] = asyncio.PriorityQueue(4 * 4096)
    four = ((1, Order()), (2, Signal()), (3, Tick()), (4, Chore()))
    received = number = 0
    begin = now_ns()
    for _ in range(messages // BURST):
        for _ in range(BURST // 4):
            for priority, each in four:
                number += 1
                queue.put_nowait((priority, number, each))
        for _ in range(BURST):
            queue.get_nowait()
            received += 1
    spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def kernel_carry(messages: int, burst: int) -> float:
    """`tell` at four priorities, and the pop in another task."""
    received = 0
    async with open_system() as system, trio.open_nursery() as nursery:
        cell = Cell(system, "receiver", Counter)
        tell, box = cell.ref.tell, cell.mailbox

        async def consume() -> None:
            nonlocal received
            while True:
                if not box.mask:
                    await box.wait()
                box.pop()
                received += 1

        nursery.start_soon(consume)
        four = (Order(), Signal(), Tick(), Chore())
        begin = now_ns()
        for _ in range(messages // burst):
            for _ in range(burst // 4):
                for each in four:
                    tell(each)
            await trio.lowlevel.checkpoint()
        while box.mask:
            await trio.lowlevel.checkpoint()
        spent = now_ns() - begin
        nursery.cancel_scope.cancel()
    expect(received, messages)
    return spent / messages


async def priority_queue_carry(messages: int, burst: int) -> float:
    """`put_nowait` at four priorities, and `get` in another task; a number keeps the order within a priority."""
    queue: asyncio.PriorityQueue[tuple[int, int, object]] = asyncio.PriorityQueue(4 * 4096)
    received = 0

    async def consume() -> None:
        nonlocal received
        while True:
            await queue.get()
            received += 1

    consumer = asyncio.create_task(consume())
    four = ((1, Order()), (2, Signal()), (3, Tick()), (4, Chore()))
    number = 0
    begin = now_ns()
    for _ in range(messages // burst):
        for _ in range(burst // 4):
            for priority, each in four:
                number += 1
                queue.put_nowait((priority, number, each))
        await asyncio.sleep(0)
    while not queue.empty():
        await asyncio.sleep(0)
    spent = now_ns() - begin
    consumer.cancel()
    expect(received, messages)
    return spent / messages


async def channel_carry(messages: int) -> float:
    """`send` and `receive` of a Trio memory channel, which has no priorities."""
    send, receive = trio.open_memory_channel[Tick](BURST)
    received, tick = 0, Tick()

    async def consume() -> None:
        nonlocal received
        async for _ in receive:
            received += 1

    begin = now_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(consume)
        for _ in range(messages):
            await send.send(tick)
        await send.aclose()
    spent = now_ns() - begin
    expect(received, messages)
    return spent / messages


async def kernel_handle(messages: int) -> float:
    """`tell` to a running actor, with all its figures taken."""
    async with open_system() as system:
        counter = await system.spawn(Counter)
        tick, tell, box = Tick(), counter.tell, counter.cell.mailbox
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


async def kernel_ask(questions: int) -> float:
    """`ask`, there and back."""
    async with open_system() as system:
        counter = await system.spawn(Counter)
        begin = now_ns()
        for number in range(questions):
            expect(await counter.ask(Order(), timeout=1.0), number + 1)
        spent = now_ns() - begin
    return spent / questions


async def kernel_wake(rally: int) -> float:
    """One way between two actors that wait for each other."""
    over = trio.Event()
    async with open_system() as system:
        left = await system.spawn(Player, rally + 1, over, name="left")
        right = await system.spawn(Player, rally, over, name="right")
        begin = now_ns()
        right.tell(Ping(left))
        await over.wait()
        spent = now_ns() - begin
        expect(left.stats().handled + right.stats().handled, 2 * rally - 1)
    return spent / (2 * rally - 1)


async def trio_checkpoint(turns: int) -> float:
    """One turn of the loop with one task: no task can be woken for less."""
    begin = now_ns()
    for _ in range(turns):
        await trio.lowlevel.checkpoint()
    return (now_ns() - begin) / turns


async def channel_wake(rally: int) -> float:
    """One way between two tasks that wait for each other on memory channels."""
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


async def kernel_system_p99(beats: int) -> float:
    """How late a SYSTEM message is handled, from when its timer was due, while INGEST is kept full."""
    lateness_ns: list[int] = []
    async with open_system() as system:
        flooded = await system.spawn(Flooded, lateness_ns)
        tick = Tick()
        while len(lateness_ns) < beats:
            while flooded.tell(tick) is Delivery.OK:
                pass
            await trio.lowlevel.checkpoint()
    return sorted(lateness_ns)[int(len(lateness_ns) * 0.99)]


async def kernel_fairness(messages: int) -> float:
    """The least share of a lower level while EXECUTION is never empty, of what one turn in 32 makes for three."""
    counts: dict[type, int] = {}
    async with open_system() as system:
        busy = await system.spawn(Busy, counts)
        busy.tell(Order())
        while sum(counts.values()) < messages:
            for each in (Signal(), Tick(), Chore()):
                while busy.tell(each) is Delivery.OK:
                    pass
            await trio.lowlevel.checkpoint()
    return min(counts[kind] for kind in (Signal, Tick, Chore)) / (sum(counts.values()) / 32 / 3)


def replay_handle(messages: int) -> float:
    """A message told and handled by direct calls, the clock moved for each."""
    with Replay() as replay:
        counter = replay.call(replay.spawn(Counter))
        tick = Tick()
        begin = now_ns()
        for event_ns in range(messages):
            replay.advance_to(event_ns)
            replay.feed(counter, tick)
        spent = now_ns() - begin
        expect(counter.stats().handled, messages)
    return spent / messages
