"""The step: one compiled call takes all new ticks of all symbols and returns candidate signals.

It allocates nothing, reads no clock, and is a function of the state and the ticks alone: how the ticks are cut into
calls changes nothing.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numba
import numpy as np

from aegis.compiled import compiled, inlined
from aegis.market.bars import FLAG_BROKEN, HISTORY, merge_trade, open_bar
from aegis.market.indicators import update_indicators
from aegis.market.records import TICK, TickKind
from aegis.market.signals import SIGNAL, Reason, SignalKind, write_signal
from aegis.market.state import PARAMETERS, ROW, TOTALS
from aegis.market.structure import update_structure

__all__ = ["step"]

# The compiler takes plain integers.
_QUOTE: Final = int(TickKind.QUOTE)
_TRADE: Final = int(TickKind.TRADE)
_GAP: Final = int(TickKind.GAP)
_ENTRY_LONG: Final = int(SignalKind.ENTRY_LONG)
_ENTRY_SHORT: Final = int(SignalKind.ENTRY_SHORT)
_EXIT: Final = int(SignalKind.EXIT)
_STOP: Final = int(Reason.STOP)

# No market has prices or sizes beyond these; a torn or misread record may.
_MAX_PRICE: Final = 1e12
_MAX_SIZE: Final = 1e15
_MAX_EVENT_NS: Final = 1 << 62  # the year 2116


def _array(dtype: np.dtype[np.void], *, readonly: bool = False) -> numba.types.Array:
    return numba.types.Array(numba.from_dtype(dtype), 1, "C", readonly=readonly)


@inlined
def quote_holds(tick: Any) -> bool:
    """True for a quote that a market can have. Every comparison is false for NaN."""
    return bool(
        0.0 < tick.bid <= tick.ask < _MAX_PRICE
        and 0.0 <= tick.bid_size < _MAX_SIZE
        and 0.0 <= tick.ask_size < _MAX_SIZE
        and 0 < tick.event_ns < _MAX_EVENT_NS
    )


@inlined
def trade_holds(tick: Any) -> bool:
    """True for a trade that a market can have: one price, and a quantity on exactly one side."""
    return bool(
        0.0 < tick.bid == tick.ask < _MAX_PRICE
        and 0.0 <= tick.bid_size < _MAX_SIZE
        and 0.0 <= tick.ask_size < _MAX_SIZE
        and (tick.bid_size > 0.0) != (tick.ask_size > 0.0)
        and 0 < tick.event_ns < _MAX_EVENT_NS
    )


@inlined
def close_bar(row: Any, tick: Any, parameters: Any, totals: Any, signals: Any, written: int) -> int:
    """Close the forming bar at `tick`, bring everything up to it, and propose an entry if it broke a swing."""
    bar = row.forming
    bar.known_ns = tick.event_ns
    number = row.bars
    row.history[number & (HISTORY - 1)] = bar
    row.bars += 1
    update_indicators(row.indicators, bar, number, parameters)
    broke = update_structure(row.structure, bar, number, parameters)
    if bar.flags & FLAG_BROKEN:
        row.broken_bars += 1
        return written
    atr = row.indicators.atr
    if broke == 0 or math.isnan(atr):
        return written
    side = 1 if broke > 0 else -1
    kind = _ENTRY_LONG if broke > 0 else _ENTRY_SHORT
    stop = bar.close - side * parameters.stop_atr * atr
    if stop <= 0.0:
        return written  # no order can rest there, so the position could not be guarded
    after = write_signal(
        signals, written, tick, kind, abs(broke), side, bar.start_ns, bar.close, stop, atr
    )
    totals.signals_lost += 1 - (after - written)
    return after


@inlined
def check_stop(row: Any, tick: Any, signals: Any, written: int) -> int:
    """Propose an exit where the tick is at or beyond an armed stop, and disarm it.

    A full signal array leaves it armed: the next tick tries again.
    """
    if tick.bid <= row.stop_long:
        side, price, stop = -1, tick.bid, row.stop_long
    elif tick.ask >= row.stop_short:
        side, price, stop = 1, tick.ask, row.stop_short
    else:
        return written
    bar_ns, atr = row.forming.start_ns, row.indicators.atr
    after = write_signal(signals, written, tick, _EXIT, _STOP, side, bar_ns, price, stop, atr)
    if after > written:
        row.stop_long = -math.inf
        row.stop_short = math.inf
    return after


@inlined
def take_trade(
    row: Any, tick: Any, parameters: Any, totals: Any, signals: Any, written: int
) -> int:
    """Take a trade into the forming bar, closing the one before it where its time is over."""
    event_ns, price = tick.event_ns, tick.bid
    bar = row.forming
    if event_ns >= row.end_ns:
        if bar.trades > 0:
            written = close_bar(row, tick, parameters, totals, signals, written)
        start_ns = event_ns - event_ns % parameters.interval_ns
        open_bar(bar, start_ns, price, row.gap)
        row.end_ns = start_ns + parameters.interval_ns
    elif event_ns < bar.start_ns:
        row.late += 1
        return written
    bar.flags |= row.gap
    row.gap = 0
    merge_trade(bar, price, tick.ask_size, tick.bid_size, event_ns >= row.trade_ns)
    row.trade_ns = max(row.trade_ns, event_ns)
    row.price = price
    row.trades += 1
    return check_stop(row, tick, signals, written)


@inlined
def take_tick(row: Any, tick: Any, parameters: Any, totals: Any, signals: Any, written: int) -> int:
    """Take one tick into its symbol's row; what no market can have is counted and reaches nothing."""
    row.ticks += 1
    if tick.kind == _QUOTE and quote_holds(tick):
        row.bid = tick.bid
        row.ask = tick.ask
        row.bid_size = tick.bid_size
        row.ask_size = tick.ask_size
        row.quotes += 1
        written = check_stop(row, tick, signals, written)
    elif tick.kind == _TRADE and trade_holds(tick):
        written = take_trade(row, tick, parameters, totals, signals, written)
    elif tick.kind == _GAP:
        row.gaps += 1
        row.gap = FLAG_BROKEN
        row.forming.flags |= FLAG_BROKEN
        return written
    else:
        row.bad += 1
        return written
    row.event_ns = max(row.event_ns, tick.event_ns)
    row.recv_us = tick.recv_us
    return written


@compiled(
    numba.types.int64(
        _array(TICK, readonly=True),  # takes writable ones as well
        numba.types.int64,
        _array(ROW),
        _array(TOTALS),
        _array(PARAMETERS, readonly=True),
        _array(SIGNAL),
    ),
    nogil=True,
)
def step(ticks: Any, count: int, state: Any, totals: Any, parameters: Any, signals: Any) -> int:
    """Take the first `count` ticks and write candidate signals.

    Args:
        ticks: a contiguous TICK array of at least `count` records, for any mix of symbols, in order of arrival.
        count: how many of them to take.
        state: a ROW array, one row a symbol.
        totals: a TOTALS array of length 1.
        parameters: a PARAMETERS array of length 1.
        signals: a SIGNAL array; written from its start. What finds no room is counted, never written.

    Returns:
        How many signals were written.
    """
    written = 0
    for position in range(count):
        tick = ticks[position]
        if tick.symbol < state.shape[0]:
            row = state[tick.symbol]
            written = take_tick(row, tick, parameters[0], totals[0], signals, written)
        else:
            totals[0].strays += 1
    return written
