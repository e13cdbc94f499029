"""Conflation: the latest truth of each window of a symbol's ticks, for those who cannot or need not follow every one.

A window covers `[start, start + length)` of exchange time, with starts at multiples of its length. It closes with the symbol's
first tick at or after its end, or by `flush`. A record has the last quote, and all that the window's trades say to a bar: bars
made of the windows inside an interval are the bars made of the ticks, but for trades that came when a quote had closed their window
already (the exchange says of a quote when it was sent, and of a trade when it was made, which is earlier). Such a trade counts in
the window that forms: none is lost. A quote before its symbol's window is late: counted and dropped. A GAP marks the window that forms, and the one with the next trade, as broken. A MARK is nothing that a window holds.

With a length of 0 conflation is off: every good tick is a window of its own, in order of arrival.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from aegis.compiled import compiled, entry_point, inlined
from aegis.errors import check
from aegis.market.bars import BAR, FLAG_BROKEN, merge_trade, open_bar
from aegis.market.kernel import array_of, constant
from aegis.market.records import TICK, TickKind
from aegis.market.sanity import quote_holds, trade_holds

__all__ = ["CONFLATED", "WINDOW", "Conflation", "conflate", "flush_windows"]

_QUOTE: Final = constant(TickKind.QUOTE)
_TRADE: Final = constant(TickKind.TRADE)
_GAP: Final = constant(TickKind.GAP)
_MARK: Final = constant(TickKind.MARK)

CONFLATED: Final = np.dtype(
    [
        ("symbol", "<i8"),
        ("event_ns", "<i8"),  # newest event time of the window
        ("bid", "<f8"),  # the last quote, of this window or before; 0 before the first
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("recv_us", "<u4"),  # receive stamp of the last tick
        ("quotes", "<u4"),
        (
            "trades",
            BAR,
        ),  # of the window; without any, its prices are the last trade's, 0 before the first
    ],
    align=True,
)

WINDOW: Final = np.dtype(
    [
        ("ticks", "<i8"),  # in the window that forms; 0 while none does
        ("end_ns", "<i8"),
        ("gap", "<i8"),  # FLAG_BROKEN from a GAP to the next trade
        ("late", "<i8"),
        ("bad", "<i8"),
        ("trade_ns", "<i8"),  # newest event time of a trade
        ("forming", CONFLATED),
    ],
    align=True,
)


@inlined
def begin_window(window: Any, event_ns: int, length_ns: int) -> None:
    """Open the window that an event belongs to."""
    forming = window.forming
    start_ns = event_ns - event_ns % length_ns if length_ns > 0 else event_ns
    if length_ns > 0:
        start_ns = max(start_ns, forming.trades.start_ns)  # what was closed is not opened again
    window.end_ns = start_ns + length_ns
    forming.event_ns = event_ns
    forming.quotes = 0
    open_bar(forming.trades, start_ns, forming.trades.close, 0)


@inlined
def merge_tick(window: Any, tick: Any) -> None:
    """Take a tick into the window that forms."""
    forming = window.forming
    if tick.kind == _QUOTE:
        forming.bid = tick.bid
        forming.ask = tick.ask
        forming.bid_size = tick.bid_size
        forming.ask_size = tick.ask_size
        forming.quotes += 1
    else:
        bar = forming.trades
        if bar.trades == 0:
            open_bar(bar, bar.start_ns, tick.bid, bar.flags | window.gap)
            window.gap = 0
        is_newest = tick.event_ns >= window.trade_ns
        merge_trade(bar, tick.bid, tick.ask_size, tick.bid_size, is_newest)
        window.trade_ns = max(window.trade_ns, tick.event_ns)
    forming.event_ns = max(forming.event_ns, tick.event_ns)
    forming.recv_us = tick.recv_us
    window.ticks += 1


@inlined
def admits(window: Any, tick: Any, length_ns: int) -> bool:
    """True for a tick that belongs to this window or a later one. Every other one is counted."""
    if tick.kind == _GAP:
        window.gap = FLAG_BROKEN
        window.forming.trades.flags |= FLAG_BROKEN
        return False
    if tick.kind == _MARK:
        return False
    is_quote, is_trade = tick.kind == _QUOTE, tick.kind == _TRADE
    if not ((is_quote and quote_holds(tick)) or (is_trade and trade_holds(tick))):
        window.bad += 1
        return False
    if is_quote and length_ns > 0 and tick.event_ns < window.forming.trades.start_ns:
        window.late += 1
        return False
    return True


@compiled(
    numba.types.int64(
        array_of(TICK, readonly=True),
        numba.types.int64,
        array_of(WINDOW),
        numba.types.int64,
        array_of(CONFLATED),
    ),
    nogil=True,
)
def conflate(ticks: Any, count: int, windows: Any, length_ns: int, closed: Any) -> int:
    """Take the first `count` ticks and write the windows that they close.

    Args:
        ticks: a contiguous TICK array of at least `count` records, in order of arrival.
        count: how many of them to take.
        windows: a WINDOW array, one a symbol, and a last one that counts as `bad` the ticks that name no symbol.
        length_ns: of a window; 0 for none.
        closed: a CONFLATED array with room for `count` records.

    Returns:
        How many records were written.
    """
    written = 0
    spare = windows.shape[0] - 1
    for position in range(count):
        tick = ticks[position]
        window = windows[min(tick.symbol, spare)]
        if tick.symbol >= spare:
            window.bad += 1
            continue
        if not admits(window, tick, length_ns):
            continue
        forming = window.forming
        if window.ticks > 0 and tick.event_ns >= window.end_ns:
            forming.trades.known_ns = tick.event_ns
            closed[written] = forming
            written += 1
            window.ticks = 0
        if window.ticks == 0:
            begin_window(window, tick.event_ns, length_ns)
        merge_tick(window, tick)
        if length_ns == 0:
            forming.trades.known_ns = tick.event_ns
            closed[written] = forming
            written += 1
            window.ticks = 0
    return written


@compiled(
    numba.types.int64(
        array_of(WINDOW),
        numba.types.int64,
        array_of(CONFLATED),
    ),
    nogil=True,
)
def flush_windows(windows: Any, now_ns: int, closed: Any) -> int:
    """Close every window whose end is not after `now_ns`, in exchange time: quiet symbols are told of as well.

    Args:
        windows: see `conflate`.
        now_ns: what comes late for a window that was flushed counts in the next.
        closed: a CONFLATED array with room for a record a symbol.

    Returns:
        How many records were written, in order of symbol.
    """
    written = 0
    for position in range(windows.shape[0] - 1):
        window = windows[position]
        if window.ticks > 0 and window.end_ns <= now_ns:
            bar = window.forming.trades
            bar.known_ns = now_ns
            closed[written] = window.forming
            written += 1
            bar.start_ns = window.end_ns
            window.ticks = 0
    return written


_conflate = entry_point(conflate)
_flush_windows = entry_point(flush_windows)


class Conflation:
    """The windows of all symbols.

    Args:
        symbols: how many; a tick's `symbol` indexes them.
        window_ms: length of a window in exchange time; 0 passes every good tick on.
        batch: ticks that one `take` may bring.
    """

    def __init__(self, symbols: int, window_ms: int = 100, *, batch: int = 4096) -> None:
        check(0 < symbols <= 1 << 16, "a tick's symbol is 16 bits")
        check(window_ms >= 0, "a window has a length, or 0 for none")
        self.windows: Final = np.zeros(symbols + 1, WINDOW)
        self.windows["forming"]["symbol"] = np.arange(symbols + 1)
        self.length_ns: Final = window_ms * 1_000_000
        self._closed = np.zeros(max(batch, symbols), CONFLATED)

    def take(self, ticks: NDArray[np.void]) -> NDArray[np.void]:
        """Take ticks, in order of arrival.

        Args:
            ticks: a contiguous TICK array of at most `batch` records. It is not kept.

        Returns:
            A view of the CONFLATED records of the windows that closed, valid until the next call.
        """
        check(ticks.dtype == TICK and ticks.flags.c_contiguous, "ticks are contiguous TICK records")
        check(len(ticks) <= len(self._closed), "a batch has room for the windows it may close")
        written = _conflate(ticks, len(ticks), self.windows, self.length_ns, self._closed)
        return self._closed[:written]

    def break_all(self) -> None:
        """Ticks are lost, and nobody knows whose: the windows that form, or form next, may miss trades."""
        self.windows["gap"] = FLAG_BROKEN
        self.windows["forming"]["trades"]["flags"] |= FLAG_BROKEN

    def flush(self, now_ns: int) -> NDArray[np.void]:
        """Close every window whose end is not after `now_ns`, in exchange time: quiet symbols are told of as well.

        Returns:
            A copy of their CONFLATED records, in order of symbol.
        """
        written = _flush_windows(self.windows, now_ns, self._closed)
        return self._closed[:written].copy()

    def counts(self) -> dict[str, int]:
        """Ticks that were dropped: `late`, `bad`, and `strays` that named no symbol."""
        known, spare = self.windows[:-1], self.windows[-1]
        late, bad = (int(known[name].sum()) for name in ("late", "bad"))
        return {"late": late, "bad": bad, "strays": int(spare["bad"])}
