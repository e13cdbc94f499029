"""Plays recordings back: every frame, in order, to whoever subscribed, as fast as the slowest of them takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import trio

from aegis.sim.depth import RecordedBook
from aegis.sim.exchange import Exchange
from aegis.sim.hub import Hub
from aegis.sim.order import Side, Trade
from aegis.sim.recording import (
    DRIVING,
    SNAPSHOT,
    Frame,
    Recording,
    merged,
    recorded_quote,
    recorded_trade,
    symbol_and_kind,
)

__all__ = ["Replay"]

_PAUSE_NS_MAX = 86_400_000_000_000
"""A time that is a day after the one before is a damaged one: nobody waits for it."""
_BATCH = 64  # frames between two looks at the clients
_AHEAD_BYTES = 256 * 1024  # what a client may have waiting before the replay waits for it
_NOTICEABLE_S = 0.001


class Replay:
    """Sends recorded frames and lets orders trade against the recorded quotes.

    It begins once every stream of quotes and trades has a subscriber, and pauses while one has none. The frames keep
    their event times; the pace follows the times at which they were received.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        driving: Sequence[str],
        exchange: Exchange,
        hub: Hub,
        speed: float,
    ) -> None:
        """Take what is needed.

        Args:
            recordings: merged by their local times.
            driving: the streams that must be heard.
            exchange: what trades against the quotes.
            hub: what sends the frames.
            speed: 1 for the pace of the recording, infinity for as fast as it goes.
        """
        self._recordings = recordings
        self.driving = driving
        self._exchange = exchange
        self._hub = hub
        self._speed = speed
        self._unreadable = 0
        self._channels: dict[str, tuple[str, str]] = {}  # stream -> symbol, kind
        self._books: dict[str, RecordedBook] = {}  # of the symbols whose depth is recorded
        self.frames: Counter[str] = Counter()
        self.ended = trio.Event()

    @property
    def malformed(self) -> int:
        """How many lines so far were no frames, or frames of quotes or trades without what they must have."""
        return self._unreadable + sum(each.malformed for each in self._recordings)

    async def run(self, wall_ms: Callable[[], int]) -> None:
        """Play all frames; `ended` is set when the last one has left.

        Args:
            wall_ms: the venue's clock, for what happens to orders meanwhile.
        """
        await self._hub.until_heard(self.driving)
        first_ns, began = None, trio.current_time()
        newest_ns = 0
        for number, frame in enumerate(merged(self._recordings)):
            first_ns = first_ns or frame.local_ns
            newest_ns = newest_ns or frame.local_ns
            if frame.local_ns - newest_ns > _PAUSE_NS_MAX:
                self._unreadable += 1
                continue
            newest_ns = frame.local_ns
            due = began + (frame.local_ns - first_ns) / 1e9 / self._speed
            if number % _BATCH == 0:
                await trio.lowlevel.checkpoint()
                before = trio.current_time()
                await self._hub.until_heard(self.driving)
                await self._hub.drained(_AHEAD_BYTES)
                paused_s = trio.current_time() - before
                began, due = began + paused_s, due + paused_s  # nothing is caught up with
            if due - trio.current_time() > _NOTICEABLE_S:
                await trio.sleep_until(due)
            self._play(frame, wall_ms())
        await self._hub.drained(0)
        self.ended.set()

    def printed(self, trade: Trade) -> None:
        """Leave an own fill off the public tape, which is as it was recorded."""

    def _play(self, frame: Frame, now_ms: int) -> None:
        if self._takes_in(frame, now_ms):
            self.frames[frame.stream] += 1
            self._hub.publish_recorded(frame.stream, frame.frame, frame.payload)

    def _takes_in(self, frame: Frame, now_ms: int) -> bool:
        """Let the venue see a frame; False for one that nobody else is to see."""
        symbol, kind = self._channel(frame.stream)
        if symbol not in self._exchange.listings:
            return kind != SNAPSHOT
        if kind == SNAPSHOT:
            self._unreadable += not self._book(symbol).begin(frame.frame)
            return False
        if kind == "depth" and not self._book(symbol).change(frame.payload):
            self._unreadable += 1
            return False
        if kind not in DRIVING:
            return True
        if kind == "bookTicker":
            quote = recorded_quote(frame.payload)
            if quote is not None:
                self._exchange.quoted(symbol, quote, now_ms)
                return True
        elif (trade := recorded_trade(frame.payload)) is not None:
            taker = Side.SELL if trade.m else Side.BUY
            self._exchange.traded(symbol, trade.p, trade.q, taker, trade.T, now_ms)
            return True
        self._unreadable += 1
        return False

    def _book(self, symbol: str) -> RecordedBook:
        """The recorded book of a symbol, which snapshots show from its first change on."""
        if symbol not in self._books:
            book = self._books[symbol] = RecordedBook()
            self._exchange.listings[symbol].public_book = book
        return self._books[symbol]

    def _channel(self, stream: str) -> tuple[str, str]:
        if stream not in self._channels:
            self._channels[stream] = symbol_and_kind(stream)
        return self._channels[stream]
