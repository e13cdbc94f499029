"""The records that travel through the ring, one numpy dtype each.

A `TICK` is 48 bytes: with the ring's two sequence stamps it fills exactly one cache line, so handing one to
another core costs one coherence miss.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from aegis.errors import check

__all__ = ["CANDLE", "MAX_EVENT_NS", "TICK", "TickKind", "received_us", "tick_word"]

MAX_EVENT_NS: Final = 1 << 62
"""No event is as late as the year 2116: a time beyond it is an error, and would not fit a record for long."""


class TickKind(IntEnum):
    """What a TICK says."""

    QUOTE = 1
    """The best bid and ask changed: `bid`, `ask`, `bid_size`, `ask_size` as named."""
    TRADE = 2
    """Something traded: `bid == ask ==` the price. A buyer who took puts the quantity into `ask_size`, a seller
    who took into `bid_size`; the other is 0. So `ask_size - bid_size` is the signed volume."""
    GAP = 3
    """The symbol's stream was broken before this record: what was built from it may miss something."""
    MARK = 4
    """The exchange's own valuation: `bid` is the mark price and `ask` the index price, `bid_size` the last funding
    rate (a fraction, of either sign) and `ask_size` the next funding time in ms since the epoch, 0 for none. It is
    no quote and moves no bar."""


TICK: Final = np.dtype(
    [
        (
            "event_ns",
            "<i8",
        ),  # exchange time in ns since the epoch (the wire has ms): of the event, or of the trade
        ("symbol", "<u2"),  # index into the run's symbol table
        ("kind", "u1"),  # a TickKind
        ("flags", "u1"),  # reserved, 0
        ("recv_us", "<u4"),  # low 32 bits of the monotonic clock in us when the bytes were received
        ("bid", "<f8"),
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
    ]
)

CANDLE: Final = np.dtype(
    [
        ("timestamp", "<f8"),  # open time, ms since the epoch (whole ms are exact in a float64)
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
    ]
)

check(TICK.itemsize == 48, "a TICK and its two stamps fill one cache line of 64 bytes")
check(CANDLE.itemsize == 48, "a CANDLE is six float64")


def received_us(monotonic_ns: int) -> int:
    """The 32-bit receive stamp of a monotonic time.

    It wraps every 71 minutes, so only differences modulo 2**32 mean something: `(now - stamp) & 0xFFFFFFFF` is
    the age in us of anything younger than that.
    """
    return (monotonic_ns // 1000) & 0xFFFFFFFF


def tick_word(symbol: int, kind: int, recv_us: int) -> int:
    """The second word of a TICK, as the ring writes it: symbol, kind, no flags and the receive stamp in one u64."""
    return symbol | kind << 16 | recv_us << 32
