"""The whole engine, its worker process included, against the simulated exchange over loopback."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from aegis.config import Config, FeedConfig, RunConfig, StrategyConfig
from aegis.cpu_latency import request_cpu_latency
from aegis.engine import Engine, EngineReport, open_engine
from aegis.errors import ActorRestarting, Refused
from aegis.kernel import ActorRef, cores
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import own_children
from aegis.market.parameters import Parameters
from aegis.market.strategy import NoParameters, Proposal, Strategy
from aegis.market.view import View
from aegis.orders.ledger import Ledger
from aegis.orders.order import Ticket
from aegis.sim import ExchangeOptions, OrderFaultKind, Server, serve_exchange
from aegis.sim.endpoint import Endpoint, Security
from aegis.sim.invariants import check_venue
from aegis.sim.rest import ENDPOINTS
from aegis.sim.routes import Route
from aegis.store import recovery
from aegis.store.journal import Journal, Row, read_rows, verify
from aegis.topics import OrderFilled, OrderRequest, SignalGenerated, TickUpdate
from aegis.venue import outcome
from aegis.venue.addresses import Addresses
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.port import Placed
from aegis.venue.signing import Credentials

pytestmark = pytest.mark.processes

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
CONFIG = Config(
    symbols=SYMBOLS,
    strategy=Parameters(interval_ms=100, pivot_bars=1, atr_period=2),
    feed=FeedConfig(silence_ms=500),
)


def wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@asynccontextmanager
async def trading(journal: Path, config: Config = CONFIG) -> AsyncIterator[tuple[Server, Engine]]:
    """An exchange and an engine that trades on it."""
    options = ExchangeOptions(seed=11, symbols=SYMBOLS)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, options, wall_ms=wall_ms))
        addresses = Addresses(server.rest_url, server.streams_url)
        credentials = Credentials(options.api_key, options.api_secret)
        with closing(Journal(journal)) as book, trio.fail_after(60):
            async with open_engine(config, addresses, credentials, book) as engine:
                yield server, engine
        nursery.cancel_scope.cancel()


async def until(engine: Engine, reached: Callable[[EngineReport], bool]) -> EngineReport:
    """Wait for what the engine reports; `trading` bounds it."""
    while True:
        report = await engine.report()
        if reached(report):
            return report
        await trio.sleep(0.02)


def _has_traded_and_holds(report: EngineReport) -> bool:
    return report.executor.fills >= 4 and bool(report.executor.positions)


def assert_books_agree(
    server: Server, report: EngineReport, journal: Path, earlier_trades: int = 0
) -> None:
    """Engine, exchange and journal tell one story; trades of an earlier run are in the adopted account."""
    assert report.reconciliation is not None
    assert report.reconciliation.differences == ()
    assert report.journal_agrees
    # The exchange keeps 8 decimals of each trade's profit, the ledger all of them.
    rounding = Decimal("1e-8") * len(server.exchange.trades)
    assert abs(report.executor.wallet - server.exchange.account.wallet) <= rounding
    check_venue(server.exchange.account, server.exchange.orders, server.exchange.trades)
    verify(journal)
    booked = recovery.fold(read_rows(journal)).portfolio.booked
    assert booked == {(t.symbol, t.id) for t in server.exchange.trades[earlier_trades:]}


async def test_engine_trades_and_agrees_with_the_exchange(tmp_path: Path) -> None:
    """From ticks to fills and back to flat: every figure is accounted for, and nothing is left."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await engine.ready()
        await until(engine, lambda report: report.executor.fills >= 10)
        report = await engine.wind_down("test")
        gate, brain = report.gate, report.brain
        judged = gate.approved + gate.refused + gate.expired
        assert brain.proposed == judged + brain.superseded + brain.unsent
        assert (brain.ticks_lost, report.feed.malformed) == (0, 0)
        assert report.executor.sent == report.executor.accepted
        assert report.executor.positions == {}
        assert_books_agree(server, report, journal)
    assert own_children() == []


