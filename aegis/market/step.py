"""The step: one compiled call takes all new ticks of all symbols and returns candidate signals.

It allocates nothing, reads no clock, and is a function of the state and the ticks alone: how the ticks are cut into
calls changes nothing.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

from aegis.compiled import compiled, inlined
from aegis.market.bars import BAR, FLAG_BROKEN, HISTORY, merge_trade, open_bar
from aegis.market.closings import write_closing
from aegis.market.events import claim_events
from aegis.market.features import update_features
from aegis.market.flow import close_flow, take_quote
from aegis.market.indicators import update_indicators
from aegis.market.kernel import array_of, constant
from aegis.market.lines import claim
from aegis.market.parameters import BarKind
from aegis.market.recent import remember_bar, search_windows
from aegis.market.records import MAX_EVENT_NS, TICK, TickKind
from aegis.market.rules import call_rules
from aegis.market.sanity import bar_holds, mark_holds, quote_holds, trade_holds
from aegis.market.session import update_session
from aegis.market.signals import OUTBOX, Reason, SignalKind, write_signal
from aegis.market.state import PARAMETERS, ROW
from aegis.market.structure import update_structure

__all__ = ["step", "take_bar", "take_bars"]

_QUOTE: Final = constant(TickKind.QUOTE)
_TRADE: Final = constant(TickKind.TRADE)
_GAP: Final = constant(TickKind.GAP)
_MARK: Final = constant(TickKind.MARK)
_EXIT: Final = constant(SignalKind.EXIT)
_STOP: Final = constant(Reason.STOP)
_TARGET: Final = constant(Reason.TARGET)
_TIME: Final = constant(BarKind.TIME)
_TRADES: Final = constant(BarKind.TRADES)
_VOLUME: Final = constant(BarKind.VOLUME)


@inlined
def end_of(bar: Any, parameters: Any) -> int:
    """Where a closed bar ends: what comes before is late."""
    if parameters.bar_kind == _TIME:
        return bar.start_ns + parameters.interval_ms * 1_000_000  # type: ignore[no-any-return]
    return bar.known_ns  # type: ignore[no-any-return]


@compiled(
    numba.types.void(*(numba.from_dtype(kind) for kind in (ROW, BAR, PARAMETERS, OUTBOX))),
    nogil=True,
    late=True,
)
def close_bar(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """Take a closed bar into everything that is kept by bars, then ask the rules, and tell who follows.

    Compiled once and called by each kernel below: most of what there is to compile is in here.
    """
    number = row.bars
    row.bars += 1
    row.closed_ns = end_of(bar, parameters)
    if bar.flags & FLAG_BROKEN:
        row.broken_bars += 1
    claim(row.history[number & (HISTORY - 1)])
    claim_events(row.structure.events)
    remember_bar(row.recent, bar, number)
    pivot_window, stochastic_window = search_windows(row.recent, number, parameters)
    update_session(row.session, bar, parameters.session_ms * 1_000_000)
    close_flow(row.flow, row)
    update_indicators(row.indicators, row.recent, bar, number, stochastic_window, parameters)
    atr = row.indicators.atr
    update_structure(row.structure, row.recent, bar, number, atr, pivot_window, parameters)
    update_features(row, bar, parameters)
    row.history[number & (HISTORY - 1)] = bar  # by now its lines are here
    call_rules(row, bar, parameters, outbox)
    if row.followed:
        write_closing(outbox, row, bar)


@inlined
def finish_bar(row: Any, tick: Any, parameters: Any, outbox: Any) -> None:
    """Close the forming bar at `tick`."""
    bar = row.forming
    bar.known_ns = tick.event_ns
    close_bar(row, bar, parameters, outbox)
    bar.trades = 0
    row.start_ns = row.trade_ns


@inlined
def check_stop(row: Any, tick: Any, outbox: Any) -> None:
    """Propose an exit where the tick is at or beyond an armed stop."""
    if tick.bid <= row.stop_long:
        leave(row, tick, outbox, _STOP, -1, tick.bid)
    elif tick.ask >= row.stop_short:
        leave(row, tick, outbox, _STOP, 1, tick.ask)


@inlined
def check_target(row: Any, tick: Any, outbox: Any) -> None:
    """Propose an exit where the quote is at or beyond an armed target: where the position could be closed at it.

    A trade is no such proof. It may have been a buyer's, at the ask, with the bid a spread away.
    """
    if tick.bid >= row.target_long:
        leave(row, tick, outbox, _TARGET, -1, tick.bid)
    elif tick.ask <= row.target_short:
        leave(row, tick, outbox, _TARGET, 1, tick.ask)


@inlined
def is_guarded_at(row: Any, tick: Any) -> bool:
    """True where a quote is at or beyond an armed stop or target: four comparisons, and one branch for whoever asks."""
    is_stop = (tick.bid <= row.stop_long) | (tick.ask >= row.stop_short)
    is_target = (tick.bid >= row.target_long) | (tick.ask <= row.target_short)
    return is_stop | is_target  # type: ignore[no-any-return]


@inlined
def leave(row: Any, tick: Any, outbox: Any, reason: int, side: int, price: float) -> None:
    """Propose to close what is guarded, and disarm its stop and target.

    A full signal array leaves them armed: the next tick tries again.
    """
    start_ns, known_ns = row.forming.start_ns, tick.event_ns
    stop = row.stop_long if side < 0 else row.stop_short
    target = row.target_long if side < 0 else row.target_short
    target = target if abs(target) < np.inf else np.nan
    outbox.rule = 0
    if write_signal(outbox, row, _EXIT, reason, side, start_ns, known_ns, price, stop, target):
        row.stop_long = -np.inf
        row.stop_short = np.inf
        row.target_long = np.inf
        row.target_short = -np.inf


@inlined
def is_full(bar: Any, parameters: Any) -> bool:
    """True when a bar that is not closed by time has reached its size."""
    if parameters.bar_kind == _TRADES:
        return bar.trades >= parameters.bar_size  # type: ignore[no-any-return]
    if parameters.bar_kind == _VOLUME:
        return bar.volume >= parameters.bar_size  # type: ignore[no-any-return]
    return bar.value >= parameters.bar_size  # type: ignore[no-any-return]


@inlined
def begin_bar(row: Any, event_ns: int, price: float, parameters: Any) -> None:
    """Open a bar for a trade: at a multiple of the interval, or at the trade where time does not close it."""
    if parameters.bar_kind == _TIME:
        interval_ns = parameters.interval_ms * 1_000_000
        row.start_ns = event_ns - event_ns % interval_ns
        row.end_ns = row.start_ns + interval_ns
    else:
        row.start_ns = event_ns
        row.end_ns = MAX_EVENT_NS
    open_bar(row.forming, row.start_ns, price, row.gap)


@inlined
def take_trade(row: Any, tick: Any, parameters: Any, outbox: Any) -> None:
    """Take a trade into the forming bar, closing the one before it where its time is over."""
    event_ns, price = tick.event_ns, tick.bid
    bar = row.forming
    if event_ns < row.begin_ns:
        row.early += 1
        row.price = price
        check_stop(row, tick, outbox)
        return
    if event_ns < row.start_ns:
        row.late += 1
        return
    if bar.trades > 0 and event_ns >= row.end_ns:
        finish_bar(row, tick, parameters, outbox)
    if bar.trades == 0:
        begin_bar(row, event_ns, price, parameters)
    bar.flags |= row.gap
    row.gap = 0
    merge_trade(bar, price, tick.ask_size, tick.bid_size, event_ns >= row.trade_ns)
    row.trade_ns = max(row.trade_ns, event_ns)
    row.price = price
    row.trades += 1
    if parameters.bar_kind != _TIME and is_full(bar, parameters):
        finish_bar(row, tick, parameters, outbox)
    check_stop(row, tick, outbox)


@inlined
def take_tick(row: Any, tick: Any, parameters: Any, outbox: Any) -> None:
    """Take one tick into its symbol's row; what no market can have is counted and reaches nothing."""
    if tick.kind == _QUOTE and quote_holds(tick):
        stamp(row, tick)
        take_quote(row.flow, row, tick)
        bid, ask, bid_size, ask_size = tick.bid, tick.ask, tick.bid_size, tick.ask_size
        row.bid = bid
        row.ask = ask
        row.bid_size = bid_size
        row.ask_size = ask_size
        row.quotes += 1
        if is_guarded_at(row, tick):
            check_stop(row, tick, outbox)
            check_target(row, tick, outbox)
    elif tick.kind == _TRADE and trade_holds(tick):
        stamp(row, tick)
        take_trade(row, tick, parameters, outbox)
    elif tick.kind == _GAP:
        row.gaps += 1
        row.gap = FLAG_BROKEN
        row.forming.flags |= FLAG_BROKEN
    elif tick.kind == _MARK and mark_holds(tick):
        row.mark = tick.bid
        row.index = tick.ask
        row.funding_rate = tick.bid_size
        row.funding_ms = np.int64(tick.ask_size)
        row.marks += 1
    else:
        row.bad += 1


