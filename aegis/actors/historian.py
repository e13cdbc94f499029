"""The Historian: the one who brings the exchange's own candles, so that the Brain does not begin cold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, Protocol

import attrs
import numpy as np
import structlog
import trio
from numpy.typing import NDArray

from aegis.errors import Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, on
from aegis.kernel.receipt import Reply
from aegis.market.bars import BAR
from aegis.messages import BeginBars, PastBars, Report
from aegis.venue.backoff import Backoff

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
    """Symbols whose candles could not be had: their first bar is marked as broken."""
    joined: bool
    """True once bars are made of ticks everywhere, with nothing missing before them but of the symbols above."""


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
        self._wanted = candles
        self._brought = 0
        self._until_ns: dict[str, int] = {}
        self._missing: list[str] = []
        self._joined = False

    async def started(self) -> None:
        """Begin to bring."""
        self.ctx.start_soon(self._bring)

    async def _bring(self) -> None:
        await self._each(lambda _: self._wanted)
        while not await self._is_subscribed():
            await trio.sleep(_POLL_S)
        begin_ms = self._next_boundary_ms(self._source.exchange_ms() + MARGIN_MS)
        await self._brain.send(BeginBars(begin_ms * _NS_PER_MS))
        wait_ms = begin_ms + GRACE_MS - self._source.exchange_ms()
        await trio.sleep(max(0, wait_ms) / 1000)
        await self._each(lambda symbol: self._left_out(symbol, begin_ms))
        for symbol in self._missing:
            await self._hand_over(symbol, np.zeros(0, BAR), complete=False)
        self._joined = True
        _log.info("history_joined", candles=self._brought, missing=self._missing)

    async def _is_subscribed(self) -> bool:
        try:
            return bool((await self._feed.ask(Report(), timeout=_ASK_S)).subscribed)
        except (Unavailable, trio.TooSlowError):  # it is being restarted, or busy
            return False

    def _next_boundary_ms(self, after_ms: int) -> int:
        return after_ms - after_ms % self._interval_ms + self._interval_ms

    def _left_out(self, symbol: str, begin_ms: int) -> int:
        """How many candles there are between what was brought and where bars are made; all, where there is none."""
        until_ms = self._until_ns.get(symbol, 0) // _NS_PER_MS
        return min(self._wanted, (begin_ms - until_ms) // self._interval_ms)

    async def _each(self, count: Callable[[str], int]) -> None:
        """Bring so many candles of each symbol, a few symbols at a time."""
        waiting = iter(self._symbols)
        through = [trio.Event() for _ in range(AT_ONCE)]
        for event in through:
            self.ctx.start_soon(self._some, waiting, count, event)
        for event in through:
            await event.wait()

    async def _some(
        self, waiting: Iterator[str], count: Callable[[str], int], through: trio.Event
    ) -> None:
        for symbol in waiting:
            wanted = count(symbol)
            if wanted and symbol not in self._missing:
                await self._one(symbol, wanted)
        through.set()

    async def _one(self, symbol: str, wanted: int) -> None:
        bars = await self._fetch(symbol, wanted)
        if bars is None:
            self._missing.append(symbol)
            return
        new = bars[bars["start_ns"] >= self._until_ns.get(symbol, 0)]
        if len(new):
            self._until_ns[symbol] = int(new["known_ns"][-1])
            await self._hand_over(symbol, new, complete=True)
            self._brought += len(new)

    async def _hand_over(self, symbol: str, bars: NDArray[np.void], *, complete: bool) -> None:
        """Give candles to the Brain, and wait until it has passed them on: strategies look at thousands a second, not at millions."""
        taken = Reply()
        if await self._brain.send(PastBars(symbol, bars, complete, taken)) is Delivery.OK:
            await taken.wait()

    async def _fetch(self, symbol: str, wanted: int) -> NDArray[np.void] | None:
        """Ask, and ask again a few times; None where it was for nothing."""
        backoff = Backoff(self.ctx.random, first_s=0.25)
        for _ in range(TRIES):
            try:
                return await self._source.klines(symbol, self._interval_ms, wanted)
            except Refused as why:
                _log.warning("no_history", symbol=symbol, why=str(why))
                return None
            except Unavailable as why:
                _log.warning("history_unavailable", symbol=symbol, why=str(why))
                await trio.sleep(backoff.next_s())
        return None

    @on(Report)
    async def report(self, _: Report) -> HistorianReport:
        """The figures so far."""
        return HistorianReport(self._brought, tuple(self._missing), self._joined)
