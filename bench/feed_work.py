"""What the fast lane does in `bench.feed`: frames from a socket into TICK records in a ring, behind trio-websocket."""

from __future__ import annotations

import gc
import ssl
import sys
import time
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import trio
import trio_websocket

from aegis.kernel.clock import SystemClock
from aegis.market.records import TICK
from aegis.shm import Policy, Ring, Start
from aegis.shm.writer import Writer
from aegis.venue.admission import Admission, AdmissionRules
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_symbols import SymbolTable
from aegis.venue.fastlane_transport import TcpTransport, TlsTransport, Transport
from aegis.venue.idle_reads import read_while_idle
from aegis.venue.idle_table import NO_LANE
from aegis.venue.lane_stream import LaneStream
from bench.feed_server import EPOCH_US, ROUND, SYMBOLS, Address
from bench.report import expect

__all__ = ["Steady", "Taken", "stay_steady", "take_by_lane"]

_CAPACITY: Final = 16_384
_NOTHING: Final = np.zeros(0)


@attrs.frozen
class Taken:
    """One run of one contestant."""

    count: int
    elapsed_s: float
    cpu_s: float
    late_us: npt.NDArray[np.float64] = _NOTHING
    """Of each tick, from its send to when it could be read; where frames carry the time of their send."""

    @property
    def millions_a_second(self) -> float:
        """Ticks."""
        return self.count / self.elapsed_s / 1e6

    @property
    def cpu_us(self) -> float:
        """A tick."""
        return self.cpu_s / self.count * 1e6

    @property
    def core_percent(self) -> float:
        """Of one core's time."""
        return self.cpu_s / self.elapsed_s * 100

    def percentile_us(self, percent: float) -> float:
        """Of the lateness."""
        return float(np.percentile(self.late_us, percent))


@attrs.frozen
class Steady:
    """What a long run has left behind."""

    collections: int
    """Of garbage, in the middle of it."""
    blocks_a_million: float
    """Blocks of Python's memory that are in use afterwards and were not before, a million ticks."""
    growth_percent: float
    """Of the resident memory."""


