"""The market of `bench.soak`, a process of its own: `python -m bench.soak_market`.

It writes ticks of 300 symbols into a ring at an even rate, whoever keeps up: prices walk at random within each round of a
market of some seconds, and all of them rise and fall slowly, so that swings form and are broken. Each tick carries the
time of its writing.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from aegis.kernel.clock import SystemClock
from aegis.kernel.cores import leave_the_last_core
from aegis.kernel.process import Child, die_with_parent
from aegis.market.records import TICK, TickKind, received_us
from aegis.shm import Ring
from aegis.shm.writer import Writer

__all__ = ["SYMBOLS", "MarketOrders", "start_market"]

SYMBOLS: Final = 300
_ROUND: Final = 300 * 1024
_BATCH: Final = 4096
_NAP_S: Final = 0.0005
_SWELL_S: Final = 20.0


class MarketOrders(msgspec.Struct, frozen=True):
    """What to write, and into what."""

    ring_fd: int
    wake_fds: tuple[int, ...]
    rate: int
    """Ticks a second; 0: as fast as the readers let them in, until killed."""
    ticks: int


async def start_market(ring: Ring, rate: int, ticks: int) -> Child:
    """Start it; it says on a line of its output when it begins, and on another when it has written all."""
    child = Child([sys.executable, "-m", "bench.soak_market"], pass_fds=ring.pass_fds)
    orders = MarketOrders(ring.fd, ring.wake_fds, rate, ticks)
    await child.send_line(msgspec.json.encode(orders))
    return child


def round_of_ticks() -> npt.NDArray[np.void]:
    """One round: every fourth tick of a symbol a trade, the others quotes; the end joins the beginning."""
    rng = np.random.default_rng(11)
    each = _ROUND // SYMBOLS
    walk = np.cumsum(rng.normal(0, 2e-4, (each, SYMBOLS)), axis=0)
    walk -= np.linspace(0, 1, each)[:, None] * walk[-1]
    ticks = np.zeros(_ROUND, TICK)
    ticks["symbol"] = np.arange(_ROUND) % SYMBOLS
    is_trade = (np.arange(_ROUND) // SYMBOLS) % 4 == 0
    is_bought = rng.random(_ROUND) < 0.5
    ticks["kind"] = np.where(is_trade, TickKind.TRADE, TickKind.QUOTE)
    ticks["bid"] = 100.0 * np.exp(walk).ravel()
    ticks["ask"] = ticks["bid"] + np.where(is_trade, 0.0, 0.01)
    size = rng.exponential(1.0, _ROUND)
    ticks["ask_size"] = np.where(is_trade & ~is_bought, 0.0, size)
    ticks["bid_size"] = np.where(is_trade & is_bought, 0.0, size)
    return ticks


def write_evenly(writer: Writer, orders: MarketOrders) -> None:
    """Write what is due, then sleep; what came due while this process had no core is written at once.

    It sleeps each time. On a slow machine a tick more is due as soon as one is written, and a market that looks at once would
    have a core to itself to write them one by one.
    """
    base, now_ns = round_of_ticks(), SystemClock.monotonic_ns
    batch = np.empty(_BATCH, TICK)
    wall_ns = SystemClock.wall_ns() - now_ns()
    print("begun", flush=True)
    began_ns, written = now_ns(), 0
    while not orders.ticks or written < orders.ticks:
        at_ns = now_ns()
        due = _BATCH
        if orders.rate:
            due = min(_BATCH, (at_ns - began_ns) * orders.rate // 1_000_000_000 - written)
        if orders.ticks:
            due = min(due, orders.ticks - written)
        first = written % _ROUND
        part = batch[: min(due, _ROUND - first)]
        part[:] = base[first : first + len(part)]
        swell = 1.0 + 0.01 * np.sin(at_ns / 1e9 / _SWELL_S)
        part["bid"] *= swell
        part["ask"] *= swell
        part["event_ns"] = wall_ns + at_ns
        part["recv_us"] = received_us(now_ns())
        done = 0
        while (done := done + writer.write_batch(part[done:])) < len(part):
            time.sleep(_NAP_S / 10)  # the reader has more than enough to do
        written += len(part)
        if due < _BATCH:
            time.sleep(_NAP_S)


def main() -> None:
    """Take the orders from standard input, and carry them out."""
    die_with_parent()
    leave_the_last_core()  # as the feed's worker does, in whose place it is
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=MarketOrders)
    with Ring.attach(TICK, fd=orders.ring_fd, wake_fds=orders.wake_fds) as ring:
        write_evenly(ring.writer(), orders)
        print("written", flush=True)
        sys.stdin.buffer.read()  # the ring stays until the parent is done


if __name__ == "__main__":
    main()
