"""Commands: what is told to the analysis besides ticks, as records, so that whoever steps is the only one who writes.

Live, the step runs in a thread of its own. A position's stop, a candle from before the start: each comes to it as a COMMAND
through a ring, and is obeyed between two batches of ticks. Where everything happens in one thread, `Analysis` obeys at once.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from aegis.compiled import compiled
from aegis.errors import check
from aegis.market.bars import BAR, FLAG_BROKEN
from aegis.market.kernel import array_of, constant
from aegis.market.signals import OUTBOX
from aegis.market.state import PARAMETERS, ROW
from aegis.market.step import take_bar

__all__ = [
    "COMMAND",
    "NONE",
    "CommandKind",
    "arm_stop",
    "begin_bars_at",
    "break_bar",
    "disarm_stop",
    "nothing",
    "obey",
    "take_bars",
]


class CommandKind(IntEnum):
    """What is to be done with a row; 0 is nothing."""

    GUARD = 1
    """Arm these stops and targets, in place of those that are armed."""
    BEGIN = 2
    """Make no bar of what trades before `at_ns`, and whole ones from there on; what forms now is dropped."""
    BREAK = 3
    """Mark the bar that forms, or the next one, as broken: something before it is missing."""
    BAR = 4
    """Take a closed bar as it is."""


COMMAND: Final = np.dtype(
    [
        ("bar", BAR),
        ("stop_long", "<f8"),
        ("stop_short", "<f8"),
        ("target_long", "<f8"),
        ("target_short", "<f8"),
        ("at_ns", "<i8"),
        ("kind", "<u4"),  # a CommandKind
        ("symbol", "<u4"),
    ],
    align=True,
)

check(COMMAND.itemsize == BAR.itemsize + 48, "a COMMAND has no padding")

_GUARD: Final = constant(CommandKind.GUARD)
_BEGIN: Final = constant(CommandKind.BEGIN)
_BREAK: Final = constant(CommandKind.BREAK)
_BAR: Final = constant(CommandKind.BAR)


NONE: Final = np.zeros(0, COMMAND)
"""No command."""


def _command(kind: CommandKind, symbol: int, count: int = 1) -> NDArray[np.void]:
    commands = np.zeros(count, COMMAND)
    commands["kind"] = kind
    commands["symbol"] = symbol
    return commands


def arm_stop(symbol: int, side: int, price: float, target: float | None = None) -> NDArray[np.void]:
    """Guard an open position: the next tick at or beyond `price`, or quote at or beyond `target`, writes one EXIT signal.

    Args:
        symbol: the row.
        side: of the position, +1 long, -1 short. The other side's stop and target are disarmed.
        price: of the stop, above 0.
        target: where the position takes its profit, above 0; None for nowhere.

    Raises:
        ValueError: for another side or an impossible price.
    """
    if side not in (1, -1) or not 0.0 < price < math.inf:
        message = f"a stop needs side +1 or -1 and a price above 0, not {side} and {price}"
        raise ValueError(message)
    if target is not None and not 0.0 < target < math.inf:
        message = f"a target needs a price above 0, not {target}"
        raise ValueError(message)
    command = disarm_stop(symbol)
    command["stop_long" if side > 0 else "stop_short"] = price
    if target is not None:
        command["target_long" if side > 0 else "target_short"] = target
    return command


def disarm_stop(symbol: int) -> NDArray[np.void]:
    """Guard nothing: the position is closed."""
    command = _command(CommandKind.GUARD, symbol)
    command["stop_long"] = command["target_short"] = -math.inf
    command["stop_short"] = command["target_long"] = math.inf
    return command


def begin_bars_at(symbol: int, begin_ns: int) -> NDArray[np.void]:
    """Make bars from a time on; while ticks come in without a gap until then, the first one has all its trades."""
    command = _command(CommandKind.BEGIN, symbol)
    command["at_ns"] = begin_ns
    return command


def nothing() -> NDArray[np.void]:
    """Do nothing: once it is obeyed, all that came before is done."""
    return np.zeros(1, COMMAND)


def break_bar(symbol: int) -> NDArray[np.void]:
    """Say that bars before are missing."""
    return _command(CommandKind.BREAK, symbol)


def take_bars(symbol: int, bars: NDArray[np.void]) -> NDArray[np.void]:
    """Take closed candles of a symbol, BAR records, oldest first."""
    commands = _command(CommandKind.BAR, symbol, len(bars))
    commands["bar"] = bars
    return commands


@compiled(
    numba.types.void(
        array_of(COMMAND, readonly=True),
        numba.types.int64,
        array_of(ROW),
        array_of(PARAMETERS, readonly=True),
        array_of(OUTBOX),
    ),
    nogil=True,
)
def obey(commands: Any, count: int, state: Any, parameters: Any, outbox: Any) -> None:
    """Obey the first `count` commands, in their order; one that names no row is counted as a stray.

    The outbox then holds the closings of the bars among them, marked as past, and no signal: what follows from a bar
    that was over before we came is over as well.
    """
    outbox[0].written = 0
    outbox[0].closed = 0
    for position in range(count):
        command = commands[position]
        if command.symbol >= state.shape[0]:
            outbox[0].strays += 1
            continue
        row = state[command.symbol]
        if command.kind == _GUARD:
            row.stop_long = command.stop_long
            row.stop_short = command.stop_short
            row.target_long = command.target_long
            row.target_short = command.target_short
        elif command.kind == _BEGIN:
            row.begin_ns = command.at_ns
            row.forming.trades = 0
            row.forming.flags = 0
            row.gap = 0
        elif command.kind == _BREAK:
            row.gap = FLAG_BROKEN
            row.forming.flags |= FLAG_BROKEN
        elif command.kind == _BAR:
            take_bar(row, command.bar, parameters[0], outbox[0])
    outbox[0].written = 0
    for position in range(outbox[0].closed):
        outbox[0].closings[position].is_past = 1