async def test_the_journal_is_folded_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start and at the end: a long one takes seconds, in which everything else of the program would stand still."""
    threads, fold = [], recovery.fold

    def fold_somewhere(rows: Iterable[Row]) -> Ledger:
        threads.append(threading.get_ident())
        return fold(rows)

    monkeypatch.setattr(recovery, "fold", fold_somewhere)
    async with trading(tmp_path / "j.db") as (_, engine):
        await engine.ready()
        assert (await engine.wind_down("test")).journal_agrees
    assert len(threads) == 2
    assert threading.get_ident() not in threads


def latency_requests(pid: int) -> int:
    """How many a process holds open."""
    return sum(
        entry.is_symlink() and entry.readlink() == Path("/dev/cpu_dma_latency")
        for entry in Path(f"/proc/{pid}/fd").iterdir()
    )


async def test_engine_asks_idle_cores_to_be_quick_for_as_long_as_it_is_open(tmp_path: Path) -> None:
    """Its own process does, and no child has that from it; where the machine does not allow it, nobody does."""
    with request_cpu_latency(0) as resting:
        asks = int(not resting)
    async with trading(tmp_path / "j.db") as (_, engine):
        report = await until(engine, lambda report: report.brain.counts["bars"] > 1)
        assert latency_requests(os.getpid()) == asks
        assert latency_requests(report.feed.worker_pid) == 0
    assert latency_requests(os.getpid()) == 0


async def test_engine_keeps_a_core_awake_when_told_to(
    tmp_path: Path, idle_threads: Callable[[int], set[int]]
) -> None:
    """Where idle cores rest, for as long as it is open, and no longer."""
    config = attrs.evolve(CONFIG, run=RunConfig(cpu_latency_us=-1, keep_awake=True))
    async with trading(tmp_path / "j.db", config=config) as (_, engine):
        await engine.ready()
        assert len(idle_threads(os.getpid())) == 1
    with trio.fail_after(10):
        while idle_threads(os.getpid()):  # one that was joined is listed for a moment more
            await trio.sleep(0.001)


async def test_engine_tells_its_story_on_the_bus(tmp_path: Path) -> None:
    """Whoever listens hears ticks, signals, orders and fills, and can tell which belong together."""
    async with trading(tmp_path / "j.db") as (_, engine):
        with (
            engine.bus.subscribe(TickUpdate) as ticks,
            engine.bus.subscribe(SignalGenerated) as signals,
            engine.bus.subscribe(OrderRequest) as requests,
            engine.bus.subscribe(OrderFilled) as fills,
        ):
            tick, request, fill = await anext(ticks), await anext(requests), await anext(fills)
            signal = await anext(signals)
            while signal.signal.signal_id != request.ticket.signal_id:
                signal = await anext(signals)
            while fill.trade.client_id != request.client_id:
                fill = await anext(fills)
        assert tick.symbol in SYMBOLS
        assert tick.bid <= tick.ask
        assert signal.signal.symbol == request.ticket.symbol == fill.trade.symbol
        await engine.wind_down("test")


async def test_engine_keeps_its_positions_when_told_to(tmp_path: Path) -> None:
    """With `keep`, the end of a run cancels nothing that is held, and the books still agree."""
    journal = tmp_path / "j.db"
    config = attrs.evolve(CONFIG, run=RunConfig(on_stop="keep"))
    async with trading(journal, config) as (server, engine):
        await until(engine, lambda report: len(report.executor.positions) >= 2)
        report = await engine.wind_down("test")
        assert report.executor.positions
        assert_books_agree(server, report, journal)


class Fickle(Strategy[NoParameters]):
    """Turns from long to short and back with a target near by, and cannot bear one of the symbols."""

    def on_bar(self, view: View) -> Proposal | None:
        """Want the other side."""
        if view.symbol == SYMBOLS[1]:
            raise ValueError("not this one")
        side = -1 if view.position.side > 0 else 1
        stop, target = view.close * (1 - 0.01 * side), view.close * (1 + 0.0002 * side)
        return Proposal.entry(side, stop=stop, target=target, reason="the other side")


async def test_engine_trades_several_strategies_at_once(tmp_path: Path) -> None:
    """A compiled one and two in plain Python, one of which fails on a symbol: every signal is accounted for by name."""
    journal = tmp_path / "j.db"
    strategies = (
        StrategyConfig("breakout", symbols=SYMBOLS[3:]),
        StrategyConfig(f"{__name__}:Fickle", symbols=SYMBOLS[:3]),
        StrategyConfig("smc", interval_ms=200, parameters={"reward": 0.1, "discount": 1.0}),
    )
    async with trading(journal, attrs.evolve(CONFIG, strategies=strategies)) as (server, engine):

        def enough(report: EngineReport) -> bool:
            fickle, smc = report.strategists
            broke = report.brain.by_rule.get("breakout", 0)
            return min(broke, fickle.proposed, smc.bars, report.executor.fills - 7) > 2

        await until(engine, enough)
        report = await engine.wind_down("test")
        fickle, smc = report.strategists
        assert fickle.quarantined == {SYMBOLS[1]: "ValueError: not this one"}
        assert (smc.quarantined, report.brain.bars_lost, report.brain.bars_unsent) == ({}, 0, 0)
        judged = report.gate.approved + report.gate.refused + report.gate.expired
        assert report.proposed == judged + report.superseded + report.unsent
        assert_books_agree(server, report, journal)
    tickets = [row.decoded() for row in read_rows(journal) if row.kind == "order_intended"]
    assert {"breakout", "fickle"} <= {ticket["strategy"] for ticket in tickets}
    assert any(ticket["target"] for ticket in tickets if ticket["strategy"] == "fickle")
    ours = {ticket["symbol"] for ticket in tickets if ticket["strategy"] == "fickle"}
    assert ours <= {SYMBOLS[0], SYMBOLS[2]}
    assert own_children() == []


@pytest.mark.parametrize("fault", list(OrderFaultKind))
async def test_engine_finds_out_what_became_of_an_unanswered_order(
    tmp_path: Path, fault: OrderFaultKind
) -> None:
    """An order that executed without an answer is booked once, and never sent again."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        server.faults.spoil_next_order(fault, delay_s=0.3)
        await until(engine, lambda report: report.executor.fills >= 4)
        report = await engine.wind_down("test")
        sent = [order.client_id for order in server.exchange.orders]
        assert len(sent) == len(set(sent)) == report.executor.sent
        assert_books_agree(server, report, journal)