@inlined
def stamp(row: Any, tick: Any) -> None:
    """Remember when the last good tick happened, and when it was received."""
    row.event_ns = max(row.event_ns, tick.event_ns)
    row.recv_us = tick.recv_us


@compiled(
    numba.types.int64(
        array_of(TICK, readonly=True),
        numba.types.int64,
        array_of(ROW),
        array_of(PARAMETERS, readonly=True),
        array_of(OUTBOX),
    ),
    nogil=True,
)
def step(ticks: Any, count: int, state: Any, parameters: Any, outbox: Any) -> int:
    """Take the first `count` ticks and write candidate signals.

    Args:
        ticks: a contiguous TICK array of at least `count` records, for any mix of symbols, in order of arrival.
        count: how many of them to take.
        state: a ROW array, one row a symbol.
        parameters: a PARAMETERS array of length 1.
        outbox: an OUTBOX array of length 1. Its signals and closings are written from the start; what finds no room is
            counted.

    Returns:
        How many signals were written.
    """
    outbox[0].written = 0
    outbox[0].closed = 0
    for position in range(count):
        tick = ticks[position]
        if tick.symbol < state.shape[0]:
            take_tick(state[tick.symbol], tick, parameters[0], outbox[0])
        else:
            outbox[0].strays += 1
    return outbox[0].written  # type: ignore[no-any-return]


