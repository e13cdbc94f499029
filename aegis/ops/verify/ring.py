"""The ring between two processes: how long a record takes from one Python to the other."""

from __future__ import annotations

import math
import sys
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import Child
from aegis.market.records import TICK
from aegis.ops.verify.facts import RingHop
from aegis.ops.verify.ring_writer import WINDOW, WriterOrders, core_losses
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader

__all__ = ["measure_ring", "start_writer"]

_RECORDS: Final = 50_000
_GAP_NS: Final = 10_000
_ARRIVAL: Final = np.dtype(
    [(name, np.int64) for name in ("number", "late_ns", "theirs", "ours", "together")]
)
_WITHIN_NS: Final = 20_000_000_000
_LOOKS: Final = 4096  # between two looks at the clock while nothing comes


async def start_writer(ring: Ring, orders: WriterOrders) -> Child:
    """Start a process that writes into the ring, and tell it what."""
    child = Child([sys.executable, "-m", "aegis.ops.verify.ring_writer"], pass_fds=ring.pass_fds)
    await child.send_line(msgspec.json.encode(orders))
    return child


async def measure_ring(
    *, capacity: int = 16_384, gap_ns: int = _GAP_NS, records: int = _RECORDS
) -> RingHop:
    """Let another process write records one by one, and take each one here as soon as it is there.

    Both spin, so the loop is held up meanwhile. What the machine does for others is left out: from where one of the
    two processes lost its core until the reader has caught up again.

    Raises:
        Unavailable: the records did not come.
    """
    with Ring.create(TICK, capacity) as ring, ring.reader("verify", policy=Policy.LOSSY) as reader:
        orders = WriterOrders(ring.fd, ring.wake_fds, records, gap_ns)
        async with await start_writer(ring, orders) as child:
            arrivals = _take(reader, records)
            late_us = _calm(arrivals)
            return RingHop(
                writer_pid=child.pid,
                sent=records,
                received=len(arrivals),
                lost=reader.lost,
                in_order=bool((np.diff(arrivals["number"]) > 0).all()),
                calm=len(late_us) / max(len(arrivals), 1),
                p50_us=float(np.percentile(late_us, 50)) if len(late_us) else math.inf,
                p99_us=float(np.percentile(late_us, 99)) if len(late_us) else math.inf,
            )


def _take(reader: Reader, records: int) -> npt.NDArray[np.void]:
    """Of each record that came: its number and lateness, both sides' losses of their core, how many came with it."""
    arrivals = np.zeros(records, _ARRIVAL)
    out = np.empty(WINDOW, TICK)
    read_into, now_ns = reader.read_into, SystemClock.monotonic_ns
    began_ns = now_ns()
    done = idle = losses = 0
    while done + reader.lost < records:
        count = read_into(out)
        if count:
            arrived_ns = now_ns()
            if done % WINDOW < count:
                losses = core_losses()
            some, ticks = arrivals[done : done + count], out[:count]
            some["late_ns"] = arrived_ns - ticks["event_ns"]
            some["number"], some["theirs"] = ticks["bid"], ticks["bid_size"]
            some["ours"], some["together"] = losses, count
            done += count
            continue
        idle += 1
        if idle % _LOOKS == 0 and now_ns() - began_ns > _WITHIN_NS:
            raise Unavailable(f"{done} of {records} records came")
    return arrivals[:done]


def _calm(arrivals: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """The lateness in us within the windows that nobody disturbed."""
    whole = len(arrivals) // WINDOW
    windows = arrivals[: whole * WINDOW].reshape(whole, WINDOW)
    # Each side looks where a window begins: what was lost in it is seen where the next one does.
    losses = windows["theirs"][:, -1] + windows["ours"][:, -1]
    caught_up = windows["together"][:, 0] == 1
    is_calm = np.zeros(whole, bool)
    disturbed = False
    for number in range(1, whole - 1):
        lost = losses[number - 1] != losses[number] or losses[number] != losses[number + 1]
        disturbed = bool(lost or (disturbed and not caught_up[number]))
        is_calm[number] = not disturbed
    late_us: npt.NDArray[np.float64] = windows["late_ns"][is_calm].ravel() / 1e3
    return late_us
