"""The staging: the actors of an engine, made of their parts, from the end of the flow to its beginning."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import attrs
import structlog

from aegis.actors.brain import Brain
from aegis.actors.executor import Executor
from aegis.actors.feed import Feed, FeedRecord
from aegis.actors.feed_protocol import SocketTerms, WorkerOrders
from aegis.actors.gate import Gate
from aegis.actors.historian import Historian
from aegis.actors.janitor import Janitor
from aegis.actors.reconciler import Reconciler
from aegis.actors.scribe import Scribe
from aegis.actors.strategist import start_strategists
from aegis.actors.user_stream import listen_to_account
from aegis.config import Config
from aegis.errors import Refused
from aegis.kernel import ActorRef, System
from aegis.kernel.bus import Bus
from aegis.kernel.clock import seeded_random
from aegis.market.analysis import Analysis
from aegis.market.book_top import BookTops
from aegis.market.desk import Desk
from aegis.market.parameters import BarKind
from aegis.market.records import MAX_EVENT_NS
from aegis.messages import Follow, Record
from aegis.orders.ids import ClientIds
from aegis.orders.ledger import Ledger
from aegis.orders.payment import LATE_MS
from aegis.playbook import Playbook
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.shm.reader import Reader
from aegis.store import recovery
from aegis.store.journal import Entry, Journal
from aegis.topology import ROLES, Cast
from aegis.venue.backoff import Backoff
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.binance_streams import depth_streams, tick_streams
from aegis.venue.klines import interval_name
from aegis.venue.port import AccountView

__all__ = ["Parts", "start"]

_log = structlog.get_logger(__name__)


@attrs.frozen
class Parts:
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
    rest_url: str
    board: Board | None
    """Where the worker shows the tops of the order books, if it keeps any."""
    books: BookTops | None
    forbid_compiling: Callable[[], None]
    """Called when everything is there that is compiled."""
    bus: Bus = attrs.Factory(Bus)


async def start(system: System, parts: Parts) -> Cast:
    """Ask the exchange what is true, then start the actors from the end of the flow to its beginning."""
    config, rest = parts.config, parts.rest
    await rest.sync_clock()
    instruments = await rest.instruments(config.symbols)
    if obstacle := await rest.obstacle():
        raise Refused(f"the account cannot be traded with: {obstacle}")
    account, at_ms, paid = await _steady_account(rest)
    scribe = await _spawn(system, "scribe", Scribe, parts.journal)
    opening = (
        Entry("run_started", {"run": parts.journal.run, "symbols": list(config.symbols)}),
        recovery.adopted(account.wallet, account.positions, at_ms, paid),
    )
    await scribe.send(Record(opening))
    parts.ledger.adopt(account.wallet, account.positions, at_ms, paid)
    for symbol, why in parts.ledger.unguarded(config.symbols).items():
        _log.warning("position_not_guarded", symbol=symbol, why=why)
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
        ids=ClientIds(parts.journal.run, at_ms),
        signal_ttl_ms=config.run.signal_ttl_ms,
        bus=parts.bus,
    )
    strategists, brain = await _start_deciding(system, parts, gate)
    for follower in (gate, brain, *strategists):
        await executor.send(Follow(follower))
    orders = _worker_orders(config, parts)
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
    system: System, parts: Parts, gate: ActorRef
) -> tuple[tuple[ActorRef, ...], ActorRef]:
    """Start whoever proposes: a Strategist for each strategy in plain Python, and the Brain with the compiled ones."""
    config, playbook = parts.config, parts.playbook
    analysis = Analysis(
        len(config.symbols),
        config.strategy,
        playbook.compiled(config.symbols),
    )
    if _has_history(config):
        for index in range(len(config.symbols)):
            analysis.begin_bars_at(index, MAX_EVENT_NS)  # the Historian says when
    desks = [Desk(plan, config.strategy, parts.books) for plan in playbook.plans]
    parts.forbid_compiling()
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


def _worker_orders(config: Config, parts: Parts) -> WorkerOrders:
    """All that the feed worker has to know."""
    feed = config.feed
    deadlines_ms = {
        "markPrice": feed.mark_silence_ms,
        "bookTicker": feed.quote_silence_ms,
        "aggTrade": feed.trade_silence_ms,
        "trade": feed.trade_silence_ms,
    }
    streams = tick_streams(config.symbols, feed.trade_stream)
    if feed.depth:
        streams += depth_streams(config.symbols, feed.depth)
    return WorkerOrders(
        ring_fd=parts.ring.fd,
        wake_fds=parts.ring.wake_fds,
        streams_url=parts.streams_url,
        streams=tuple(streams),
        symbols=config.symbols,
        lossless=feed.lossless,
        terms=SocketTerms(
            silence_ms=feed.silence_ms,
            deadlines_ms=deadlines_ms,
            lifetime_s=feed.socket_lifetime_s,
        ),
        broken_before=False,
        streams_per_socket=feed.streams_per_socket,
        future_ms=feed.future_ms,
        jump_sigmas=feed.jump_sigmas,
        board_fd=parts.board.fd if feed.depth and parts.board is not None else -1,
        rest_url=parts.rest_url,
    )


async def _steady_account(rest: BinanceRest) -> tuple[AccountView, int, frozenset[str]]:
    """The account, and a moment of exchange time at which it was like that: what traded before is in it.

    Beside it the ids of the last payments that the exchange told of then: these are in it as well.
    """
    while True:
        before = await rest.account()
        at_ms = rest.exchange_ms()
        paid = await rest.payments(at_ms - LATE_MS)
        if await rest.account() == before:
            return before, at_ms, frozenset(each.payment_id for each in paid.payments)


async def _spawn(
    system: System, name: str, actor: type[Any], *args: object, **kwargs: object
) -> ActorRef:
    return await system.spawn(actor, *args, name=name, policy=ROLES[name].policy, **kwargs)
