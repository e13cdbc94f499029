"""The engine: everything that trades, opened as one block and closed to the last descriptor.

with closing(Journal(path)) as journal:
    async with open_engine(config, addresses, credentials, journal) as engine:
        await engine.ready()
        ...
        report = await engine.wind_down("end of the run")
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final

import attrs
import structlog
import trio

from aegis.actors.brain_report import BrainReport
from aegis.actors.delivery import ask_again
from aegis.actors.executor_report import ExecutorReport
from aegis.actors.feed import FeedRecord, FeedReport
from aegis.actors.garbage import GarbageReport
from aegis.actors.gate import GateReport
from aegis.actors.historian import HistorianReport
from aegis.actors.reconciler import Reconciliation
from aegis.actors.scribe import ScribeReport
from aegis.actors.strategist import StrategistReport
from aegis.compiled import until_it_ends
from aegis.config import Config
from aegis.cpu_latency import request_cpu_latency
from aegis.errors import Refused, Unavailable
from aegis.kernel import ActorRef, open_system
from aegis.kernel.bus import Bus
from aegis.kernel.clock import Clock, SystemClock
from aegis.kernel.cores import keep_to_the_last_core
from aegis.kernel.process import Child
from aegis.market.book_top import BOOK_TOP, BookTops
from aegis.market.records import TICK
from aegis.messages import (
    CancelOrders,
    CatchUp,
    ClosePositions,
    Fingerprint,
    Halt,
    QuoteOf,
    Reconcile,
    Report,
    Seal,
)
from aegis.playbook import read_playbook
from aegis.shm import Policy, Ring
from aegis.shm.board import Board
from aegis.staging import Parts, start
from aegis.store import recovery
from aegis.store.journal import Entry, Journal
from aegis.topology import Cast
from aegis.venue.addresses import Addresses
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.signing import Credentials
from aegis.vigil import Vigil

__all__ = ["Engine", "EngineReport", "open_engine"]

_log = structlog.get_logger(__name__)
_ASK_S: Final = 5.0
_COMPARE_S: Final = 15.0
_POLL_S: Final = 0.02


@attrs.frozen
class EngineReport:
    """What every actor has to say, at one moment."""

    feed: FeedReport
    brain: BrainReport
    strategists: tuple[StrategistReport, ...]
    gate: GateReport
    executor: ExecutorReport
    scribe: ScribeReport
    garbage: GarbageReport
    history: HistorianReport | None
    """None where no candles are loaded."""
    marks: dict[str, float]
    reconciliation: Reconciliation | None
    """None while the engine runs."""
    journal_agrees: bool
    """Whether the fold of the journal is the live state; True while the engine runs."""

    @property
    def proposed(self) -> int:
        """Signals, whoever proposed them."""
        return self.brain.proposed + sum(each.proposed for each in self.strategists)

    @property
    def superseded(self) -> int:
        """Of these, those that a newer one replaced before they were judged."""
        return self.brain.superseded + sum(each.superseded for each in self.strategists)

    @property
    def unsent(self) -> int:
        """Of these, those that found the Gate gone."""
        return self.brain.unsent + sum(each.unsent for each in self.strategists)


class Engine:
    """A running engine. Made by `open_engine`.

    `bus` carries the topics of `aegis.topics`, for those who only want to listen. `books` has the tops of
    the order books, None where the configuration asks for none.
    """

    def __init__(
        self, config: Config, cast: Cast, journal: Journal, bus: Bus, books: BookTops | None = None
    ) -> None:
        self.bus = bus
        self.books = books
        self._config = config
        self._cast = cast
        self._journal = journal

    async def ready(self) -> None:
        """Return once every market stream is subscribed."""
        while not (await ask_again(self._cast.feed, Report(), _ASK_S)).subscribed:
            await trio.sleep(_POLL_S)

    async def caught_up(self) -> None:
        """Return once every strategy has looked at each bar that it was told of by now, however long it takes for one."""
        await self._ask(self._cast.brain, CatchUp(), math.inf)
        for strategist in self._cast.strategists:
            await ask_again(strategist, CatchUp(), math.inf)

    async def wind_down(self, why: str) -> EngineReport:
        """Stop trading in order: entries, resting orders, positions as configured, books compared, journal sealed.

        Every step is bounded; what could not be done shows in the report.
        """
        cast = self._cast
        await self._ask(cast.gate, Halt(why))
        with trio.move_on_after(self._config.run.stop_timeout_ms / 1000):
            await self._ask(cast.executor, CancelOrders())
            await self._settle()
        for proposer in (cast.brain, *cast.strategists):
            await ask_again(proposer, Halt(why), _ASK_S)
        await self._last_verdicts()
        agreement = await self._compare()
        report = await self._report()
        fingerprint = await self._ask(cast.executor, Fingerprint())
        for actor in (
            cast.reconciler,
            cast.executor,
        ):  # nothing is written down after the last entry
            await actor.stop(why)
        ended = Entry("run_ended", {"why": why, "reconciled": agreement.agreed})
        scribe = await self._ask(cast.scribe, Seal(ended))
        folded = await trio.to_thread.run_sync(self._fold)  # a second and more, of a long journal
        return attrs.evolve(
            report,
            scribe=scribe,
            reconciliation=agreement,
            journal_agrees=folded == fingerprint,
        )

    def _fold(self) -> str:
        """What the journal says, now that nobody writes to it any more."""
        return recovery.fold(self._journal.rows()).fingerprint()

    async def _compare(self) -> Reconciliation:
        try:
            result = await self._ask(self._cast.reconciler, Reconcile(), timeout=_COMPARE_S)
        except (trio.TooSlowError, Unavailable) as why:
            return Reconciliation(agreed=False, differences=(f"not compared: {why!r}",))
        return Reconciliation(result.agreed, result.differences)

    async def _settle(self) -> None:
        """Wait until no order may still fill and, where that is configured, nothing is held.

        What is held is closed meanwhile, symbol by symbol, as soon as no order of its own is in the way: an order that nobody
        has answered keeps no other position open. Again where a stop or a late fill came in between.
        """
        while True:
            # In this order: what has filled by the first answer the Gate has heard of before the second question.
            orders = (await self._ask(self._cast.executor, Report())).open_orders
            held = self._config.run.on_stop == "close" and await self._ask(
                self._cast.gate, ClosePositions()
            )
            if not held and not orders:
                return
            await trio.sleep(_POLL_S)

    async def _last_verdicts(self) -> None:
        """Wait until the Gate has judged every signal that reached it."""
        proposers = [await self._ask(self._cast.brain, Report()), *await self._strategists()]
        due = sum(each.proposed - each.superseded - each.unsent for each in proposers)
        with trio.move_on_after(_ASK_S):
            while True:
                gate: GateReport = await self._ask(self._cast.gate, Report())
                if gate.approved + gate.refused + gate.expired >= due:
                    return
                await trio.sleep(_POLL_S)

    async def report(self) -> EngineReport:
        """The figures now.

        Raises:
            trio.TooSlowError, Unavailable: an actor is too busy, or has ended.
        """
        return await self._report()

    async def _report(self) -> EngineReport:
        cast = self._cast
        return EngineReport(
            # Whose worker may die just now: then the next incarnation is asked.
            feed=await ask_again(cast.feed, Report(), _ASK_S),
            brain=await self._ask(cast.brain, Report()),
            strategists=await self._strategists(),
            gate=await self._ask(cast.gate, Report()),
            executor=await self._ask(cast.executor, Report()),
            scribe=await self._ask(cast.scribe, Report()),
            garbage=await self._ask(cast.janitor, Report()),
            history=None if cast.historian is None else await self._ask(cast.historian, Report()),
            marks=await self._ask(cast.brain, QuoteOf()),
            reconciliation=None,
            journal_agrees=True,
        )

    async def _strategists(self) -> tuple[StrategistReport, ...]:
        """Their reports; one whose strategy fails just now is asked again."""
        refs = self._cast.strategists
        return tuple([await ask_again(ref, Report(), _ASK_S) for ref in refs])

    async def _ask(self, ref: ActorRef, question: object, timeout: float = _ASK_S) -> Any:
        return await ref.ask(question, timeout=timeout)


@asynccontextmanager
async def open_engine(
    config: Config,
    addresses: Addresses,
    credentials: Credentials,
    journal: Journal,
    *,
    ring: Ring | None = None,
    board: Board | None = None,
    worker: Child | None = None,
    seed: int = 0,
    clock: Clock | None = None,
) -> AsyncIterator[Engine]:
    """Start an engine; leaving the block ends everything that it started.

    Args:
        config: what to trade, and how.
        addresses: where.
        credentials: as whom.
        journal: where it is written down; it stays the caller's, who closes it after the block.
        ring: what ticks come through, if it exists already; it stays the caller's.
        board: what the order books are shown on, if it exists already: a row a symbol, at least.
        worker: a feed worker that was started ahead with the descriptors of both.
        seed: of the actors' chance.
        clock: the machine's, unless told otherwise.

    Raises:
        Refused: the ring, a strategy or a symbol cannot be used, or the cores cannot be kept awake; nothing is left running.
        Unavailable: the exchange cannot be reached.
    """
    clock = clock or SystemClock()
    policy = Policy.GATE if config.feed.lossless else Policy.LOSSY
    playbook = read_playbook(config)
    ledger = await trio.to_thread.run_sync(recovery.fold, journal.rows())
    with ExitStack() as opened:
        if config.run.own_core and not opened.enter_context(keep_to_the_last_core()):
            _log.info(
                "core_shared", why="there is no other, or another engine's loop has the last one"
            )
        resting = opened.enter_context(request_cpu_latency(config.run.cpu_latency_us))
        if resting:
            _log.info("idle_cores_rest", why=resting)
        if config.run.keep_awake and (resting or config.run.cpu_latency_us):
            opened.enter_context(Vigil())
        ring = ring or opened.enter_context(Ring.create(TICK, config.feed.ring_capacity))
        reader = opened.enter_context(ring.reader("brain", policy=policy))
        books = None
        if config.feed.depth:
            rows = len(config.symbols)
            board = board or opened.enter_context(Board.create(BOOK_TOP, rows))
            if board.rows < rows:
                raise Refused(
                    f"a board of {board.rows} rows does not hold the books of {rows} symbols"
                )
            books = BookTops(opened.enter_context(board.reader()), config.symbols)
        feed, forbid = FeedRecord(spare=worker), opened.enter_context(until_it_ends())
        async with BinanceRest(
            addresses.rest, credentials, clock, timeout_s=config.venue.order_timeout_ms / 1000
        ) as rest:
            parts = Parts(
                config=config,
                rest=rest,
                streams_url=addresses.streams,
                journal=journal,
                ledger=ledger,
                playbook=playbook,
                ring=ring,
                reader=reader,
                feed=feed,
                rest_url=addresses.rest,
                board=board,
                books=books,
                forbid_compiling=forbid,
            )
            async with open_system("aegis", clock=clock, seed=seed) as system:
                yield Engine(config, await start(system, parts), journal, parts.bus, books)
