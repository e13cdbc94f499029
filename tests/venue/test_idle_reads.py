"""Sockets that are read while the loop would sleep: what is theirs, and what stays the loop's."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, closing

import attrs
import pytest
import trio
import trio.testing

from aegis.kernel.clock import ManualClock, SystemClock
from aegis.market.records import TICK, received_us
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_symbols import SymbolTable
from aegis.venue.fastlane_transport import TcpTransport
from aegis.venue.idle_reads import IdleReads, read_while_idle
from aegis.venue.idle_table import NO_LANE, NO_ROW, SOCKETS_MAX, IdleTable
from aegis.venue.lane_stream import LaneStream

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
PATIENCE_S = 10.0
LOOKS = 10_000_000
"""Of a thread that yields in between: some seconds."""
PING = b"\x89\x04ping"


def tick(number: int) -> bytes:
    event = {"e": "aggTrade", "E": 1, "s": "BTCUSDT", "p": "58665.00", "T": 2, "m": False}
    payload = json.dumps({**event, "q": str(number)}, separators=(",", ":")).encode()
    return bytes([0x81, len(payload)]) + payload


class TurnCounter(trio.abc.Instrument):
    """How often Trio's loop took its turn."""

    turns = 0

    def after_io_wait(self, timeout: float) -> None:
        self.turns += 1


@attrs.frozen
class Line:
    """A lane's stream, the socket that sends to it, and the ring's reader behind it."""

    stream: LaneStream
    sender: socket.socket
    reader: Reader

    def quantities(self) -> list[float]:
        return self.reader.take(1 << 10)["ask_size"].tolist()  # type: ignore[no-any-return]

    async def open(self) -> None:
        self.sender.sendall(UPGRADE)
        assert await self.stream.receive_some() == UPGRADE


def open_line(
    stack: ExitStack, idle: IdleReads, *, in_python: bool = False, capacity: int = 1 << 10
) -> Line:
    """A line over loopback; a lane with another clock than the machine's is read by Python."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        sender = stack.enter_context(closing(server.accept()[0]))
    client.setblocking(False)
    ours = trio.SocketStream(trio.socket.from_stdlib_socket(client))
    stack.callback(ours.socket.close)
    ring = stack.enter_context(Ring.create(TICK, capacity))
    reader = stack.enter_context(ring.reader("test", policy=Policy.GATE))
    clock = ManualClock() if in_python else SystemClock()
    lane = Lane(ring.writer(), SymbolTable(["BTCUSDT"]), clock, lossless=True)
    return Line(LaneStream(TcpTransport(ours, idle), lane), sender, reader)


@pytest.fixture
async def stack() -> AsyncIterator[ExitStack]:
    """What a test has opened, closed in the loop as Trio wants it."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("in_python", [False, True])
async def test_ticks_are_read_without_a_turn_of_the_loop(stack: ExitStack, in_python: bool) -> None:
    """Ticks that come while everything sleeps are in the ring, and the loop has not run for them."""
    with read_while_idle() as idle:
        line = open_line(stack, idle, in_python=in_python)
        await line.open()
        counter = TurnCounter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.stream.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            trio.lowlevel.add_instrument(counter)
            # From a thread, as this task would be a turn of the loop itself.
            await trio.to_thread.run_sync(send_slowly, line, 200)
            trio.lowlevel.remove_instrument(counter)
            nursery.cancel_scope.cancel()
    assert counter.turns < 100


