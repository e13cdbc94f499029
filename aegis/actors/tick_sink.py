"""From frames to records: what a frame says, checked, and written into the ring."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

import attrs
import numpy as np
import numpy.typing as npt

from aegis.errors import Refused
from aegis.market.records import MAX_EVENT_NS, TICK, TickKind, tick_word
from aegis.market.sanity import MAX_PRICE, MAX_SIZE
from aegis.venue.admission import Admission, Series, Verdict
from aegis.venue.binance_market import (
    AggTrade,
    BookTicker,
    DepthUpdate,
    MarketTrade,
    MarkPrice,
    Message,
    Reply,
    decode_market,
)

__all__ = ["DepthTaker", "TickSink", "TickWriter"]

QUARANTINE: Final = 16
_FRAME_SHOWN: Final = 500
_NS_PER_MS: Final = 1_000_000
_ID_MAX: Final = 1 << 62
_TIME_MS_MAX: Final = (MAX_EVENT_NS - 1) // _NS_PER_MS
_WORDS: Final = np.dtype("i8,u8,f8,f8,f8,f8")
"""A TICK as its six words."""

_TickEvent = BookTicker | AggTrade | MarketTrade | MarkPrice


class TickWriter(Protocol):
    """What a sink needs of a ring writer."""

    def write(self, *words: float) -> bool:
        """Write one record, given as its 8-byte words; False when a gating reader leaves no room."""

    async def write_all(self, records: npt.NDArray[np.void]) -> None:
        """Write every record, waiting for room."""


class DepthTaker(Protocol):
    """Who keeps the order books."""

    def take(self, update: DepthUpdate, *, is_newcomer: bool) -> bool:
        """Take a change of a book; False for a symbol without one, `Refused` for one that no market has."""


@attrs.frozen
class _Tick:
    """What becomes of an event, if it is let in."""

    series: Series
    number: int
    kind: TickKind
    time_ms: int
    numbers: tuple[float, float, float, float]


class TickSink:
    """Frames in, TICK records out. Whatever is wrong with a frame is counted, and the frame kept.

    Args:
        writer: of the ring.
        symbols: the run's names; a TICK's `symbol` is the index here.
        lossless: wait for room in the ring; otherwise what finds none is dropped, and counted.
        admission: decides which ticks are let in; without it, all are.
        books: who takes the changes of order books; without, they mean nothing.
    """

    def __init__(
        self,
        writer: TickWriter,
        symbols: tuple[str, ...],
        *,
        lossless: bool,
        admission: Admission | None = None,
        books: DepthTaker | None = None,
    ) -> None:
        self._writer = writer
        self._books = books
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._lossless = lossless
        self._admission = admission
        self._asked = np.zeros(1, _WORDS)
        self.ticks = self.gaps = self.dropped = self.malformed = self.strangers = 0
        self.duplicates = self.future = self.outliers = 0
        self.quarantine: deque[str] = deque(maxlen=QUARANTINE)

    async def take(
        self, frame: str | bytes, recv_us: int, *, is_newcomer: bool = False
    ) -> Reply | Message | None:
        """Write the ticks that a frame makes, hand its changes of books on, and hand back what it says.

        Returns:
            None if it cannot be read.
        """
        try:
            said = decode_market(frame)
        except Refused:
            self._keep(frame)
            return None
        if isinstance(said, Message):
            for event in said.events:
                if isinstance(event, _TickEvent):
                    await self._take_event(event, frame, recv_us, is_newcomer)
                elif isinstance(event, DepthUpdate) and self._books is not None:
                    self._take_change(self._books, event, frame, is_newcomer)
        return said

    def _take_change(
        self, books: DepthTaker, update: DepthUpdate, frame: str | bytes, is_newcomer: bool
    ) -> None:
        try:
            self.strangers += not books.take(update, is_newcomer=is_newcomer)
        except Refused:
            self._keep(frame)

    async def _take_event(
        self, event: _TickEvent, frame: str | bytes, recv_us: int, is_newcomer: bool
    ) -> None:
        index = self._index.get(event.s)
        if index is None:
            self.strangers += 1
            return
        tick = _tick_of(event)
        if tick is None:
            self._keep(frame)
            return
        words = (
            tick.time_ms * _NS_PER_MS,
            tick_word(index, tick.kind, recv_us),
            *tick.numbers,
        )
        verdict = self._judge(tick, words, is_newcomer)
        if verdict is Verdict.BEHIND_GAP:
            self.gaps += await self._put(*_gap(index, recv_us))
        if verdict in (Verdict.ADMITTED, Verdict.BEHIND_GAP):
            written = await self._put(*words)
            self.ticks += written
            self.dropped += not written
        elif verdict is Verdict.DUPLICATE:
            self.duplicates += 1
        elif verdict is not Verdict.SHADOWED:
            self.future += verdict is Verdict.FUTURE
            self.outliers += verdict is Verdict.OUTLIER
            self._keep(frame)

    def _judge(self, tick: _Tick, words: tuple[float, ...], is_newcomer: bool) -> Verdict:
        if self._admission is None:
            return Verdict.ADMITTED
        self._asked[0] = words
        asked = self._asked.view(TICK)
        return Verdict(self._admission.admit(asked, tick.series, tick.number, is_newcomer))

    async def mark_gaps(self, symbols: Iterable[int], recv_us: int) -> None:
        """Say for each of the symbols, given by index, that something may be missing before this point."""
        for symbol in symbols:
            self.gaps += await self._put(*_gap(symbol, recv_us))

    async def _put(self, *words: float) -> bool:
        """Write one record; in a lossless run wait for room, otherwise say that there was none."""
        if self._writer.write(*words):
            return True
        if self._lossless:
            waiting = np.zeros(1, _WORDS)
            waiting[0] = words
            await self._writer.write_all(waiting.view(TICK))
        return self._lossless

    def _keep(self, frame: str | bytes) -> None:
        self.malformed += 1
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        self.quarantine.append(text[:_FRAME_SHOWN])


def _gap(index: int, recv_us: int) -> tuple[float, ...]:
    return (0, tick_word(index, TickKind.GAP, recv_us), 0.0, 0.0, 0.0, 0.0)


def _tick_of(event: _TickEvent) -> _Tick | None:
    """The tick in an event; None for values that no market has: what is absurd never reaches the ring."""
    if isinstance(event, BookTicker):
        numbers = (event.b, event.a, event.B, event.A)
        tick = _Tick(Series.QUOTES, event.u, TickKind.QUOTE, event.E, numbers)
        is_sound = 0.0 < event.b <= event.a < MAX_PRICE and _is_size(event.B) and _is_size(event.A)
    elif isinstance(event, MarkPrice):
        if (
            not 0 <= event.T <= _TIME_MS_MAX
        ):  # an integer of the wire may have more digits than any float
            return None
        rate = 0.0 if event.r == "" else float(event.r)
        numbers = (event.p, event.i, rate, float(event.T))
        tick = _Tick(Series.MARKS, event.E, TickKind.MARK, event.E, numbers)
        is_sound = 0.0 < event.p < MAX_PRICE and 0.0 <= event.i < MAX_PRICE and abs(rate) < 1.0
    else:
        by, number = (
            (Series.AGGREGATES, event.a)
            if isinstance(event, AggTrade)
            else (Series.TRADES, event.t)
        )
        sold, bought = (event.q, 0.0) if event.m else (0.0, event.q)
        # When it traded, as the exchange's own klines count it.
        tick = _Tick(by, number, TickKind.TRADE, event.T, (event.p, event.p, sold, bought))
        is_sound = 0.0 < event.p < MAX_PRICE and _is_size(event.q)
    is_sound = is_sound and 0 < tick.time_ms <= _TIME_MS_MAX and 0 <= tick.number < _ID_MAX
    return tick if is_sound else None


def _is_size(size: float) -> bool:
    return 0.0 <= size < MAX_SIZE
