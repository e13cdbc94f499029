"""The Historian: the one who brings the exchange's own candles, so that the Brain does not begin cold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, Protocol

import attrs
import numpy as np
import structlog
import trio
from numpy.typing import NDArray

from aegis.errors import Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, on
from aegis.kernel.receipt import Reply
from aegis.market.bars import BAR, FLAG_BROKEN
from aegis.messages import BeginBars, PastBars, Report
from aegis.venue.backoff import Backoff
from aegis.venue.klines import KLINES_MAX

__all__ = ["Historian", "HistorianReport", "KlineSource"]

AT_ONCE: Final = 8
"""Requests under way together."""
TRIES: Final = 6
MARGIN_MS: Final = 1000
"""Bars are made from the first boundary that is at least so far ahead: a tick from there is not here yet."""
GRACE_MS: Final = 2500
"""A candle is asked for so long after its end: the exchange closes it up to two seconds late (protocol §4.3)."""
_POLL_S: Final = 0.05
_ASK_S: Final = 5.0
_NS_PER_MS: Final = 1_000_000

_log = structlog.get_logger(__name__)


class KlineSource(Protocol):
    """What the Historian needs of an exchange."""

    async def klines(self, symbol: str, interval_ms: int, limit: int) -> NDArray[np.void]:
        """The newest closed candles, at most `limit`, oldest first: BAR records.

        Raises:
            Unavailable: the exchange could not be asked.
            Refused: there are none of that symbol or length.
        """

    def exchange_ms(self) -> int:
        """The exchange's time as we know it."""


@attrs.frozen
class HistorianReport:
    """The candles brought so far."""

    candles: int
    missing: tuple[str, ...]
    """Symbols whose candles could not be had, or came late: their next bar of ticks is marked as broken."""
    joined: bool
    """True once bars are made of ticks everywhere, with nothing missing before them but of the symbols above."""


@attrs.frozen
class _Answer:
    """Candles that were asked for."""

    bars: NDArray[np.void]
    is_whole: bool
    """False: there are others between what was brought and these, more than may be asked for, or they could not be had."""


