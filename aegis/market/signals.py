"""Candidate signals: what the step proposes. The Gate decides."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check

__all__ = ["SIGNAL", "Reason", "SignalKind", "write_signal"]


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
        ("side", "i1"),  # of the order that would follow: +1 buy, -1 sell
    ],
    align=True,
)

check(SIGNAL.itemsize == 56, "a SIGNAL has no more padding than its last field needs")


@inlined
def write_signal(
    signals: Any,
    written: int,
    tick: Any,
    kind: int,
    reason: int,
    side: int,
    bar_ns: int,
    price: float,
    stop: float,
    atr: float,
) -> int:
    """Append a signal caused by `tick`; return the new count, which is `written` again where there is no room."""
    if written >= signals.shape[0]:
        return written
    signal = signals[written]
    signal.bar_ns = bar_ns
    signal.known_ns = tick.event_ns
    signal.price = price
    signal.stop = stop
    signal.atr = atr
    signal.recv_us = tick.recv_us
    signal.symbol = tick.symbol
    signal.kind = kind
    signal.reason = reason
    signal.side = side
    return written + 1
