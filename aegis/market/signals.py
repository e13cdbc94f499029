"""Candidate signals: what the step proposes. The Gate decides."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from aegis.errors import check
from aegis.market.kernel import inlined

__all__ = ["MAX_SIGNALS", "OUTBOX", "SIGNAL", "Reason", "SignalKind", "write_signal"]


class SignalKind(IntEnum):
    """What a signal proposes."""

    ENTRY_LONG = 1
    ENTRY_SHORT = 2
    EXIT = 3


class Reason(IntEnum):
    """Why it was proposed."""

    BOS = 1
    """A close broke the last confirmed swing in the direction of the trend (break of structure)."""
    CHOCH = 2
    """A close broke the last confirmed swing against the trend (change of character)."""
    STOP = 3
    """The market reached the armed protective stop."""


SIGNAL: Final = np.dtype(
    [
        ("bar_ns", "<i8"),  # start of the bar it was decided on; of the forming one for an EXIT
        ("known_ns", "<i8"),  # event time of the tick that made it known
        (
            "price",
            "<f8",
        ),  # at the decision: the bar's close; for an EXIT the bid or ask that hit the stop
        (
            "stop",
            "<f8",
        ),  # protective stop proposed with an entry; the armed one that was hit, for an EXIT
        ("atr", "<f8"),  # at the decision; NaN if an EXIT comes before it is warm
        ("recv_us", "<u4"),  # receive stamp of the tick that caused it
        ("symbol", "<u2"),
        ("kind", "u1"),  # a SignalKind
        ("reason", "u1"),  # a Reason
        ("side", "<i8"),  # of the order that would follow: +1 buy, -1 sell
    ],
    align=True,
)

check(SIGNAL.itemsize == 56, "a SIGNAL has no padding: runs are compared byte by byte")


MAX_SIGNALS: Final = 4096

OUTBOX: Final = np.dtype(
    [
        ("written", "<i8"),  # signals of the last call
        ("capacity", "<i8"),  # at most MAX_SIGNALS
        ("signals_lost", "<i8"),  # entries that found no room
        ("strays", "<i8"),  # ticks and bars that named no symbol of the state
        (
            "bars_refused",
            "<i8",
        ),  # bars that were not possible, or not after what their row had seen
        ("signals", SIGNAL, (MAX_SIGNALS,)),
    ],
    align=True,
)


@inlined
def write_signal(
    outbox: Any,
    row: Any,
    kind: int,
    reason: int,
    side: int,
    bar_ns: int,
    known_ns: int,
    price: float,
    stop: float,
) -> bool:
    """Append a signal of a symbol's row; False, and nothing written, where there is no room."""
    if outbox.written >= outbox.capacity:
        return False
    signal = outbox.signals[outbox.written]
    outbox.written += 1
    signal.bar_ns = bar_ns
    signal.known_ns = known_ns
    signal.price = price
    signal.stop = stop
    signal.atr = row.indicators.atr
    signal.recv_us = row.recv_us
    signal.symbol = row.symbol
    signal.kind = kind
    signal.reason = reason
    signal.side = side
    return True
