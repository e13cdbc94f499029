"""A process that writes into a ring what it is told to: `python -m aegis.ops.verify.ring_writer`.

The smallest use of `aegis.shm` by two processes there is: attach to inherited descriptors, become the writer, write.
"""

from __future__ import annotations

import resource
import sys
from typing import Final

import msgspec
import numpy as np

from aegis.kernel.clock import SystemClock
from aegis.kernel.process import die_with_parent
from aegis.market.records import TICK, TickKind, tick_word
from aegis.shm import Ring
from aegis.shm.writer import Writer

__all__ = ["BAR_NS", "WINDOW", "WriterOrders", "core_losses"]

BAR_NS: Final = 100_000_000
WINDOW: Final = 50
"""Records between two looks at `core_losses`."""
_SYMBOLS: Final = 300
_BATCH: Final = 3_000
_SWING: Final = np.array([0, 1, 2, 1, 0, -1, -2, -1]) * 0.01
"""Swings that never break each other: structure has work with each bar, and proposes nothing."""


class WriterOrders(msgspec.Struct, frozen=True):
    """What to write, and into what."""

    ring_fd: int
    wake_fds: tuple[int, ...]
    records: int
    """So many, one by one; 0: batches without end, as fast as the readers let them in."""
    gap_ns: int = 0


def core_losses() -> int:
    """How often this process has lost its core to another."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def write_one_by_one(writer: Writer, records: int, gap_ns: int) -> None:
    """Write records with the time of their writing and our `core_losses`, so far apart, by spinning."""
    write, now_ns = writer.write, SystemClock.monotonic_ns
    word = tick_word(0, TickKind.QUOTE, 0)
    due_ns, losses = now_ns(), 0
    for number in range(records):
        if number % WINDOW == 0:
            losses = core_losses()
        due_ns = max(due_ns + gap_ns, now_ns() - 10 * gap_ns)
        while now_ns() < due_ns:
            pass
        write(now_ns(), word, number, number, losses, 1.0)


def flood(writer: Writer) -> None:
    """Write trades of 300 symbols for ever, each of which closes its symbol's bar."""
    ticks = np.zeros(_BATCH, TICK)
    rounds = np.arange(_BATCH) // _SYMBOLS
    ticks["symbol"] = np.arange(_BATCH) % _SYMBOLS
    ticks["kind"] = TickKind.TRADE
    ticks["ask_size"] = 1.0
    first = 0
    start_ns = SystemClock.wall_ns()
    while True:
        bars = first + rounds
        ticks["event_ns"] = start_ns + bars * BAR_NS
        ticks["bid"] = ticks["ask"] = 100.0 + _SWING[bars % len(_SWING)]
        written = 0
        while written < _BATCH:
            written += writer.write_batch(ticks[written:])
        first += _BATCH // _SYMBOLS


def main() -> None:
    """Take the orders from standard input, and carry them out."""
    die_with_parent()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=WriterOrders)
    with Ring.attach(TICK, fd=orders.ring_fd, wake_fds=orders.wake_fds) as ring:
        writer = ring.writer()
        if orders.records:
            write_one_by_one(writer, orders.records, orders.gap_ns)
        else:
            flood(writer)


if __name__ == "__main__":
    main()