@inlined
def fits(row: Any, bar: Any, parameters: Any) -> bool:
    """True for a bar that stands between the last closed one and the forming one."""
    is_before = row.forming.trades == 0 or end_of(bar, parameters) <= row.forming.start_ns
    return bool(bar.start_ns >= row.closed_ns and is_before)


@inlined
def take_bar(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """Take a closed bar as it is, if it is possible and fits; otherwise count it."""
    if bar_holds(bar) and fits(row, bar, parameters):
        close_bar(row, bar, parameters, outbox)
        row.start_ns = max(row.start_ns, row.closed_ns)
    else:
        outbox.bars_refused += 1


@compiled(
    numba.types.int64(
        array_of(BAR, readonly=True),
        numba.types.Array(numba.types.uint16, 1, "C", readonly=True),
        numba.types.int64,
        array_of(ROW),
        array_of(PARAMETERS, readonly=True),
        array_of(OUTBOX),
    ),
    nogil=True,
)
def take_bars(bars: Any, symbols: Any, count: int, state: Any, parameters: Any, outbox: Any) -> int:
    """Take closed bars as they are: the exchange's own, before the first bar made of ticks or in place of all.

    A bar that is not possible, begins before the last one's end, or ends behind the forming one's begin is counted and
    dropped.

    Args:
        bars: a contiguous BAR array of at least `count` records, those of one symbol in order of time.
        symbols: the row of each.
        count: how many of them to take.
        state: see `step`, as all that follow.
        parameters: a PARAMETERS array of length 1.
        outbox: an OUTBOX array of length 1.

    Returns:
        How many signals were written.
    """
    outbox[0].written = 0
    outbox[0].closed = 0
    for position in range(count):
        if symbols[position] >= state.shape[0]:
            outbox[0].strays += 1
            continue
        take_bar(state[symbols[position]], bars[position], parameters[0], outbox[0])
    return outbox[0].written  # type: ignore[no-any-return]