async def test_engine_closes_positions_while_an_order_is_still_unanswered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows of one order for seventeen seconds; what is held of other symbols does not wait for that."""
    lost = SYMBOLS[0]
    place = BinanceRest.place

    async def place_or_lose(self: BinanceRest, client_id: str, ticket: Ticket) -> Placed:
        if ticket.symbol != lost:
            return await place(self, client_id, ticket)
        await trio.lowlevel.checkpoint()
        unknown = outcome.Unknown("nobody answered, and nobody was asked")
        return Placed(unknown, SystemClock.monotonic_ns(), self.cutoff_ms())

    monkeypatch.setattr(BinanceRest, "place", place_or_lose)
    config = attrs.evolve(CONFIG, run=RunConfig(stop_timeout_ms=3_000))
    async with trading(tmp_path / "j.db", config) as (server, engine):
        await until(
            engine,
            lambda report: report.executor.unknown > 0 and len(report.executor.positions) > 1,
        )
        report = await engine.wind_down("test")
        assert report.executor.unsettled_orders
        assert report.executor.positions == {}
        assert not any(position.quantity for position in server.exchange.account.positions.values())


async def test_engine_survives_a_cut_user_stream(tmp_path: Path) -> None:
    """Fills that happened while nobody listened are found by asking."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await until(engine, lambda report: report.executor.fills >= 2)
        server.faults.drop_connections(Route.PRIVATE)
        fills = (await engine.report()).executor.fills
        await until(engine, lambda report: report.executor.fills >= fills + 4)
        assert_books_agree(server, await engine.wind_down("test"), journal)


