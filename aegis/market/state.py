"""The state of the analysis: one contiguous row a symbol, one record of totals, one of parameters."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aegis.market.bars import BAR, HISTORY
from aegis.market.indicators import INDICATORS
from aegis.market.parameters import Parameters
from aegis.market.structure import STRUCTURE

__all__ = [
    "PARAMETERS",
    "ROW",
    "TOTALS",
    "arm_stop",
    "disarm_stop",
    "empty_state",
    "parameter_record",
]

ROW: Final = np.dtype(
    [
        ("event_ns", "<i8"),  # newest event time seen
        ("trade_ns", "<i8"),  # newest event time of a trade
        ("end_ns", "<i8"),  # end of the forming bar: a trade at or after it closes the bar
        ("bid", "<f8"),  # best bid and ask of the last quote, 0 before the first
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("price", "<f8"),  # of the last trade
        ("stop_long", "<f8"),  # armed stop of a long position, -inf while none is armed
        ("stop_short", "<f8"),  # of a short position, +inf while none is armed
        ("recv_us", "<u4"),  # receive stamp of the last tick
        ("gap", "<u4"),  # FLAG_BROKEN from a GAP to the next trade
        ("ticks", "<i8"),  # the sum of the five below
        ("quotes", "<i8"),
        ("trades", "<i8"),  # merged into a bar
        ("late", "<i8"),  # before the forming bar: dropped
        ("gaps", "<i8"),
        ("bad", "<i8"),  # impossible values: dropped
        ("bars", "<i8"),  # closed ones
        ("broken_bars", "<i8"),  # of these, with FLAG_BROKEN
        ("forming", BAR),
        ("indicators", INDICATORS),
        ("structure", STRUCTURE),
        ("history", BAR, (HISTORY,)),  # last, so that the hot fields above share few cache lines
    ],
    align=True,
)

TOTALS: Final = np.dtype(
    [
        ("strays", "<i8"),  # ticks that named no symbol of this state
        ("signals_lost", "<i8"),  # entries that found the signal array full
    ],
    align=True,
)

PARAMETERS: Final = np.dtype(
    [
        ("interval_ns", "<i8"),
        ("pivot_bars", "<i8"),
        ("atr_period", "<i8"),
        ("stop_atr", "<f8"),
    ],
    align=True,
)


def parameter_record(parameters: Parameters) -> NDArray[np.void]:
    """The parameters as the compiled step reads them: a PARAMETERS array of length 1."""
    record = np.zeros(1, PARAMETERS)
    record["interval_ns"] = parameters.interval_ms * 1_000_000
    record["pivot_bars"] = parameters.pivot_bars
    record["atr_period"] = parameters.atr_period
    record["stop_atr"] = parameters.stop_atr
    return record


def empty_state(symbols: int) -> NDArray[np.void]:
    """The state before the first tick: a ROW array of `symbols` rows, with no stop armed and nothing warm."""
    state = np.zeros(symbols, ROW)
    state["stop_long"] = -math.inf
    state["stop_short"] = math.inf
    state["indicators"]["atr"] = math.nan
    return state


def arm_stop(state: NDArray[np.void], symbol: int, side: int, price: float) -> None:
    """Guard an open position: the next tick at or beyond `price` writes one EXIT signal, and disarms.

    Each stop is one aligned 8-byte store with no flag beside it, so it can never be seen half set by a step that runs
    in another thread.

    Args:
        state: a ROW array.
        symbol: the row.
        side: of the position, +1 long, -1 short. The other side's stop is disarmed.
        price: of the stop, above 0.

    Raises:
        ValueError: for another side or an impossible price; nothing changes.
    """
    if side not in (1, -1) or not 0.0 < price < math.inf:
        message = f"a stop needs side +1 or -1 and a price above 0, not {side} and {price}"
        raise ValueError(message)
    row = state[symbol]
    row["stop_long"] = price if side > 0 else -math.inf
    row["stop_short"] = price if side < 0 else math.inf


def disarm_stop(state: NDArray[np.void], symbol: int) -> None:
    """Guard nothing: the position is closed."""
    row = state[symbol]
    row["stop_long"] = -math.inf
    row["stop_short"] = math.inf
