"""One shard's streams, held for as long as the worker lives, by one socket after another.

    connect ──▶ subscribe ──▶ read ──▶ ended, silent, not acknowledged ──▶ GAP ──▶ connect again, after a while
                   ▲             └───▶ old, to be shut down, a stream silent ──▶ hand over
                   └────────────────────────────────────────────────────────────────┘

A *break* loses something: each symbol gets a GAP before its next tick. A *handover* loses nothing and repeats
nothing: both sockets run until each series that the newcomer has brought was brought by the old one as far
(`aegis.venue.admission`); what has not come together by a deadline gets a GAP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import numpy.typing as npt
import trio

from aegis.actors.feed_protocol import ShardStatus, SocketTerms
from aegis.actors.freshness import RESTLESS, Freshness
from aegis.actors.market_socket import MarketSocket
from aegis.actors.tick_sink import TickSink
from aegis.errors import Unavailable
from aegis.kernel.clock import Clock
from aegis.market.records import received_us
from aegis.venue.admission import Admission, Series
from aegis.venue.backoff import Backoff
from aegis.venue.binance_streams import kind_of
from aegis.venue.fastlane import Lane, Role
from aegis.venue.idle_reads import IdleReads
from aegis.venue.pace import Pace
from aegis.venue.shards import Shard, symbol_of

if TYPE_CHECKING:
    from aegis.actors.book_keeper import BookKeeper

__all__ = ["FeedParts", "ShardKeeper"]

_SERIES: Final = {
    "bookTicker": Series.QUOTES,
    "aggTrade": Series.AGGREGATES,
    "trade": Series.TRADES,
    "markPrice": Series.MARKS,
}
_POLL_S: Final = 0.005
_LOOK_S_MAX: Final = 1.0
_LOOKS: Final = 4
"""Within the shortest deadline."""
_SPEAKS_ON: Final = 8
"""Events of a newcomer that say that it is not the market, or this process, which rests."""
_LIFE_JITTER: Final = 0.05
"""Sockets that were opened together are not replaced together."""

Rows = npt.NDArray[np.int64]


@attrs.frozen
class FeedParts:
    """What all shards of a worker share."""

    streams_url: str
    symbols: Mapping[str, int]
    terms: SocketTerms
    sink: TickSink
    admission: Admission
    clock: Clock
    attempts: Pace
    """Of connecting: the exchange bans whoever tries too often."""
    idle: IdleReads
    make_lane: Callable[[], Lane]
    notice: Callable[[], None]
    """Called when something happened that the Feed should hear of at once."""
    books: BookKeeper | None = None


class Due(Enum):
    """Why a socket is not read any longer."""

    ENDED = "ended"
    SILENT = "silent"
    UNACKNOWLEDGED = "not acknowledged"
    AGE = "its age"
    SHUTDOWN = "the server shuts down"
    STALE = "a silent stream"

    @property
    def is_break(self) -> bool:
        """Whether something is lost."""
        return self in (Due.ENDED, Due.SILENT, Due.UNACKNOWLEDGED)


class ShardKeeper:
    """Holds one shard.

    Args:
        shard: its streams.
        parts: what it shares with others.
        rng: for jitter.
        is_broken: whether something was lost before it began.
    """

    def __init__(self, shard: Shard, parts: FeedParts, rng: Random, *, is_broken: bool) -> None:
        self._shard: Final = shard
        self._parts: Final = parts
        self._rng: Final = rng
        self._backoff: Final = Backoff(rng)
        self._lanes: Final = (parts.make_lane(), parts.make_lane())
        self._is_broken = is_broken
        terms = parts.terms
        self._freshness: Final = Freshness(shard.streams, terms.deadlines_ms)
        limits_ms = [ms for ms in (terms.silence_ms, *terms.deadlines_ms.values()) if ms > 0]
        self._look_s: Final = min([_LOOK_S_MAX, *(ms / 1000 / _LOOKS for ms in limits_ms)])
        rows = [self._rows_of(stream) for stream in shard.streams]
        self._rows: Final[Rows] = np.unique(np.concatenate(rows))
        self._symbols: Final = sorted(
            {i for stream in shard.streams for i in self._indices(stream)}
        )
        self._row: Final[Rows] = np.array([r[0] if len(r) else -1 for r in rows], np.int64)
        """Of each stream, the row that counts what was heard of it; -1 for one without."""
        self._socket: MarketSocket | None = None
        self._due_s = self._retry_s = 0.0
        self._connects = self._handovers = self._resubscribed = 0
        self._why = ""

    async def run(self) -> None:
        """Hold it, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                socket = await self._connect(nursery, Role.IN_CHARGE)
                if socket is not None:
                    await self._live(nursery, socket)
                await trio.sleep(self._backoff.next_s())

    @property
    def lanes(self) -> Sequence[Lane]:
        """For their counts."""
        return self._lanes

    def status(self) -> ShardStatus:
        """The figures now."""
        socket = self._socket
        return ShardStatus(
            name=self._shard.name,
            streams=len(self._shard.streams),
            subscribed=socket is not None and socket.is_subscribed,
            connects=self._connects,
            handovers=self._handovers,
            resubscribed=self._resubscribed,
            stale=self._freshness.stale,
            last_end=self._why,
        )

    # ---- one socket after another

    async def _connect(self, nursery: trio.Nursery, role: Role) -> MarketSocket | None:
        """Open a socket when it is our turn; None if that fails."""
        parts = self._parts
        await trio.sleep(parts.attempts.take(trio.current_time()))
        in_use = self._socket.lane if self._socket is not None else None
        lane = next(lane for lane in self._lanes if lane is not in_use)
        socket = MarketSocket(
            parts.streams_url,
            self._shard,
            lane,
            parts.sink,
            parts.clock,
            parts.idle,
            parts.notice,
        )
        stands = False
        try:
            await nursery.start(socket.run, role, self._mark_break)
            stands = True
        except* Unavailable:
            pass  # `connects` shows it, and what it loses is said once the next one stands
        if not stands:
            return None
        self._connects += 1
        return socket

    async def _live(self, nursery: trio.Nursery, socket: MarketSocket) -> None:
        """Keep the shard alive from a connection to the next break."""
        while True:
            if socket is not self._socket:  # and not the old one again, which is as old as it was
                self._socket = socket
                life_s = self._parts.terms.lifetime_s * (1.0 - _LIFE_JITTER * self._rng.random())
                self._due_s = trio.current_time() + life_s
            due = await self._until_due(socket)
            self._why = due.value
            if due.is_break:
                socket.leave()
                await socket.ended.wait()
                break
            socket = await self._hand_over(nursery, socket)
        self._socket = None
        self._is_broken = True
        if self._parts.books is not None:
            self._parts.books.cut(self._shard.streams)
        self._parts.notice()

    async def _until_due(self, socket: MarketSocket) -> Due:
        """Read until there is a reason to stop."""
        terms = self._parts.terms
        opened_ms = heard_ms = self._now_ms()
        heard, has_begun = socket.heard, False
        while True:
            with trio.move_on_after(self._look_s):
                await socket.ended.wait()
            if socket.ended.is_set():
                return Due.ENDED
            now_ms = self._now_ms()
            if socket.heard != heard:
                heard, heard_ms = socket.heard, now_ms
                self._backoff.succeeded()  # a server that only accepts and closes does not get this far
            elif 0 < terms.silence_ms <= now_ms - heard_ms:
                return Due.SILENT
            if not socket.is_subscribed:
                if now_ms - opened_ms >= terms.acknowledge_ms:
                    return Due.UNACKNOWLEDGED
                continue
            if not has_begun:
                has_begun = True
                self._freshness.begin(self._counts(socket), now_ms)
            if (due := await self._why_replace(socket, now_ms)) is not None:
                return due

    async def _why_replace(self, socket: MarketSocket, now_ms: int) -> Due | None:
        """Whether it is time for another socket; what a silent stream can be helped by before is done here."""
        look = self._freshness.look(self._counts(socket), now_ms)
        if look.resubscribe:
            self._resubscribed += len(look.resubscribe)
            socket.resubscribe(look.resubscribe)
            broken = [stream for stream in look.resubscribe if kind_of(stream) in RESTLESS]
            await self._mark_gaps(sorted({i for each in broken for i in self._indices(each)}))
            self._parts.notice()
        now_s = trio.current_time()
        if now_s < self._retry_s:
            return None
        if socket.shutdown_announced.is_set():
            return Due.SHUTDOWN
        if look.replace:
            return Due.STALE
        return Due.AGE if now_s >= self._due_s else None

    # ---- a handover

    async def _hand_over(self, nursery: trio.Nursery, old: MarketSocket) -> MarketSocket:
        """Bring a new socket into charge and let the old one go; returns the one in charge."""
        admission = self._parts.admission
        admission.part(self._rows)
        successors: list[MarketSocket] = []
        async with trio.open_nursery() as watch:
            watch.start_soon(self._rest_books_after, old, successors)
            newcomer = await self._connect(nursery, Role.NEWCOMER)
            if newcomer is not None:
                successors.append(newcomer)
                with trio.move_on_after(self._parts.terms.handover_ms / 1000):
                    await self._run_together(old, newcomer)
            watch.cancel_scope.cancel()
        has_failed = newcomer is None or newcomer.ended.is_set()
        if newcomer is None or (not old.ended.is_set() and (has_failed or not _speaks(newcomer))):
            admission.join(self._rows)
            self._retry_s = trio.current_time() + self._backoff.next_s()
            if newcomer is not None:
                newcomer.leave()
                await newcomer.ended.wait()
            return old
        have_met = newcomer.subscribed_s < old.ended_s
        behind = admission.parted(self._rows) if have_met else self._rows
        await self._mark_gaps(np.unique(behind // len(Series)))
        admission.break_off(behind)
        admission.join(self._rows)
        old.lane.role, newcomer.lane.role = Role.RETIRED, Role.IN_CHARGE
        self._handovers += 1
        self._parts.notice()
        while old.lane.is_waiting:  # what it took before has to get into the ring
            await trio.sleep(_POLL_S)
        old.leave()
        await old.ended.wait()
        return newcomer

    async def _run_together(self, old: MarketSocket, newcomer: MarketSocket) -> None:
        """Return once the newcomer can go on alone, or one of both has ended.

        An old one that is silent while the newcomer goes on speaking has ended as well: what that one brings is held back for
        nothing.
        """
        terms = self._parts.terms
        with trio.move_on_after(terms.overlap_ms / 1000):
            await old.ended.wait()
        heard, heard_ms, spoken = old.heard, self._now_ms(), newcomer.heard
        while not old.ended.is_set() and not newcomer.ended.is_set():
            if old.heard != heard:
                heard, heard_ms, spoken = old.heard, self._now_ms(), newcomer.heard
            is_silent = 0 < terms.silence_ms <= self._now_ms() - heard_ms
            is_silent = is_silent and newcomer.heard - spoken > _SPEAKS_ON
            is_behind = len(self._parts.admission.parted(self._rows)) > 0
            if _speaks(newcomer) and (is_silent or not is_behind):
                return
            await trio.sleep(_POLL_S)

    async def _rest_books_after(self, old: MarketSocket, successors: list[MarketSocket]) -> None:
        """Where a socket ends that nobody has succeeded yet, the books rest; what follows without a hole brings them back."""
        await old.ended.wait()
        is_alone = not any(each.is_subscribed for each in successors)
        if is_alone and self._parts.books is not None:
            self._parts.books.cut(self._shard.streams)

    # ---- gaps and counts

    async def _mark_break(self) -> None:
        """Say that something is missing, if it is."""
        if self._is_broken:
            self._is_broken = False
            self._parts.admission.break_off(self._rows)
            await self._mark_gaps(self._symbols)

    async def _mark_gaps(self, symbols: Iterable[int]) -> None:
        recv_us = received_us(self._parts.clock.monotonic_ns())
        await self._parts.sink.mark_gaps(map(int, symbols), recv_us)

    def _rows_of(self, stream: str) -> Rows:
        """The rows of the table that a stream brings ticks for."""
        series = _SERIES.get(kind_of(stream))
        indices = [] if series is None else self._indices(stream)
        return np.array(indices, np.int64) * len(Series) + (series or 0)

    def _indices(self, stream: str) -> list[int]:
        """The symbols of ours that a stream tells of."""
        symbols, symbol = self._parts.symbols, symbol_of(stream)
        if symbol.startswith("!"):
            return list(symbols.values())
        return [symbols[symbol]] if symbol in symbols else []

    def _counts(self, socket: MarketSocket) -> Rows:
        """How many events each stream has brought."""
        counts: Rows = self._parts.admission.rows["heard"][self._row]
        for index in np.flatnonzero(self._row < 0):
            counts[index] = socket.messages[self._shard.streams[index]]
        return counts

    def _now_ms(self) -> int:
        return round(trio.current_time() * 1000)


def _speaks(socket: MarketSocket) -> bool:
    return socket.is_subscribed and socket.heard > 0
