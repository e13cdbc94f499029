"""The engine: everything that trades, opened as one block and closed to the last descriptor.

async with open_engine(config, addresses, credentials, journal_path) as engine:
    await engine.ready()
    ...
    report = await engine.wind_down("end of the run")
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, Final

import attrs
import trio

from aegis.actors.brain import Brain, BrainReport
from aegis.actors.delivery import ask_again
from aegis.actors.executor import Executor, ExecutorReport
from aegis.actors.feed import Feed, FeedRecord, FeedReport
from aegis.actors.feed_protocol import WorkerOrders
from aegis.actors.garbage import GarbageReport
from aegis.actors.gate import Gate, GateReport
from aegis.actors.historian import Historian, HistorianReport
from aegis.actors.janitor import Janitor
from aegis.actors.reconciler import Reconciler, Reconciliation
from aegis.actors.scribe import Scribe, ScribeReport
from aegis.actors.strategist import StrategistReport, start_strategists
from aegis.actors.user_stream import listen_to_account
from aegis.compiled import forbid_compiling
from aegis.config import Config
from aegis.errors import Unavailable
from aegis.kernel import ActorRef, System, open_system
from aegis.kernel.bus import Bus
from aegis.kernel.clock import Clock, SystemClock, seeded_random
from aegis.kernel.process import Child
from aegis.market.analysis import Analysis
from aegis.market.desk import Desk
from aegis.market.parameters import BarKind
from aegis.market.records import MAX_EVENT_NS, TICK
from aegis.messages import (
    CancelOrders,
    ClosePositions,
    Fingerprint,
    Follow,
    Halt,
    QuoteOf,
    Reconcile,
    Record,
    Report,
    Seal,
)
from aegis.orders.ids import ClientIds
from aegis.orders.ledger import Ledger
from aegis.playbook import Playbook, read_playbook
from aegis.shm import Policy, Ring
from aegis.shm.reader import Reader
from aegis.store import recovery
from aegis.store.journal import Entry, Journal
from aegis.topology import ROLES, Cast
from aegis.venue.addresses import Addresses
from aegis.venue.backoff import Backoff
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.binance_streams import tick_streams
from aegis.venue.klines import interval_name
from aegis.venue.port import AccountView
from aegis.venue.signing import Credentials

__all__ = ["Engine", "EngineReport", "open_engine"]

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


@attrs.frozen
class _Parts:
    """What the actors are made of."""

    config: Config
    rest: BinanceRest
    streams_url: str
    journal: Journal
    ledger: Ledger
    playbook: Playbook
    ring: Ring
    reader: Reader
    feed: FeedRecord
    bus: Bus = attrs.Factory(Bus)


class Engine:
    """A running engine. Made by `open_engine`.

    `bus` carries the topics of `aegis.topics`, for those who only want to listen.
    """

    def __init__(self, config: Config, cast: Cast, journal: Journal, bus: Bus) -> None:
        self.bus = bus
        self._config = config
        self._cast = cast
        self._journal = journal

    async def ready(self) -> None:
        """Return once every market stream is subscribed."""
        while not (await self._ask(self._cast.feed, Report())).subscribed:
            await trio.sleep(_POLL_S)

    async def wind_down(self, why: str) -> EngineReport:
        """Stop trading in order: entries, resting orders, positions as configured, books compared, journal sealed.

        Every step is bounded; what could not be done shows in the report.
        """
        cast = self._cast
        await self._ask(cast.gate, Halt(why))
        with trio.move_on_after(self._config.run.stop_timeout_ms / 1000):
            await self._ask(cast.executor, CancelOrders())
            await self._settle()
            if self._config.run.on_stop == "close":
                await self._close_positions()
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
        folded = recovery.fold(self._journal.rows()).fingerprint()
        return attrs.evolve(
            report,
            scribe=scribe,
            reconciliation=agreement,
            journal_agrees=folded == fingerprint,
        )

    async def _compare(self) -> Reconciliation:
        try:
            result = await self._ask(self._cast.reconciler, Reconcile(), timeout=_COMPARE_S)
        except (trio.TooSlowError, Unavailable) as why:
            return Reconciliation(agreed=False, differences=(f"not compared: {why!r}",))
        return Reconciliation(result.agreed, result.differences)

    async def _settle(self) -> None:
        """Wait until no order may still fill."""
        while (await self._ask(self._cast.executor, Report())).open_orders:
            await trio.sleep(_POLL_S)

    async def _close_positions(self) -> None:
        """Close what is held; again where a stop or a late fill came in between."""
        while await self._ask(self._cast.gate, ClosePositions()):
            await self._settle()

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
            trio.TooSlowError, Unavailable: an actor is too busy, or just being restarted.
        """
        return await self._report()

    async def _report(self) -> EngineReport:
        cast = self._cast
        return EngineReport(
            feed=await self._ask(cast.feed, Report()),
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
        worker: a feed worker that was started ahead with that ring's descriptors.
        seed: of the actors' chance.
        clock: the machine's, unless told otherwise.

    Raises:
        Refused: the ring, a strategy or a symbol cannot be used; nothing is left running.
        Unavailable: the exchange cannot be reached.
    """
    clock = clock or SystemClock()
    policy = Policy.GATE if config.feed.lossless else Policy.LOSSY
    playbook = read_playbook(config)
    ledger = recovery.fold(journal.rows())
    with ExitStack() as opened:
        ring = ring or opened.enter_context(Ring.create(TICK, config.feed.ring_capacity))
        reader = opened.enter_context(ring.reader("brain", policy=policy))
        feed = FeedRecord(spare=worker)
        async with BinanceRest(
            addresses.rest, credentials, clock, timeout_s=config.venue.order_timeout_ms / 1000
        ) as rest:
            parts = _Parts(
                config, rest, addresses.streams, journal, ledger, playbook, ring, reader, feed
            )
            async with open_system("aegis", clock=clock, seed=seed) as system:
                yield Engine(config, await _start(system, parts), journal, parts.bus)


async def _start(system: System, parts: _Parts) -> Cast:
    """Ask the exchange what is true, then start the actors from the end of the flow to its beginning."""
    config, rest = parts.config, parts.rest
    await rest.sync_clock()
    instruments = await rest.instruments(config.symbols)
    account, at_ms = await _steady_account(rest)
    scribe = await _spawn(system, "scribe", Scribe, parts.journal)
    opening = (
        Entry("run_started", {"run": parts.journal.run, "symbols": list(config.symbols)}),
        recovery.adopted(account.wallet, account.positions, at_ms),
    )
    await scribe.send(Record(opening))
    parts.ledger.adopt(account.wallet, account.positions, at_ms)
    backoff = Backoff(seeded_random("user stream"))
    listen = partial(listen_to_account, parts.streams_url, rest.open_listen_key, backoff)
    executor = await _spawn(
        system, "executor", Executor, rest, listen, scribe, parts.ledger, parts.bus
    )
    gate = await _spawn(
        system,
        "gate",
        Gate,
        executor,
        scribe,
        instruments=instruments,
        limits=config.limits,
        ids=ClientIds(parts.journal.run),
        signal_ttl_ms=config.run.signal_ttl_ms,
        bus=parts.bus,
    )
    strategists, brain = await _start_deciding(system, parts, gate)
    for follower in (gate, brain, *strategists):
        await executor.send(Follow(follower))
    orders = WorkerOrders(
        ring_fd=parts.ring.fd,
        wake_fds=parts.ring.wake_fds,
        streams_url=parts.streams_url,
        streams=tuple(tick_streams(config.symbols, config.feed.trade_stream)),
        symbols=config.symbols,
        lossless=config.feed.lossless,
        silence_ms=config.feed.silence_ms,
        broken_before=False,
    )
    feed = await _spawn(system, "feed", Feed, orders, parts.feed)
    reconciler = await _spawn(system, "reconciler", Reconciler, rest, executor, scribe, gate)
    historian = None
    if _has_history(config):
        wanted = config.symbols, config.strategy.interval_ms, config.feed.history_bars
        historian = await _spawn(system, "historian", Historian, rest, feed, brain, *wanted)
    janitor = await _spawn(system, "janitor", Janitor)
    return Cast(feed, brain, strategists, gate, executor, reconciler, scribe, janitor, historian)


def _has_history(config: Config) -> bool:
    """Whether the exchange has candles such as the analysis makes."""
    bars = config.strategy
    return (
        config.feed.history_bars > 0
        and bars.bar_kind is BarKind.TIME
        and interval_name(bars.interval_ms) is not None
    )


async def _start_deciding(
    system: System, parts: _Parts, gate: ActorRef
) -> tuple[tuple[ActorRef, ...], ActorRef]:
    """Start whoever proposes: a Strategist for each strategy in plain Python, and the Brain with the compiled ones."""
    config, playbook = parts.config, parts.playbook
    analysis = Analysis(len(config.symbols), config.strategy, playbook.compiled(config.symbols))
    if _has_history(config):
        for index in range(len(config.symbols)):
            analysis.begin_bars_at(index, MAX_EVENT_NS)  # the Historian says when
    desks = [Desk(plan, config.strategy) for plan in playbook.plans]
    forbid_compiling()
    ids = count(1)
    strategists = await start_strategists(system, desks, gate, ids, parts.bus)
    brain = await _spawn(
        system,
        "brain",
        Brain,
        parts.reader,
        analysis,
        config.symbols,
        gate,
        parts.bus,
        strategists={
            symbol: [ref for desk, ref in strategists if symbol in desk.plan.symbols]
            for symbol in config.symbols
        },
        ids=ids,
        conflate_ms=config.feed.conflate_ms,
    )
    return tuple(ref for _, ref in strategists), brain


async def _steady_account(rest: BinanceRest) -> tuple[AccountView, int]:
    """The account, and a moment of exchange time at which it was like that: what traded before is in it."""
    while True:
        before = await rest.account()
        at_ms = rest.exchange_ms()
        if await rest.account() == before:
            return before, at_ms


async def _spawn(
    system: System, name: str, actor: type[Any], *args: object, **kwargs: object
) -> ActorRef:
    return await system.spawn(actor, *args, name=name, policy=ROLES[name].policy, **kwargs)