async def test_engine_survives_an_expired_listen_key(tmp_path: Path) -> None:
    """A stream that says it is over is replaced, though its socket stays open."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await until(engine, lambda report: report.executor.fills >= 2)
        server.faults.expire_listen_key()
        fills = (await engine.report()).executor.fills
        await until(engine, lambda report: report.executor.fills >= fills + 4)
        assert_books_agree(server, await engine.wind_down("test"), journal)


async def test_engine_marks_the_gap_of_a_cut_market_stream(tmp_path: Path) -> None:
    """A market socket that was cut is connected again, and each of its symbols gets a GAP."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await until(engine, lambda report: report.brain.counts["bars"] > 4)
        server.faults.drop_connections(Route.MARKET)
        report = await until(engine, lambda report: report.brain.counts["gaps"] >= len(SYMBOLS))
        bars = report.brain.counts["bars"]
        await until(engine, lambda report: report.brain.counts["bars"] > bars + 4)
        assert_books_agree(server, await engine.wind_down("test"), journal)


async def test_engine_replaces_a_market_socket_that_fell_silent(tmp_path: Path) -> None:
    """A socket that is open and says nothing counts as dead."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await engine.ready()
        connects = (await engine.report()).feed.connects
        for symbol in SYMBOLS:
            server.faults.silence(f"{symbol.lower()}@aggTrade")
        report = await until(engine, lambda report: report.feed.connects > connects)
        assert report.feed.restarts == 0  # the worker itself lives on


async def test_the_last_core_is_the_loops_while_the_engine_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker, and the Brain's thread, which wakes the loop for every signal, run on the others."""
    monkeypatch.setattr(cores, "_CLAIM", f"\0aegis-test-{os.getpid()}-")  # others may run meanwhile
    before = os.sched_getaffinity(0)
    async with trading(tmp_path / "j.db") as (server, engine):
        report = await until(engine, lambda report: report.brain.counts["bars"] > 4)
        others = before - {max(before)} or before
        assert os.sched_getaffinity(report.brain.loop_thread) == {max(before)}
        assert os.sched_getaffinity(report.brain.step_thread) == others
        assert os.sched_getaffinity(report.feed.worker_pid) == others
        assert_books_agree(server, await engine.wind_down("test"), tmp_path / "j.db")
    assert os.sched_getaffinity(0) == before


async def test_an_engine_that_is_to_share_its_cores_runs_on_all_of_them(tmp_path: Path) -> None:
    """The scheduler decides, as it does where another engine has the last core."""
    before = os.sched_getaffinity(0)
    config = attrs.evolve(CONFIG, run=RunConfig(own_core=False))
    async with trading(tmp_path / "j.db", config) as (server, engine):
        report = await until(engine, lambda report: report.brain.counts["bars"] > 4)
        assert os.sched_getaffinity(report.brain.loop_thread) == before
        assert os.sched_getaffinity(report.brain.step_thread) == before
        assert_books_agree(server, await engine.wind_down("test"), tmp_path / "j.db")