class SteadyLane(Lane):
    """A lane that looks at the process after a while, and at the end."""

    def __init__(self, writer: Writer, due: int) -> None:
        admission = Admission(len(SYMBOLS), AdmissionRules(future_ms=0))
        table, clock = SymbolTable(SYMBOLS), SystemClock()
        super().__init__(writer, table, clock, lossless=False, admission=admission)
        self._watched = writer
        self._due = due
        self.looks: list[tuple[int, int, int, int]] = []

    @property
    def handle(self) -> int:
        return NO_LANE

    def receive_now(self, fd: int) -> int:
        count = super().receive_now(fd)
        self._watch()
        return count

    def take_now(self, count: int) -> None:
        super().take_now(count)
        self._watch()

    def _watch(self) -> None:
        position = self._watched.position
        if position >= (self._due if self.looks else self._due // 10) and len(self.looks) < 2:
            self._look(position)

    def _look(self, position: int) -> None:
        collections = sum(generation["collections"] for generation in gc.get_stats())
        resident = int(Path("/proc/self/statm").read_text().split()[1])
        self.looks.append((position, collections, sys.getallocatedblocks(), resident))


def stay_steady(address: Address, count: int) -> Steady:
    """Take many quotes flat out, and compare the process after a tenth of them with the process after all."""
    with Ring.create(TICK, _CAPACITY) as ring, ring.writer() as writer:
        lane = SteadyLane(writer, count)
        trio.run(_listen, address, f"/flat/bookTicker/{count}/12000", lane, False)
        expect(writer.position, count)
    (start, *before), (end, *after) = lane.looks
    return Steady(
        after[0] - before[0],
        max(0, after[1] - before[1]) / (end - start) * 1e6,
        (after[2] / before[2] - 1) * 100,
    )


class WatchedLane(Lane):
    """A lane that notes how many records were in the ring, and when: for which all of it has to be received in Python."""

    def watch(self, writer: Writer) -> None:
        self._watched = writer
        self.seen: list[tuple[int, int]] = []

    @property
    def handle(self) -> int:
        return NO_LANE

    def receive_now(self, fd: int) -> int:
        came = super().receive_now(fd)
        self._watch()
        return came

    def take_now(self, count: int) -> None:
        super().take_now(count)
        self._watch()

    def _watch(self) -> None:
        position = self._watched.position
        if position or not self.seen:
            self.seen.append((position, time.monotonic_ns()))


def take_by_lane(address: Address, path: str, count: int, *, tls: bool = False) -> Taken:
    """Take all ticks that the path sends: once to see what it costs, and if they are paced once more to see how late they are."""
    elapsed_s, cpu_s, late_us = _take(address, path, count, tls=tls, is_watched=True)
    if not path.startswith("/paced"):
        return Taken(count, elapsed_s, cpu_s)
    _, cpu_s, _ = _take(address, path, count, tls=tls, is_watched=False)
    return Taken(count, elapsed_s, cpu_s, late_us)


def _take(
    address: Address, path: str, count: int, *, tls: bool, is_watched: bool
) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Seconds, seconds of CPU, and the lateness if it was watched."""
    capacity = 1 << count.bit_length() if path.startswith("/paced") else _CAPACITY
    with Ring.create(TICK, capacity) as ring, ring.writer() as writer:
        # The times of a paced run pass a thousand times as fast as the clock.
        admission = Admission(len(SYMBOLS), AdmissionRules(future_ms=0))
        make = WatchedLane if is_watched else Lane
        lane = make(
            writer, SymbolTable(SYMBOLS), SystemClock(), lossless=False, admission=admission
        )
        if isinstance(lane, WatchedLane):
            lane.watch(writer)
        started_ns = time.monotonic_ns()
        cpu_s = trio.run(_listen, address, path, lane, tls)
        elapsed_s = (time.monotonic_ns() - started_ns) / 1e9
        expect(writer.position, count)
        with ring.reader("check", policy=Policy.LOSSY, start=Start.OLDEST) as reader:
            ticks = reader.take(capacity)
        numbers = np.arange(count - len(ticks), count)
        expect((ticks["ask_size"] == numbers % ROUND + 1).all(), True)
        expect((ticks["symbol"] == numbers % len(SYMBOLS)).all(), True)
    if not isinstance(lane, WatchedLane):
        return elapsed_s, cpu_s, _NOTHING
    position, seen_ns = np.array(lane.seen).T
    elapsed_s = float(seen_ns[-1] - seen_ns[0]) / 1e9
    late_us = _NOTHING
    if path.startswith("/paced"):
        readable_us = np.repeat(seen_ns / 1000, np.diff(position, prepend=0))
        late_us = readable_us - (ticks["event_ns"] / 1e6 - EPOCH_US)
    return elapsed_s, cpu_s, late_us


async def _listen(address: Address, path: str, lane: Lane, tls: bool) -> float:
    """Connect, and listen until the server has sent everything; returns the CPU time of it."""
    tcp = await trio.open_tcp_stream("127.0.0.1", address.encrypted if tls else address.plain)
    with read_while_idle() as idle:
        transport: Transport = TcpTransport(tcp, idle)
        if tls:
            context = ssl.create_default_context(cafile=address.certificate)
            transport = encrypted = TlsTransport(transport, context, "localhost")
            await encrypted.do_handshake()
        async with LaneStream(transport, lane) as stream, trio.open_nursery() as nursery:
            socket = await trio_websocket.wrap_client_stream(nursery, stream, "localhost", path)
            cpu = time.process_time()
            await socket.get_message()
            cpu = time.process_time() - cpu
            nursery.cancel_scope.cancel()
    return cpu