async def test_readers_that_sleep_are_woken_by_what_is_read(stack: ExitStack) -> None:
    """Each ring's, once all sockets have been read."""
    with read_while_idle() as idle:
        lines = [open_line(stack, idle) for _ in range(2)]
        for line in lines:
            await line.open()
            line.reader.wait_blocking(0)  # it has said now that it sleeps
        async with trio.open_nursery() as nursery:
            for line in lines:
                nursery.start_soon(line.stream.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(send_and_hear, lines)
            nursery.cancel_scope.cancel()


def send_and_hear(lines: list[Line]) -> None:
    """A tick for each; a reader that nobody rings for would sleep until its nap is over."""
    for line in lines:
        line.sender.sendall(tick(7))
    for line in lines:
        hear(line)


def hear(line: Line) -> None:
    until(lambda: line.reader.poll() > 0)
    assert select.select([line.reader.bell_fd], [], [], PATIENCE_S)[0], "nobody has rung"
    assert line.quantities() == [7]


def send_slowly(line: Line, count: int) -> None:
    """One tick after another, each when the one before is in the ring."""
    for number in range(count):
        line.sender.sendall(tick(number))
        until(lambda: line.reader.poll() > 0)
        assert line.quantities() == [number]


def until(condition: Callable[[], bool]) -> None:
    """Wait in a thread, and not in the loop, whose idle reads are what is awaited."""
    for _ in range(LOOKS):
        if condition():
            return
        os.sched_yield()
    pytest.fail("it did not come")


@pytest.mark.parametrize("in_python", [False, True])
async def test_what_is_not_the_lanes_wakes_its_task(stack: ExitStack, in_python: bool) -> None:
    """A frame for the library between ticks, and the end, come to the task in their order."""
    with read_while_idle() as idle:
        line = open_line(stack, idle, in_python=in_python)
        await line.open()
        received: list[bytes] = []

        async def read() -> None:
            async for part in line.stream:
                received.append(bytes(part))  # noqa: PERF401  # seen while it goes on

        def send(sent: bytes, is_seen: Callable[[], bool]) -> None:
            line.sender.sendall(sent)
            until(is_seen)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.to_thread.run_sync(send, tick(1), lambda: line.reader.poll() == 1)
            await trio.to_thread.run_sync(send, PING, lambda: len(received) == 1)
            mixed = tick(2) + PING + tick(3)
            await trio.to_thread.run_sync(send, mixed, lambda: len(received) == 2)
            assert line.quantities() == [1, 2, 3]
            await trio.to_thread.run_sync(line.sender.shutdown, socket.SHUT_WR)
    assert received == [PING, PING]


@pytest.mark.parametrize("in_python", [False, True])
async def test_a_broken_connection_is_told_to_its_task(stack: ExitStack, in_python: bool) -> None:
    """A reset that an idle read meets is raised where the task waits."""
    with read_while_idle() as idle:
        line = open_line(stack, idle, in_python=in_python)
        await line.open()

        async def read() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await line.stream.receive_some()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            line.sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await trio.to_thread.run_sync(line.sender.close)


async def test_a_bug_in_an_idle_read_is_raised_in_its_task(stack: ExitStack) -> None:
    """It is not swallowed as what an instrument raises would be, and the other sockets are read on."""
    seen = threading.Event()

    class Faulty:
        def read(self) -> bool:
            seen.set()
            raise ZeroDivisionError

        def attend(self, came: int) -> bool:
            raise AssertionError(came)

    ours, theirs = socket.socketpair()
    stack.callback(ours.close)
    stack.callback(theirs.close)
    with read_while_idle() as idle:
        line = open_line(stack, idle)
        await line.open()

        async def wait() -> None:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012  # several turns
                while True:
                    await idle.wait(ours.fileno(), Faulty())
                    ours.recv(1)  # the loop was first

        def send() -> None:
            while not seen.wait(0.01):
                theirs.send(b"x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(line.stream.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(send)
            await trio.to_thread.run_sync(send_slowly, line, 3)
            nursery.cancel_scope.cancel()


async def test_others_have_their_turn_however_steadily_ticks_come(stack: ExitStack) -> None:
    """While a lane is flooded, a deadline comes when it is due and another task runs when it is told to."""
    with read_while_idle() as idle:
        line = open_line(stack, idle)
        await line.open()
        told = trio.Event()

        async def take() -> None:
            while True:
                await line.reader.wait()
                line.quantities()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.stream.receive_some)
            nursery.start_soon(take)
            nursery.start_soon(trio.to_thread.run_sync, send_until_closed, line)
            with trio.fail_after(10):
                for _ in range(20):
                    await trio.sleep(0.002)
                trio.lowlevel.current_trio_token().run_sync_soon(told.set)
                await told.wait()
            line.sender.shutdown(socket.SHUT_RDWR)
            nursery.cancel_scope.cancel()


def send_until_closed(line: Line) -> None:
    number = 0
    while True:
        number += 1
        try:
            line.sender.sendall(tick(number % 1000))
        except OSError:
            return


def test_the_loop_has_its_turn_however_often_python_is_asked() -> None:
    """The time of a wait goes on while Python sees to sockets, even to one that never falls silent."""
    loop, _ = ends = socket.socketpair()
    ours, theirs = pair = socket.socketpair()
    table = IdleTable(loop.fileno())
    table.set(1, ours.fileno(), NO_LANE)
    table.rows = 2
    theirs.send(b"x")
    turns, row = 1, table.serve(timeout_ms=3_600_000)
    while row == 1 and turns < 1_000_000:
        turns, row = turns + 1, table.go_on()
    assert 1 < turns < 1_000_000
    assert (row, table.is_other) == (NO_ROW, False)
    for each in (*ends, *pair):
        each.close()


async def test_more_sockets_than_there_are_rows_are_all_read(stack: ExitStack) -> None:
    """Those beyond are read by the loop, and take a row when one is free."""
    with read_while_idle() as idle:
        lines = [open_line(stack, idle) for _ in range(SOCKETS_MAX + 3)]
        for line in lines:
            await line.open()
        async with trio.open_nursery() as nursery:
            scopes = []
            for line in lines:
                scope = trio.CancelScope()
                scopes.append(scope)

                async def read(line: Line = line, scope: trio.CancelScope = scope) -> None:
                    with scope:
                        await line.stream.receive_some()

                nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            for gone in (None, 0, 5):
                if gone is not None:
                    scopes[gone].cancel()
                    await trio.testing.wait_all_tasks_blocked()
                left = [
                    line
                    for line, scope in zip(lines, scopes, strict=True)
                    if not scope.cancel_called
                ]
                for number, line in enumerate(left):
                    line.sender.sendall(tick(number))
                for number, line in enumerate(left):
                    await line.reader.wait()
                    assert line.quantities() == [number]
            nursery.cancel_scope.cancel()


async def test_ticks_that_wait_for_room_keep_their_stamp(stack: ExitStack) -> None:
    """A full ring ends the idle read in the middle of it; the rest is of the same moment, and so is its stamp."""
    with read_while_idle() as idle:
        line = open_line(stack, idle, capacity=64)
        await line.open()
        began_us = received_us(SystemClock.monotonic_ns())
        ages: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.stream.receive_some)
            flood = b"".join(tick(number) for number in range(300))
            await trio.to_thread.run_sync(line.sender.sendall, flood)
            while len(ages) < 300:
                await line.reader.wait()
                stamps = line.reader.take(64)["recv_us"].tolist()
                ages += [(stamp - began_us) & 0xFFFF_FFFF for stamp in stamps]
            nursery.cancel_scope.cancel()
    assert max(ages) < 60_000_000


