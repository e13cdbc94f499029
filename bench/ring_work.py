"""The work that `bench.ring` times: two processes on two cores, and every record checked where it arrives."""

from __future__ import annotations

import mmap
import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import numba
import numpy as np
from numba import types

from aegis.compiled import compiled, entry_point
from aegis.market.records import TICK
from aegis.shm import BLOCK, SPIN, Policy, Ring
from aegis.shm.atomics import load_acquire, pause, store_release
from aegis.shm.layout import Records
from aegis.shm.reader import Reader
from aegis.shm.reading import spin, walk
from aegis.shm.writing import put
from bench.report import expect

now_ns = time.perf_counter_ns
_CORES: Final = sorted(os.sched_getaffinity(0))


Sending = Iterator[None]
"""What a child does: everything up to its first `yield` is preparation."""


def between(send: Callable[[], Sending], receive: Callable[[], float]) -> float:
    """Run both at once, in a child on one core and here on another; return what `receive` returns."""
    ready, go = os.eventfd(0), os.eventfd(0)
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, _CORES[:1])
        try:
            sending = send()
            next(sending)
            os.eventfd_write(ready, 1)
            os.eventfd_read(go)
            next(sending, None)
        finally:
            os._exit(0)
    os.sched_setaffinity(0, _CORES[-1:])
    os.eventfd_read(ready)
    os.eventfd_write(go, 1)
    try:
        return receive()
    finally:
        os.waitpid(pid, 0)
        os.sched_setaffinity(0, _CORES)
        os.close(ready)
        os.close(go)


def per_second(count: int, receive: Callable[[], int]) -> float:
    """Millions of records a second, for `receive` that must return their count."""
    began = now_ns()
    expect(receive(), count)
    return count * 1e3 / (now_ns() - began)


def numbered(count: int) -> Records:
    """Records with their numbers."""
    ticks = np.zeros(count, TICK)
    ticks["event_ns"] = np.arange(count)
    ticks["bid"] = 0.5
    return ticks


_TICKS: Final = types.Array(numba.from_dtype(TICK), 1, "A", readonly=True)


@entry_point
@compiled(types.int64(_TICKS, types.int64, types.int64))
def in_order(ticks: Any, first: int, numbers: int) -> int:
    """How many of these are the records numbered `first` and on, modulo `numbers`.

    Batches are numbered modulo their size, so that one array serves for all.
    """
    right = 0
    for index in range(len(ticks)):
        tick = ticks[index]
        sizes = tick.bid_size + tick.ask_size
        right += (
            (tick.event_ns == (first + index) % numbers)
            & (tick.recv_us == 0)
            & (tick.bid == 0.5)
            & (tick.ask == 0.0)
            & (sizes == 0.0)
        )
    return right


# ---- how many a second


def ring_singles(count: int) -> float:
    """One Python call a record; read in place, all that is there at once."""
    with Ring.create(TICK) as ring, ring.reader("r", policy=Policy.GATE, waiting=SPIN) as reader:

        def send() -> Sending:
            with ring.writer() as writer:
                write = writer.write
                yield
                for number in range(count):
                    while not write(number, 0, 0.5, 0.0, 0.0, 0.0):
                        pass

        return between(send, lambda: per_second(count, lambda: _look(reader, count, count)))