async def test_engine_starts_a_new_worker_for_one_that_was_killed(tmp_path: Path) -> None:
    """The market goes on with a new worker on the same ring; only a GAP tells."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        report = await until(engine, lambda report: report.brain.counts["bars"] > 4)
        killed = trio.Path("/proc") / str(report.feed.worker_pid)
        await trio.run_process(["kill", "-KILL", str(report.feed.worker_pid)])
        report = await until(engine, lambda report: report.feed.restarts == 1)
        assert not await killed.exists()  # reaped, not a zombie
        bars = report.brain.counts["bars"]
        report = await until(engine, lambda report: report.brain.counts["bars"] > bars + 4)
        assert report.brain.counts["gaps"] >= len(SYMBOLS)
        assert_books_agree(server, await engine.wind_down("test"), journal)


class _RestartedOnce:
    """An actor that fails just when it is asked for the first time, and comes back."""

    def __init__(self, ref: ActorRef) -> None:
        self._ref = ref
        self._fails = True

    async def ask(self, question: object, *, timeout: float) -> Any:
        if self._fails:
            self._fails = False
            raise ActorRestarting("just now", question)
        return await self._ref.ask(question, timeout=timeout)


async def test_report_waits_for_a_feed_that_is_being_restarted(tmp_path: Path) -> None:
    """Its worker may die at any moment: whoever asks for figures is not the one to suffer from it."""
    async with trading(tmp_path / "j.db") as (_, engine):
        feed = engine._cast.feed
        for ask in (engine.ready, engine.report):
            engine._cast = attrs.evolve(engine._cast, feed=_RestartedOnce(feed))  # type: ignore[arg-type]
            await ask()
        engine._cast = attrs.evolve(engine._cast, feed=feed)
        assert (await engine.report()).feed.subscribed


async def test_engine_refuses_a_symbol_that_is_not_traded(tmp_path: Path) -> None:
    """A typo in the symbols is one line, and nothing is left running."""
    config = attrs.evolve(CONFIG, symbols=("BTCUSDT", "NOSUCHUSDT"))
    with pytest.RaisesGroup(Refused, flatten_subgroups=True, allow_unwrapped=True):
        async with trading(tmp_path / "j.db", config):
            pytest.fail("it started")
    assert own_children() == []


async def test_engine_books_what_no_trade_paid(tmp_path: Path) -> None:
    """Money that is brought, or taken as funding is, while it trades: found, booked, and in the journal's account."""
    journal = tmp_path / "j.db"
    async with trading(journal) as (server, engine):
        await until(engine, lambda report: report.executor.fills >= 2)
        server.exchange.transferred(Decimal("-12.5"), wall_ms())
        report = await engine.wind_down("test")
        assert report.executor.paid == Decimal("-12.5")
        assert_books_agree(server, report, journal)
        assert recovery.fold(read_rows(journal)).portfolio.paid == Decimal("-12.5")


async def test_engine_refuses_an_account_that_holds_longs_and_shorts_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take what is held there for nothing, and the exchange none of its orders: it does not start."""
    config = {"canTrade": True, "dualSidePosition": True}
    answers = Endpoint(lambda *_: config, Security.SIGNED, 5)
    monkeypatch.setitem(ENDPOINTS, ("GET", "/fapi/v1/accountConfig"), answers)
    hedged = pytest.RaisesExc(Refused, match="cannot be traded with: .*hedge mode")
    with pytest.RaisesGroup(hedged, flatten_subgroups=True, allow_unwrapped=True):
        async with trading(tmp_path / "j.db"):
            pytest.fail("it started")
    assert list(read_rows(tmp_path / "j.db")) == []


async def test_engine_takes_an_account_over_as_it_is(tmp_path: Path) -> None:
    """A second run on the same journal and account begins with what the first one left."""
    journal = tmp_path / "j.db"
    far = attrs.evolve(CONFIG.strategy, stop_atr=50.0)  # no stop is hit while the first run ends
    keep = attrs.evolve(CONFIG, strategy=far, run=RunConfig(on_stop="keep"))
    options = ExchangeOptions(seed=11, symbols=SYMBOLS)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, options, wall_ms=wall_ms))
        addresses = Addresses(server.rest_url, server.streams_url)
        credentials = Credentials(options.api_key, options.api_secret)
        reports, trades = [], [0]
        for config in (keep, CONFIG):
            with closing(Journal(journal)) as book, trio.fail_after(60):
                async with open_engine(config, addresses, credentials, book) as engine:
                    await until(engine, _has_traded_and_holds)
                    reports.append(await engine.wind_down("test"))
                    trades.append(len(server.exchange.trades))
        nursery.cancel_scope.cancel()
    assert reports[0].executor.positions
    assert reports[1].executor.positions == {}
    assert_books_agree(server, reports[1], journal, earlier_trades=trades[1])