async def test_a_signal_is_seen_while_the_loop_is_held(stack: ExitStack) -> None:
    """Python's handlers run although the thread sleeps in compiled code."""
    with read_while_idle() as idle, trio.open_signal_receiver(signal.SIGUSR1) as signals:
        line = open_line(stack, idle)
        await line.open()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(line.stream.receive_some)
            nursery.start_soon(trio.to_thread.run_sync, os.kill, os.getpid(), signal.SIGUSR1)
            async for number in signals:
                assert number == signal.SIGUSR1
                break
            nursery.cancel_scope.cancel()


async def test_a_socket_that_is_closed_ends_its_wait(stack: ExitStack) -> None:
    """Closing it in one task ends the wait in another, and its number may be used again."""
    with read_while_idle() as idle:
        for _ in range(3):
            line = open_line(stack, idle)
            await line.open()

            async def read(line: Line = line) -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await line.stream.receive_some()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await trio.testing.wait_all_tasks_blocked()
                await line.stream.aclose()


async def test_idle_reads_end_with_their_block(stack: ExitStack) -> None:
    """Behind it a stream is read by the loop alone."""
    with read_while_idle() as idle:
        line = open_line(stack, idle)
        await line.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.stream.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        line.sender.sendall(tick(1))
        await line.reader.wait()
        assert line.quantities() == [1]
        nursery.cancel_scope.cancel()