def ring_batches(count: int, size: int) -> float:
    """One call a batch of `size`; read in place."""
    with Ring.create(TICK) as ring, ring.reader("r", policy=Policy.GATE, waiting=SPIN) as reader:

        def send() -> Sending:
            batch = numbered(size)
            with ring.writer() as writer:
                write_batch = writer.write_batch
                yield
                for _ in range(count // size):
                    written = write_batch(batch)
                    while written < size:
                        written += write_batch(batch[written:])

        return between(send, lambda: per_second(count, lambda: _look(reader, count, size)))


def _look(reader: Reader, count: int, numbers: int) -> int:
    """Take all that is there, some 2 us apart: two cores that want the same line at once halve each other's pace."""
    right = done = 0
    while done < count:
        breathe(80)
        if reader.wait_blocking():
            view = reader.view()
            right += in_order(view, done, numbers)
            done += reader.advance(len(view))
    return right


def memcpy_blocks(count: int) -> float:
    """The machine's limit: blocks of 48 KiB, copied whole into a shared megabyte, and a cursor each way."""
    block, blocks = 1024, 16
    size = block * TICK.itemsize
    memory = mmap.mmap(-1, 4096 + blocks * size)
    cursors = np.frombuffer(memory, np.int64, 512)
    written_at, read_at = int(cursors.ctypes.data), int(cursors.ctypes.data) + 256
    rooms = [np.frombuffer(memory, TICK, block, 4096 + at * size) for at in range(blocks)]
    rounds = count // block

    def send() -> Sending:
        supply = numbered(block).view(np.uint8)  # bytes: one memcpy, not a copy field by field
        targets = [room.view(np.uint8) for room in rooms]
        yield
        for index in range(rounds):
            await_word(read_at, index - blocks + 1)
            targets[index % blocks][:] = supply
            set_word(written_at, index + 1)

    def receive() -> int:
        right = 0
        for index in range(rounds):
            await_word(written_at, index + 1)
            right += in_order(rooms[index % blocks], 0, block)
            set_word(read_at, index + 1)
        return right

    return between(send, lambda: per_second(rounds * block, receive))


@entry_point
@compiled("void(int64, int64)", nogil=True)
def await_word(address: int, word: int) -> None:
    """Spin until a shared word has come so far."""
    while load_acquire(address) < word:
        pause()


@entry_point
@compiled("void(int64, int64)")
def set_word(address: int, word: int) -> None:
    """Store a shared word."""
    store_release(address, word)


@entry_point
@compiled("void(int64)", nogil=True)
def breathe(pauses: int) -> None:
    """Do nothing, and touch nothing, for some 25 ns each."""
    for _ in range(pauses):
        pause()


# ---- how long a hop takes


@entry_point
@compiled("int64(int64, int64, int64, int64)", nogil=True)
def volley_words(mine: int, theirs: int, count: int, serve: int) -> int:
    """Bounce a bare word to and fro; `serve` is 1 for the side that begins."""
    for number in range(1, count + 1):
        if serve:
            store_release(mine, number)
        while load_acquire(theirs) < number:
            pause()
        if not serve:
            store_release(mine, number)
    return count


@entry_point
@compiled("int64(int64, int64, int64, int64, int64)", nogil=True)
def volley_records(writer: int, reader: int, scratch: int, count: int, serve: int) -> int:
    """Bounce a record of six words to and fro through two rings; return how many came back right."""
    right = 0
    for number in range(1, count + 1):
        if serve:
            put(writer, (number, number, 0.5, 0.5, 0.5, 0.5))
        while walk(reader, scratch, 1) == 0:
            spin(reader, 1000)
        right += load_acquire(scratch) == number
        if not serve:
            put(writer, (number, number, 0.5, 0.5, 0.5, 0.5))
    return right


def line_hop_ns(count: int) -> float:
    """Half a round trip of a cache line that holds one word."""
    memory = mmap.mmap(-1, 4096)
    words = np.frombuffer(memory, np.int64)
    ping, pong = int(words.ctypes.data), int(words.ctypes.data) + 1024

    def answer() -> Sending:
        yield
        expect(volley_words(pong, ping, count, 0), count)

    return between(answer, lambda: _half_trip(lambda: volley_words(ping, pong, count, 1), count))


def ring_hop_ns(count: int) -> float:
    """Half a round trip of a record through two rings, all compiled."""
    scratch = np.zeros(1, TICK)
    at = int(scratch.ctypes.data)
    with (
        Ring.create(TICK) as ping,
        Ring.create(TICK) as pong,
        ping.reader("r") as here,
        pong.reader("r") as there,
    ):

        def answer() -> Sending:
            with ping.writer() as writer:
                yield
                expect(volley_records(writer.handle, there.handle, at, count, 0), count)

        def serve() -> float:
            with pong.writer() as writer:
                return _half_trip(
                    lambda: volley_records(writer.handle, here.handle, at, count, 1), count
                )

        return between(answer, serve)


def _half_trip(volley: Callable[[], int], count: int) -> float:
    began = now_ns()
    expect(volley(), count)
    return (now_ns() - began) / count / 2


# ---- how late a record is, from Python to Python


class Lateness:
    """Times of arrival less times of sending, and which of them nobody disturbed.

    A window of 64 records counts where neither process lost its core in it or in the one before.
    """

    WINDOW: Final = 64

    def __init__(self, count: int) -> None:
        self._late_ns: Final = np.zeros(count, np.int64)
        self._losses: Final = np.zeros((count, 2), np.int64)
        self._done = 0

    def note(self, late_ns: int, their_losses: int) -> None:
        """One record has arrived."""
        self._late_ns[self._done] = late_ns
        if self._done % self.WINDOW == 0:
            self._losses[self._done // self.WINDOW] = (core_losses(), their_losses)
        self._done += 1

    @property
    def due(self) -> int:
        """How many records have yet to come."""
        return len(self._late_ns) - self._done

    def percentile_us(self, percent: float) -> float:
        """A percentile over the undisturbed windows, in us; over all where none was."""
        expect(self.due, 0)
        windows = self._late_ns.reshape(-1, self.WINDOW)
        losses = self._losses[: len(windows)]
        # Each is taken where a window begins: what it has lost is seen where the next one does.
        lost = (losses[1:] != losses[:-1]).any(axis=1)
        calm = np.zeros(len(windows), bool)
        calm[1:-1] = ~lost[1:] & ~lost[:-1]
        times = windows[calm] if calm.any() else windows
        return float(np.percentile(times, percent)) / 1e3


def core_losses() -> int:
    """How often this process has lost its core to another."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def ring_lateness(count: int, gap_ns: int, *, sleeps: bool) -> Lateness:
    """Records sent one by one, `gap_ns` apart, to a reader that sleeps or spins."""
    late = Lateness(count)
    with Ring.create(TICK) as ring, ring.reader("r", waiting=BLOCK) as reader:

        def send() -> Sending:
            with ring.writer() as writer:
                write = writer.write
                yield
                for losses in paced(count, gap_ns):
                    write(now_ns(), losses, 0.5, 0.0, 0.0, 0.0)

        def receive() -> float:
            out = np.zeros(64, TICK)
            words = out.view(np.uint64).reshape(-1, 6)
            read_into = reader.read_into
            while late.due:
                if sleeps:
                    reader.wait_blocking()
                while not (taken := read_into(out)):
                    pass
                arrived_ns = now_ns()
                for sent_ns, losses in words[:taken, :2].tolist():
                    late.note(arrived_ns - sent_ns, losses)
            return reader.lost

        expect(between(send, receive), 0)
    return late


def paced(count: int, gap_ns: int) -> Any:
    """Yield `count` times, `gap_ns` apart by spinning; the value is how often this process has lost its core."""
    losses = core_losses()
    due_ns = now_ns() + 1_000_000
    for index in range(count):
        if index % Lateness.WINDOW == 0:
            losses = core_losses()
        while now_ns() < due_ns:
            pass
        yield losses
        due_ns = max(due_ns, now_ns() - 10 * gap_ns) + gap_ns