class Historian(Actor):
    """Brings closed candles at the start, and later the one in which the ticks began.

    Ticks begin in the middle of a bar. That bar is not made here: the exchange's own candle stands for it, fetched when
    it has closed. Bars are made of ticks from the first boundary after every stream was subscribed. So none is missing,
    none is there twice, and none is half a bar.

    Receives: `Report`.
    Sends: `BeginBars` and `PastBars` to the Brain; `Report` (a question) to the Feed.
    Owns: nothing.
    When it dies: the engine stops: an exchange that cannot be asked is no reason to die, and a Brain that waits for its
        candles makes no bars.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.BACKGROUND: Level.block(16)}

    def __init__(
        self,
        source: KlineSource,
        feed: ActorRef,
        brain: ActorRef,
        symbols: Sequence[str],
        interval_ms: int,
        candles: int,
    ) -> None:
        self._source = source
        self._feed = feed
        self._brain = brain
        self._symbols = tuple(symbols)
        self._interval_ms = interval_ms
        self._wanted = min(candles, KLINES_MAX - 1)
        self._brought = 0
        self._begin_ms: int | None = None
        self._until_ns: dict[str, int] = {}
        self._missing: list[str] = []
        self._joined = False

    async def started(self) -> None:
        """Begin to bring."""
        self.ctx.start_soon(self._bring)

    async def _bring(self) -> None:
        await self._each()
        while not await self._is_subscribed():
            await trio.sleep(_POLL_S)
        now_ms = self._source.exchange_ms() + MARGIN_MS
        self._begin_ms = begin_ms = self._boundary_ms(now_ms) + self._interval_ms
        await self._brain.send(BeginBars(begin_ms * _NS_PER_MS))
        for symbol in self._missing:
            await self._hand_over(symbol, np.zeros(0, BAR), complete=False)
        wait_ms = begin_ms + GRACE_MS - self._source.exchange_ms()
        await trio.sleep(max(0, wait_ms) / 1000)
        await self._each()
        self._joined = True
        _log.info("history_joined", candles=self._brought, missing=self._missing)

    async def _is_subscribed(self) -> bool:
        try:
            return bool((await self._feed.ask(Report(), timeout=_ASK_S)).subscribed)
        except (Unavailable, trio.TooSlowError):  # it is being restarted, or busy
            return False

    def _boundary_ms(self, at_ms: int) -> int:
        """The last boundary between two bars up to a time."""
        return at_ms - at_ms % self._interval_ms

    def _left_out(self, symbol: str, before_ms: int) -> int:
        """How many candles there are between what was brought and a time; as many as are wanted, where nothing was."""
        until_ns = self._until_ns.get(symbol)
        if until_ns is None:
            return self._wanted
        return (before_ms - until_ns // _NS_PER_MS) // self._interval_ms

    async def _each(self) -> None:
        """Bring the candles of each symbol that are to be had by now, a few symbols at a time."""
        waiting = iter(self._symbols)
        through = [trio.Event() for _ in range(AT_ONCE)]
        for event in through:
            self.ctx.start_soon(self._some, waiting, event)
        for event in through:
            await event.wait()

    async def _some(self, waiting: Iterator[str], through: trio.Event) -> None:
        for symbol in waiting:
            if symbol not in self._missing:
                await self._one(symbol)
        through.set()

    async def _one(self, symbol: str) -> None:
        answer = await self._fetch(symbol)
        bars = answer.bars
        if len(bars):
            if not answer.is_whole:
                bars["flags"][0] |= FLAG_BROKEN
            self._until_ns[symbol] = int(bars["known_ns"][-1])
            await self._hand_over(symbol, bars, complete=True)
            self._brought += len(bars)
        if self._is_late() or not (len(bars) or answer.is_whole):
            self._missing.append(symbol)
            if self._begin_ms is not None:
                await self._hand_over(symbol, np.zeros(0, BAR), complete=False)

    def _is_late(self) -> bool:
        """Whether the first bar of ticks may be over, which these candles had to come before."""
        begin_ms = self._begin_ms
        return begin_ms is not None and self._source.exchange_ms() >= begin_ms + self._interval_ms

    async def _hand_over(self, symbol: str, bars: NDArray[np.void], *, complete: bool) -> None:
        """Give candles to the Brain, and wait until it has passed them on: strategies look at thousands a second, not at millions."""
        taken = Reply()
        if await self._brain.send(PastBars(symbol, bars, complete, taken)) is Delivery.OK:
            await taken.wait()

    async def _fetch(self, symbol: str) -> _Answer:
        """Ask, and ask again a few times."""
        backoff = Backoff(self.ctx.random, first_s=0.25)
        for _ in range(TRIES):
            asked_ms = self._source.exchange_ms()
            # The newest are counted, so from now back; and the next boundary may be there before the question is.
            left_out = self._left_out(symbol, self._boundary_ms(asked_ms + MARGIN_MS))
            wanted = min(left_out, KLINES_MAX - 1)
            try:
                bars = await self._source.klines(symbol, self._interval_ms, wanted)
            except Refused as why:
                _log.warning("no_history", symbol=symbol, why=str(why))
                break
            except Unavailable as why:
                _log.warning("history_unavailable", symbol=symbol, why=str(why))
                await trio.sleep(backoff.next_s())
            else:
                return _Answer(self._due(symbol, bars, asked_ms), wanted == left_out)
        return _Answer(np.zeros(0, BAR), is_whole=False)

    def _due(self, symbol: str, bars: NDArray[np.void], asked_ms: int) -> NDArray[np.void]:
        """Of candles those that were not brought, that the exchange has closed for good, and that are not made of ticks."""
        before_ms = asked_ms - GRACE_MS if self._begin_ms is None else self._begin_ms
        is_new = bars["start_ns"] >= self._until_ns.get(symbol, 0)
        return bars[is_new & (bars["known_ns"] <= before_ms * _NS_PER_MS)]

    @on(Report)
    async def report(self, _: Report) -> HistorianReport:
        """The figures so far."""
        return HistorianReport(self._brought, tuple(self._missing), self._joined)
