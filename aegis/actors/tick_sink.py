"""From frames to records: what a frame says, checked, and written into the ring."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from aegis.errors import Refused
from aegis.market.records import MAX_EVENT_NS, TICK, TickKind, tick_word
from aegis.venue import binance_codec as codec

__all__ = ["DepthTaker", "TickSink", "TickWriter"]

QUARANTINE: Final = 16
_FRAME_SHOWN: Final = 500
_NS_PER_MS: Final = 1_000_000
_WORDS: Final = np.dtype("i8,u8,f8,f8,f8,f8")
"""A TICK as its six words."""


_TickEvent = codec.BookTicker | codec.AggTrade | codec.MarketTrade


class TickWriter(Protocol):
    """What a sink needs of a ring writer."""

    def write(self, *words: float) -> bool:
        """Write one record, given as its 8-byte words; False when a gating reader leaves no room."""

    async def write_all(self, records: npt.NDArray[np.void]) -> None:
        """Write every record, waiting for room."""


class DepthTaker(Protocol):
    """Who keeps the order books."""

    def take(self, update: codec.DepthUpdate) -> bool:
        """Take a change of a book; False for a symbol without one, `Refused` for one that no market has."""


class TickSink:
    """Frames in, TICK records out. Whatever is wrong with a frame is counted, and the frame kept.

    Args:
        writer: of the ring.
        symbols: the run's, by index.
        lossless: wait for room in the ring.
        books: who takes the changes of order books; without, they were never asked for.
    """

    def __init__(
        self,
        writer: TickWriter,
        symbols: tuple[str, ...],
        *,
        lossless: bool,
        books: DepthTaker | None = None,
    ) -> None:
        self._writer = writer
        self._books = books
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._lossless = lossless
        self._spare = np.zeros(1, _WORDS)
        self.ticks = self.gaps = self.dropped = self.malformed = self.strangers = 0
        self.quarantine: deque[str] = deque(maxlen=QUARANTINE)

    async def take(self, frame: str | bytes, recv_us: int) -> codec.Reply | None:
        """Write the frame's tick, or hand its change of a book on; a control reply is handed back."""
        try:
            event = codec.decode_market(frame)
        except Refused:
            self._keep(frame)
            return None
        if isinstance(event, codec.Reply):
            return event
        if isinstance(event, codec.DepthUpdate):
            self._take_change(event, frame)
            return None
        index = self._index.get(event.s)
        if index is None:
            self.strangers += 1
        elif not _is_sane(event):
            self._keep(frame)
        elif await self._write(index, event, recv_us):
            self.ticks += 1
        else:
            self.dropped += 1
        return None

    async def mark_gaps(self, streams: Iterable[str], recv_us: int) -> None:
        """Say for each symbol of the streams that something may be missing before this point."""
        for symbol in sorted({stream.partition("@")[0].upper() for stream in streams}):
            if symbol in self._index:
                word = tick_word(self._index[symbol], TickKind.GAP, recv_us)
                self.gaps += await self._put(0, word, 0.0, 0.0, 0.0, 0.0)

    def _take_change(self, update: codec.DepthUpdate, frame: str | bytes) -> None:
        if self._books is None:
            self._keep(frame)  # nobody has asked for it
            return
        try:
            self.strangers += not self._books.take(update)
        except Refused:
            self._keep(frame)

    async def _write(self, index: int, event: _TickEvent, recv_us: int) -> bool:
        if isinstance(event, codec.BookTicker):
            word = tick_word(index, TickKind.QUOTE, recv_us)
            at_ns = event.E * _NS_PER_MS
            return await self._put(at_ns, word, event.b, event.a, event.B, event.A)
        word = tick_word(index, TickKind.TRADE, recv_us)
        at_ns = event.T * _NS_PER_MS  # when it traded, as the exchange's own klines count it
        sold, bought = (event.q, 0.0) if event.m else (0.0, event.q)
        return await self._put(at_ns, word, event.p, event.p, sold, bought)

    async def _put(self, *words: float) -> bool:
        """Write one record; in a lossless run wait for room, otherwise say that there was none."""
        if self._writer.write(*words):
            return True
        if self._lossless:
            self._spare[0] = words
            await self._writer.write_all(self._spare.view(TICK))
        return self._lossless

    def _keep(self, frame: str | bytes) -> None:
        self.malformed += 1
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        self.quarantine.append(text[:_FRAME_SHOWN])


def _is_sane(event: _TickEvent) -> bool:
    """Finite, above zero, uncrossed, at a time that a record holds: what is not never reaches the ring."""
    if isinstance(event, codec.BookTicker):
        sizes = 0.0 <= event.B < math.inf and 0.0 <= event.A < math.inf
        return 0.0 < event.b <= event.a < math.inf and sizes and _is_time(event.E)
    return 0.0 < event.p < math.inf and 0.0 <= event.q < math.inf and _is_time(event.T)


def _is_time(time_ms: int) -> bool:
    return 0 < time_ms * _NS_PER_MS < MAX_EVENT_NS
