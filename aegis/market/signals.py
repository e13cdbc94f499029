"""Candidate signals: what the step proposes. The Gate decides."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numpy as np

from aegis.compiled import inlined
from aegis.errors import check
from aegis.market.bars import FLAG_BROKEN
from aegis.market.closings import CLOSING
from aegis.market.kernel import constant

__all__ = [
    "MAX_CLOSINGS",
    "MAX_SIGNALS",
    "OUTBOX",
    "SIGNAL",
    "Reason",
    "SignalKind",
    "propose_entry",
    "propose_exit",
    "write_signal",
]


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
    TARGET = 4
    """The market reached the armed target."""
    RULE = 5
    """A strategy said so, for a reason of its own."""


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
        ("target", "<f8"),  # where an entry takes its profit, or an EXIT has; NaN for none
        ("recv_us", "<u4"),  # receive stamp of the tick that caused it
        ("symbol", "<u2"),
        ("kind", "u1"),  # a SignalKind
        ("reason", "u1"),  # a Reason
        ("side", "<i4"),  # of the order that would follow: +1 buy, -1 sell
        ("strategy", "<u4"),  # number of the rule that proposed it; 0 for a stop or a target
    ],
    align=True,
)

check(SIGNAL.itemsize == 64, "a SIGNAL has no padding: runs are compared byte by byte")


MAX_SIGNALS: Final = 4096
MAX_CLOSINGS: Final = 4096

_ENTRY_LONG: Final = constant(SignalKind.ENTRY_LONG)
_ENTRY_SHORT: Final = constant(SignalKind.ENTRY_SHORT)
_EXIT: Final = constant(SignalKind.EXIT)

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
        ("rule", "<i8"),  # number of the rule that is at work
        ("closed", "<i8"),  # followed bars that the last call closed
        ("closings_lost", "<i8"),  # of these, without room
        ("signals", SIGNAL, (MAX_SIGNALS,)),
        ("closings", CLOSING, (MAX_CLOSINGS,)),
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
    target: float,
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
    signal.target = target
    signal.atr = row.indicators.atr
    signal.recv_us = row.recv_us
    signal.symbol = row.symbol
    signal.kind = kind
    signal.reason = reason
    signal.side = side
    signal.strategy = outbox.rule
    return True


@inlined
def propose_entry(
    outbox: Any, row: Any, bar: Any, side: int, reason: int, stop: float, target: float
) -> None:
    """Propose an entry at the close of a bar: what a rule calls.

    Nothing is proposed on a broken bar, nor without a stop that an order can have: such a position could not be guarded.

    Args:
        outbox: as the rule was given it, like `row` and `bar`.
        row: of the symbol.
        bar: the closed one.
        side: +1 long, -1 short.
        reason: a Reason.
        stop: where the position is given up, above 0; NaN, as before the ATR is warm, is no stop.
        target: where it takes its profit, above 0; NaN for none.
    """
    has_target = 0.0 < target < np.inf or np.isnan(target)
    if bar.flags & FLAG_BROKEN or not (0.0 < stop < np.inf and has_target):
        return
    kind = _ENTRY_LONG if side > 0 else _ENTRY_SHORT
    start_ns, known_ns, close = bar.start_ns, bar.known_ns, bar.close
    if not write_signal(outbox, row, kind, reason, side, start_ns, known_ns, close, stop, target):
        outbox.signals_lost += 1


@inlined
def propose_exit(outbox: Any, row: Any, bar: Any, reason: int) -> None:
    """Propose to hold nothing, at the close of a bar: what a rule calls. Whether there is anything to close, the Gate knows."""
    start_ns, known_ns, close = bar.start_ns, bar.known_ns, bar.close
    nothing = np.nan
    if not write_signal(outbox, row, _EXIT, reason, 0, start_ns, known_ns, close, nothing, nothing):
        outbox.signals_lost += 1
