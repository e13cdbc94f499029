"""Gate, Executor and Scribe against an exchange that does what the test says, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from aegis.actors.executor import Executor
from aegis.actors.executor_report import ExecutorReport
from aegis.actors.gate import Gate, GateReport
from aegis.actors.reconciler import Reconciler, Reconciliation
from aegis.actors.scribe import Scribe
from aegis.errors import LockedOut, Unavailable
from aegis.kernel import ActorRef
from aegis.kernel.kit import Kit, Probe, open_kit
from aegis.kernel.receipt import Reply
from aegis.messages import (
    Approved,
    CancelOrders,
    ClosePositions,
    Fingerprint,
    Follow,
    Halt,
    OrderChanged,
    Reconcile,
    RecordNow,
    Report,
    Signal,
    StreamBack,
    Updated,
)
from aegis.orders.ids import ClientIds
from aegis.orders.instrument import Instrument, Side
from aegis.orders.ledger import Ledger
from aegis.orders.limits import Limits
from aegis.orders.order import Order, Ticket, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening, OrderState
from aegis.store import recovery
from aegis.store.journal import Journal, read_rows
from aegis.venue import outcome
from aegis.venue.port import AccountView, OrderUpdate, OrderView, Paid, Placed

BTC = Instrument(
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    min_price=Decimal("0.1"),
    max_price=Decimal(1_000_000),
    step_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(100),
    min_notional=Decimal(5),
)


class ScriptedVenue:
    """An exchange that answers each order as it was told to, and shows what the test puts into it."""

    def __init__(self) -> None:
        self.answers: list[outcome.Outcome] = []
        self.placed: list[tuple[str, Ticket]] = []
        self.cancelled: list[str] = []
        self.views: dict[str, OrderView] = {}
        self.trades: dict[str, list[Trade]] = {}
        self.shown = AccountView(Decimal(10_000), {})
        self.asked: list[str | None] = []
        self.synced = self.looks = 0
        self.unreachable_looks: set[int] = set()
        self.locked_out = False
        self.payments_made: list[Payment] = []
        self.asked_payments: list[int] = []
        self.in_the_way = ""
        self.shows: list[AccountView] = []
        self.reachable = True
        self.before_send: Callable[[str], None] = lambda _: None
        self.before_look: Callable[[str], None] = lambda _: None

    async def place(self, client_id: str, ticket: Ticket) -> Placed:
        self.before_send(client_id)
        self.placed.append((client_id, ticket))
        await trio.lowlevel.checkpoint()
        answer = self.answers.pop(0) if self.answers else outcome.Accepted(len(self.placed))
        return Placed(answer, self._now_ns(), self.cutoff_ms())

    async def cancel(self, symbol: str, client_id: str) -> outcome.Outcome:
        await trio.lowlevel.checkpoint()
        self.cancelled.append(client_id)
        return outcome.Accepted(1)

    async def find(self, symbol: str, client_id: str) -> OrderView | None:
        await trio.lowlevel.checkpoint()
        self.before_look(client_id)
        if not self.reachable:
            raise Unavailable("scripted")
        return self.views.get(client_id)

    async def open_orders(self, symbol: str | None = None) -> list[OrderView]:
        await trio.lowlevel.checkpoint()
        self.asked.append(symbol)
        return [v for v in self.views.values() if v.happening is Happening.ACCEPTED]

    async def trades_of(self, symbol: str, client_id: str, exchange_id: int) -> list[Trade]:
        await trio.lowlevel.checkpoint()
        return self.trades.get(client_id, [])

    async def obstacle(self) -> str:
        await trio.lowlevel.checkpoint()
        if self.locked_out:
            raise LockedOut("scripted")
        return self.in_the_way

    async def account(self) -> AccountView:
        await trio.lowlevel.checkpoint()
        self.looks += 1
        if not self.reachable or self.looks - 1 in self.unreachable_looks:
            raise Unavailable("scripted")
        return self.shows.pop(0) if self.shows else self.shown

    async def payments(self, since_ms: int) -> Paid:
        await trio.lowlevel.checkpoint()
        self.asked_payments.append(since_ms)
        told = (each for each in self.payments_made if each.event_ms >= since_ms)
        return Paid(tuple(told), self.exchange_ms())

    async def instruments(self, symbols: object) -> dict[str, Instrument]:
        await trio.lowlevel.checkpoint()
        return {"BTCUSDT": BTC}

    async def sync_clock(self) -> int:
        await trio.lowlevel.checkpoint()
        self.synced += 1
        return 0

    def exchange_ms(self) -> int:
        return self._now_ns() // 1_000_000

    def cutoff_ms(self) -> int:
        return self.exchange_ms() + 17_000

    @staticmethod
    def _now_ns() -> int:
        return round(trio.current_time() * 1e9)


@attrs.define
class Desk:
    """An order path under test."""

    kit: Kit
    venue: ScriptedVenue
    gate: ActorRef
    executor: ActorRef
    scribe: ActorRef
    follower: Probe
    path: Path

    async def propose(self, *args: Any, **more: Any) -> None:
        self.gate.tell(signal_of(*args, **more))
        await self.kit.settle()

    async def fill(self, number: int, quantity: str = "0.020", trade_id: int = 1) -> None:
        client_id, ticket = self.venue.placed[number]
        trade = trade_of(client_id, ticket.side, quantity, trade_id)
        update = OrderUpdate(client_id, "BTCUSDT", number + 1, None, Decimal(quantity), trade, 0)
        self.executor.tell(Updated(update))
        await self.kit.settle()

    async def reconciler(self) -> ActorRef:
        return await self.kit.spawn(Reconciler, self.venue, self.executor, self.scribe, self.gate)

    async def report(self) -> ExecutorReport:
        answer = await self.ask(self.executor, Report())
        assert isinstance(answer, ExecutorReport)
        return answer

    async def verdicts(self) -> GateReport:
        answer = await self.ask(self.gate, Report())
        assert isinstance(answer, GateReport)
        return answer

    async def ask(self, ref: ActorRef, question: object) -> Any:
        answer: list[Any] = []

        async def ask() -> None:
            answer.append(await ref.ask(question, timeout=5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            await self.kit.settle()
        return answer[0]

    async def state(self) -> OrderState:
        """The state of the only order, as the journal tells it."""
        await self.kit.advance(0.01)
        (order,) = recovery.fold(read_rows(self.path)).orders.values()
        return order.state


def signal_of(number: int = 1, side: Side | None = Side.BUY, **more: Any) -> Signal:
    now_ns = round(trio.current_time() * 1e9)
    fields = {
        "signal_id": number,
        "symbol": "BTCUSDT",
        "side": side,
        "price": 50_000.0,
        "stop": 49_000.0 if side is not Side.SELL else 51_000.0,
        "reason": "bos",
        "event_ns": 0,
        "caused_us": (now_ns // 1000) & 0xFFFFFFFF,
        "created_ns": now_ns,
    }
    return Signal(**{**fields, **more})


def ticket_of(side: Side) -> Ticket:
    """An entry, or with SELL the exit from one."""
    is_exit = side is Side.SELL
    return Ticket(
        *("BTCUSDT", side, Decimal("0.020"), is_exit, None),
        *(Decimal(50_000), None, 1, ("data_age",), 5),
    )


def trade_of(client_id: str, side: Side, quantity: str, trade_id: int) -> Trade:
    return Trade(
        "BTCUSDT",
        trade_id,
        client_id,
        side,
        Decimal(quantity),
        Decimal(50_000),
        Decimal("0.5"),
        "USDT",
        1,
    )


@asynccontextmanager
async def open_desk(path: Path, ledger: Ledger | None = None) -> AsyncIterator[Desk]:
    venue = ScriptedVenue()
    with closing(Journal(path)) as journal:
        async with open_kit() as kit:
            scribe = await kit.spawn(Scribe, journal, name="scribe")
            executor = await kit.spawn(
                Executor, venue, silent_stream, scribe, ledger or Ledger(), name="executor"
            )
            gate = await kit.spawn(
                Gate,
                executor,
                scribe,
                instruments={"BTCUSDT": BTC},
                limits=Limits(),
                ids=ClientIds(journal.run),
                name="gate",
            )
            follower = kit.probe("follower")
            executor.tell(Follow(gate))
            executor.tell(Follow(follower.ref))
            await kit.settle()
            yield Desk(kit, venue, gate, executor, scribe, follower, path)


async def silent_stream(_hear: Callable[[object], None]) -> None:
    await trio.sleep_forever()


async def test_order_intent_is_durable_before_the_order_leaves(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """When the first byte goes out, the journal on disk already knows the order."""
    async with open_desk(tmp_path / "j.db") as desk:
        known: list[bool] = []
        desk.venue.before_send = lambda client_id: known.append(
            client_id in recovery.fold(read_rows(desk.path)).orders
        )
        await desk.propose()
        assert known == [True]


async def test_order_filled_by_the_stream_moves_the_position(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A fill reaches the ledger, the followers and the journal, and releases the reservation with it."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        assert (await desk.report()).positions["BTCUSDT"].quantity == Decimal("0.020")
        assert await desk.state() is OrderState.FILLED
        accepted, last = (desk.follower.expect(OrderChanged) for _ in range(2))
        assert accepted.signed_remaining == Decimal("0.020")
        assert (last.signed_remaining, last.stop_price) == (Decimal(0), Decimal(49_000))
        assert last.position.quantity == Decimal("0.020")


async def test_order_fill_before_the_reply_counts_once(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """The stream may be faster than the reply, and may say it twice."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        for _ in range(2):
            await desk.fill(0)
        report = await desk.report()
        assert (report.fills, report.positions["BTCUSDT"].quantity) == (1, Decimal("0.020"))


async def test_order_unknown_is_resolved_by_asking_and_never_sent_again(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A lost answer leaves the exposure reserved until the exchange has said what happened."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.venue.answers = [outcome.Unknown("cut")]
        await desk.propose()
        assert await desk.state() is OrderState.UNKNOWN
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"in_flight": 1}
        client_id, ticket = desk.venue.placed[0]
        view = OrderView(client_id, "BTCUSDT", 7, Happening.ACCEPTED, ticket.quantity)
        desk.venue.views[client_id] = view
        desk.venue.trades[client_id] = [trade_of(client_id, Side.BUY, "0.020", 5)]
        await desk.kit.advance(1.0)
        assert await desk.state() is OrderState.FILLED
        assert len(desk.venue.placed) == 1


async def test_order_unknown_is_absent_only_after_its_cutoff(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Not being shown is no proof while the request may still be executed."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.venue.answers = [outcome.Unknown("cut")]
        await desk.propose()
        await desk.kit.advance(16.0)
        assert await desk.state() is OrderState.UNKNOWN
        await desk.kit.advance(2.0)
        assert await desk.state() is OrderState.ABSENT
        await desk.fill(0)  # and even then, money that moved has moved
        assert (await desk.report()).positions["BTCUSDT"].quantity == Decimal("0.020")


async def test_order_that_was_taken_and_is_shown_no_longer_is_over(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """The exchange forgets orders in time; the symbol of one that it has forgotten may be traded again."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.kit.advance(50.0)
        assert await desk.state() is OrderState.LIVE  # what is shown may lag
        await desk.kit.advance(40.0)
        assert await desk.state() is OrderState.EXPIRED


async def test_order_refused_releases_its_reservation(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """After a clear no the next signal may be approved."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.venue.answers = [outcome.Refused(-2019, "Margin is insufficient.")]
        await desk.propose()
        await desk.propose(2)
        assert (await desk.verdicts()).refusals == {"in_flight": 1}  # not again with every tick
        await desk.kit.advance(0.6)
        assert await desk.state() is OrderState.REJECTED
        await desk.propose(3)
        assert len(desk.venue.placed) == 2
        assert (await desk.verdicts()).approved == 2


async def test_order_that_lost_its_events_is_asked_for(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A silent stream does not hide a fill for longer than a few seconds."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        client_id, ticket = desk.venue.placed[0]
        view = OrderView(client_id, "BTCUSDT", 7, Happening.ACCEPTED, ticket.quantity)
        desk.venue.views[client_id] = view
        desk.venue.trades[client_id] = [trade_of(client_id, Side.BUY, "0.020", 5)]
        await desk.kit.advance(5.0)
        assert (await desk.report()).fills == 1


async def test_order_is_asked_for_when_the_stream_is_back(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """What happened while nobody listened is asked for at once, and again while the exchange is away."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        client_id, _ = desk.venue.placed[0]
        desk.venue.reachable = False
        desk.executor.tell(StreamBack())
        await desk.kit.advance(0.6)
        view = OrderView(client_id, "BTCUSDT", 7, Happening.CANCELLED, Decimal(0))
        desk.venue.views[client_id] = view
        desk.venue.reachable = True
        await desk.kit.advance(1.1)
        assert await desk.state() is OrderState.CANCELLED


async def test_intent_is_on_its_way_to_the_disk_when_the_executor_hears_of_the_order(
    mock_clock: MockClock,
) -> None:
    """The disk takes longest, so nobody else comes before it; the order waits for just that entry."""
    async with open_kit() as kit:
        scribe, executor = kit.probe("scribe"), kit.probe("executor")
        gate = await kit.spawn(
            Gate,
            executor.ref,
            scribe.ref,
            instruments={"BTCUSDT": BTC},
            limits=Limits(),
            ids=ClientIds(1),
        )
        gate.tell(signal_of(1))
        await kit.settle()
        written, approved = scribe.expect(RecordNow), executor.expect(Approved)
        assert written.entries == (recovery.intended(approved.client_id, approved.ticket),)
        assert written.on_disk is approved.on_disk


async def test_order_whose_intent_was_durable_too_late_is_withdrawn(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An entry that waited for the disk is stale: it is not sent, and its symbol rests like after any other failure."""
    async with open_desk(tmp_path / "j.db") as desk:
        long_ago = round(trio.current_time() * 1e9) - 2_000_000_000
        ticket, on_disk = ticket_of(Side.BUY), Reply()
        desk.scribe.tell(RecordNow((recovery.intended("aegis-1-9", ticket),), on_disk))
        desk.executor.tell(Approved("aegis-1-9", ticket, 0, long_ago, on_disk))
        await desk.kit.settle()
        report = await desk.report()
        assert (desk.venue.placed, report.withdrawn) == ([], 1)
        assert report.open_orders == {"aegis-1-9"}
        await desk.kit.advance(0.6)
        assert await desk.state() is OrderState.REJECTED


async def test_exit_is_sent_however_long_its_intent_took(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A position is left late rather than never: a slow disk must not keep it."""
    async with open_desk(tmp_path / "j.db") as desk:
        long_ago = round(trio.current_time() * 1e9) - 2_000_000_000
        desk.executor.tell(filled_elsewhere())
        await desk.kit.settle()
        await desk.propose(2, side=None, created_ns=long_ago)
        ((_, ticket),) = desk.venue.placed
        assert (ticket.side, ticket.reduce_only) == (Side.SELL, True)
        assert (await desk.report()).withdrawn == 0


async def test_order_that_stays_unknown_is_asked_for_less_and_less_often(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Each question counts at the exchange, of one symbol a fortieth of all: exits must not be silenced over them."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.venue.answers = [outcome.Unknown("cut")]
        await desk.propose()
        await desk.kit.advance(16.0)
        assert 3 <= len(desk.venue.asked) <= 6
        assert set(desk.venue.asked) == {"BTCUSDT"}


async def test_order_that_rests_is_swept_less_and_less_often(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """It may rest for hours, and its fills are told by the stream."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        client_id, _ = desk.venue.placed[0]
        looks: list[str] = []
        view = OrderView(client_id, "BTCUSDT", 7, Happening.ACCEPTED, Decimal(0))
        desk.venue.views[client_id] = view
        desk.venue.before_look = looks.append
        await desk.kit.advance(60.0)
        assert 5 <= len(looks) <= 12


def filled_elsewhere() -> Updated:
    trade = trade_of("web_1", Side.BUY, "0.020", 99)
    return Updated(OrderUpdate("web_1", "BTCUSDT", 1, None, trade.quantity, trade, 0))


async def test_order_of_somebody_else_moves_the_position(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A liquidation, or a person at the exchange's own site: the position is what it is."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.executor.tell(filled_elsewhere())
        await desk.kit.settle()
        assert (await desk.report()).positions["BTCUSDT"].quantity == Decimal("0.020")
        await desk.propose(2)
        assert (await desk.verdicts()).refusals == {"position_held": 1}


async def test_order_left_open_by_an_earlier_run_is_resolved_at_start(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """After a crash the next start asks for every order that may exist, before anything else."""
    ledger = Ledger()
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, Decimal("0.020"), reduce_only=False))
    journal = Journal(tmp_path / "j.db")
    journal.append([recovery.intended("aegis-1-1", ticket_of(Side.BUY))], 0)
    journal.close()
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        assert await desk.state() is OrderState.UNKNOWN
        await desk.kit.advance(20.0)
        assert await desk.state() is OrderState.ABSENT


async def test_gate_halted_lets_exits_pass_only(mock_clock: MockClock, tmp_path: Path) -> None:
    """After the halt nothing opens, and what is held can still be closed."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        desk.gate.tell(Halt("test"))
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"halted": 1}
        await desk.propose(3, None)
        assert desk.venue.placed[-1][1].reduce_only


async def test_gate_lets_a_newer_signal_take_the_place_of_one_that_waits(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Of two signals for one symbol that wait, the newer is judged; an exit never yields to an entry."""
    async with open_desk(tmp_path / "j.db") as desk:
        for number, side in enumerate((Side.BUY, Side.SELL, None, Side.BUY), 1):
            desk.gate.tell(signal_of(number, side))
        await desk.kit.settle()
        verdicts = await desk.verdicts()
        assert (verdicts.approved, verdicts.refused) == (1, 1)
        assert set(verdicts.refusals) <= {"nothing_to_close", "in_flight"}
        assert desk.venue.placed[0][1].signal_id == 4


async def test_gate_counts_a_signal_that_waited_too_long_as_expired(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An entry older than its time to live is not judged at all."""
    async with open_desk(tmp_path / "j.db") as desk:
        old = round(trio.current_time() * 1e9) - 251_000_000
        await desk.propose(created_ns=old)
        verdicts = await desk.verdicts()
        assert (verdicts.expired, verdicts.approved) == (1, 0)


async def test_gate_closes_every_position(mock_clock: MockClock, tmp_path: Path) -> None:
    """The end of a run sends a reduce-only order for what is held, even when halted."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        desk.gate.tell(Halt("end"))
        desk.gate.tell(ClosePositions())
        await desk.kit.settle()
        ticket = desk.venue.placed[1][1]
        assert (ticket.side, ticket.quantity, ticket.reduce_only) == (
            Side.SELL,
            Decimal("0.020"),
            True,
        )
        await desk.fill(1, trade_id=2)
        assert (await desk.report()).positions == {}


async def test_executor_cancels_what_rests(mock_clock: MockClock, tmp_path: Path) -> None:
    """Cancelling asks the exchange, and believes only what it then shows."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        client_id, _ = desk.venue.placed[0]
        view = OrderView(client_id, "BTCUSDT", 7, Happening.CANCELLED, Decimal(0))
        desk.venue.views[client_id] = view
        desk.executor.tell(CancelOrders())
        await desk.kit.settle()
        assert desk.venue.cancelled == [client_id]
        assert await desk.state() is OrderState.CANCELLED


async def test_ledger_is_the_fold_of_the_journal(mock_clock: MockClock, tmp_path: Path) -> None:
    """Replaying the journal gives the live state, to the last digit."""
    async with open_desk(tmp_path / "j.db") as desk:
        for number in range(4):
            desk.venue.answers = [outcome.Unknown("cut")] if number == 2 else []
            await desk.propose(number, Side.BUY if number % 2 == 0 else Side.SELL)
            quantity = desk.venue.placed[number][1].quantity
            await desk.fill(number, str(quantity), number + 1)
        await desk.kit.advance(0.01)
        assert (await desk.report()).fills == 4
        assert recovery.fold(read_rows(desk.path)).fingerprint() == await desk.ask(
            desk.executor, Fingerprint()
        )


async def test_reconciler_names_every_difference(mock_clock: MockClock, tmp_path: Path) -> None:
    """A position that the exchange does not show is a difference, once it has lasted."""
    async with open_desk(tmp_path / "j.db", Ledger()) as desk:
        await desk.propose()
        await desk.fill(0)
        reconciler = await desk.reconciler()
        result = await compare(desk, reconciler)
        assert not result.agreed
        assert any("position BTCUSDT" in difference for difference in result.differences)
        assert any("wallet" in difference for difference in result.differences)
        held = {"BTCUSDT": Position(Decimal("0.020"), Decimal(50_000))}
        desk.venue.shown = AccountView(Decimal("-0.5"), held)
        assert (await compare(desk, reconciler)).agreed
        assert desk.venue.synced == 2  # clocks drift apart in time
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"halted": 1}  # since the difference


async def test_money_that_moved_without_a_trade_is_found_and_booked(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Funding, above all: asked for once the wallets go on to differ by the same, and written down."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        desk.venue.shown = AccountView(Decimal(0), {})
        assert (await compare(desk, reconciler)).agreed
        assert desk.venue.asked_payments == []
        funding = Payment("FUNDING_FEE 7", "BTCUSDT", Decimal("-0.75"), 5)
        desk.venue.payments_made = [funding, Payment("TRANSFER 1", "", Decimal(20), 6)]
        desk.venue.shown = AccountView(Decimal("19.25"), {})
        assert (await compare(desk, reconciler)).agreed
        report = await desk.report()
        assert (report.wallet, report.paid) == (Decimal("19.25"), Decimal("19.25"))
        assert recovery.fold(read_rows(desk.path)).fingerprint() == await desk.ask(
            desk.executor, Fingerprint()
        )
        assert len(desk.venue.asked_payments) == 1


async def test_a_wallet_that_nothing_explains_is_told_and_asked_about_once_a_look(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """It is money, and no risk: nothing halts, nothing is invented, and what is asked for is the last ten minutes alone."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        desk.venue.shown = AccountView(Decimal(21), {})
        for looks in range(1, 4):
            result = await compare(desk, reconciler)
            assert [each.split(":")[0] for each in result.differences] == ["wallet"]
            assert len(desk.venue.asked_payments) == looks
            await desk.kit.advance(20 * 60.0)
            desk.venue.asked_payments = desk.venue.asked_payments[:looks]
        first, *others = desk.venue.asked_payments
        assert first < 0  # from the moment at which the account was adopted
        assert all(since > 5 * 60_000 for since in others)
        assert (await desk.report()).wallet == Decimal(0)
        await desk.propose()
        assert (await desk.verdicts()).refusals == {}


async def test_wallets_that_differ_by_what_is_under_way_are_asked_nothing_about(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Each look of a busy hour may fall between a trade and its news: by another amount each time."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        desk.venue.shows = [AccountView(Decimal(cents + 1), {}) for cents in range(8)]
        assert not (await compare(desk, reconciler)).agreed
        assert desk.venue.asked_payments == []


async def test_reconciler_learns_nothing_from_a_look_without_an_answer(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """What differs goes on to differ, and halts; and where nothing was ever seen, nothing is said to agree."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        reconciler = await desk.reconciler()
        desk.venue.unreachable_looks = {1, 3}
        result = await compare(desk, reconciler)
        assert not result.agreed
        assert any("position BTCUSDT" in difference for difference in result.differences)
        desk.venue.unreachable_looks = set(range(100))
        assert not (await compare(desk, reconciler)).agreed
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"halted": 1}


@pytest.mark.parametrize("obstacle", ["hedge mode", "the key", "an order"])
async def test_reconciler_halts_where_the_account_can_be_traded_with_no_longer(
    mock_clock: MockClock, tmp_path: Path, obstacle: str
) -> None:
    """An account that was switched over, a key that was revoked, or one that may ask and not order. Once is no proof."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        if obstacle == "hedge mode":
            desk.venue.in_the_way = obstacle
        elif obstacle == "the key":
            desk.venue.locked_out = True
        else:
            desk.venue.answers = [outcome.Refused(-2015, "no permission")]
            await desk.propose(1)
            await desk.kit.advance(1.0)
        await compare(desk, reconciler)
        await desk.kit.advance(0.0)
        assert "halted" not in (await desk.verdicts()).refusals
        await compare(desk, reconciler)
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"halted": 1}


async def test_reconciler_goes_on_after_an_obstacle_of_a_moment(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Exchanges have refused a good key for a moment, and taken it again."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        for is_locked_out in (True, False, True):
            desk.venue.locked_out = is_locked_out
            await compare(desk, reconciler)
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {}


async def test_reconciler_halts_for_nothing_that_it_saw_once(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """The books may differ by what is under way, each time by something else: that is told, and no more."""
    async with open_desk(tmp_path / "j.db") as desk:
        reconciler = await desk.reconciler()
        desk.venue.shows = [
            AccountView(Decimal(0), {symbol: Position(Decimal(1), Decimal(50_000))})
            for symbol in ("AUSDT", "BUSDT", "CUSDT", "DUSDT", "EUSDT", "FUSDT")
        ]
        assert not (await compare(desk, reconciler)).agreed
        await desk.propose()
        assert (await desk.verdicts()).refusals == {}


async def test_order_is_not_asked_for_before_it_left(mock_clock: MockClock, tmp_path: Path) -> None:
    """While its intent waits for the disk the exchange cannot know it: that it does not is no proof of anything."""
    async with open_desk(tmp_path / "j.db") as desk:
        now_ns, on_disk = round(trio.current_time() * 1e9), Reply()
        desk.executor.tell(Approved("aegis-1-9", ticket_of(Side.SELL), 0, now_ns, on_disk))
        await desk.kit.advance(1.0)
        desk.executor.tell(StreamBack())
        await desk.kit.advance(30.0)
        assert (await desk.report()).unsettled_orders == {"aegis-1-9"}
        on_disk.done(None)
        await desk.kit.settle()
        assert [client_id for client_id, _ in desk.venue.placed] == ["aegis-1-9"]


async def test_reconciler_waits_for_what_is_being_asked(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An order without an answer may never have reached the exchange: that it is not shown there halts nothing."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.venue.answers = [outcome.Unknown("cut")]
        await desk.propose()
        desk.venue.shown = AccountView(Decimal(0), {})
        reconciler = await desk.reconciler()
        assert (await compare(desk, reconciler)).agreed


async def test_order_filled_before_a_restart_is_in_the_adopted_account(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A fill that the account already holds moves the order, and not the position again."""
    ledger = Ledger()
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, Decimal("0.020"), reduce_only=False))
    held = {"BTCUSDT": Position(Decimal("0.020"), Decimal(50_000))}
    ledger.adopt(Decimal(9_999), held, at_ms=1)
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        view = OrderView("aegis-1-1", "BTCUSDT", 7, Happening.ACCEPTED, Decimal("0.020"))
        desk.venue.views["aegis-1-1"] = view
        desk.venue.trades["aegis-1-1"] = [trade_of("aegis-1-1", Side.BUY, "0.020", 5)]
        await desk.kit.advance(1.0)
        report = await desk.report()
        assert report.positions == held
        assert (report.wallet, report.open_orders) == (Decimal(9_999), frozenset())


async def test_order_left_open_by_an_earlier_run_is_counted_by_the_gate(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An order of unknown fate blocks its symbol, whichever run it is from."""
    ledger = Ledger()
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, Decimal("0.020"), reduce_only=False))
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        await desk.propose()
        assert (await desk.verdicts()).refusals == {"in_flight": 1}


async def test_position_keeps_its_stop_while_its_reversal_is_refused(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """What guards a position is its own entry's stop, whatever becomes of the next order."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        desk.venue.answers = [outcome.Refused(-2019, "Margin is insufficient.")]
        await desk.propose(2, Side.SELL)
        await desk.kit.advance(1.0)
        last: OrderChanged | None = None
        for _ in range(3):
            last = desk.follower.expect(OrderChanged)
        assert last is not None
        assert last.stop_price == Decimal(49_000)


@pytest.mark.parametrize(
    ("end", "stop"), [(Happening.REJECTED, None), (None, Decimal(49_000))], ids=["refused", "open"]
)
async def test_stop_of_an_earlier_run_guards_what_its_order_may_have_made(
    mock_clock: MockClock, tmp_path: Path, end: Happening | None, stop: Decimal | None
) -> None:
    """A position that was made by hand is not sold at the stop of an order that the exchange never took."""
    ledger, stopped_at = Ledger(), Decimal(49_000)
    quantity = Decimal("0.020")
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, quantity, False, stop_price=stopped_at))
    if end is not None:
        ledger.happened("aegis-1-1", end)
    held = {"BTCUSDT": Position(quantity, Decimal(50_000))}
    ledger.adopt(Decimal(9_999), held, at_ms=1)
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        told = [desk.follower.expect(OrderChanged) for _ in range(1 if end else 2)]
        assert {change.position.quantity for change in told} == {quantity}
        assert {change.stop_price for change in told} == {stop}


@pytest.mark.parametrize(
    ("made_after_ms", "begun"),
    [(2_000, 2), (-2_000, 1)],
    ids=["while it was listened", "before"],
)
async def test_a_stream_that_does_not_tell_of_a_fill_is_opened_anew(
    mock_clock: MockClock, tmp_path: Path, made_after_ms: int, begun: int
) -> None:
    """Its pings may be answered all the same; what was filled before it began it could not tell."""
    starts: list[float] = []

    async def deaf_stream(hear: Callable[[object], None]) -> None:
        starts.append(trio.current_time())
        hear(StreamBack())
        await trio.sleep_forever()

    async with open_desk(tmp_path / "j.db") as desk:
        executor = await desk.kit.spawn(
            Executor, desk.venue, deaf_stream, desk.scribe, Ledger(), name="deaf"
        )
        await desk.kit.settle()
        filled_ms = desk.venue.exchange_ms() + made_after_ms
        client_id, on_disk, ticket = "aegis-1-9", Reply(), ticket_of(Side.BUY)
        now_ns = round(trio.current_time() * 1e9)
        desk.scribe.tell(RecordNow((recovery.intended(client_id, ticket),), on_disk))
        executor.tell(Approved(client_id, ticket, 0, now_ns, on_disk))
        await desk.kit.settle()
        made = trade_of(client_id, Side.BUY, "0.020", 7)
        desk.venue.trades[client_id] = [attrs.evolve(made, event_ms=filled_ms)]
        desk.venue.views[client_id] = OrderView(
            client_id, "BTCUSDT", 7, Happening.ACCEPTED, Decimal("0.020")
        )
        await desk.kit.advance(6.0)
        assert (await desk.ask(executor, Report())).fills == 1
        assert len(starts) == begun


async def test_target_of_an_entry_guards_its_position(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """The followers hear the target with the stop, on the tick that is no worse; the journal knows whose idea it was."""
    path = tmp_path / "j.db"
    async with open_desk(path) as desk:
        await desk.propose(target=51_000.04, strategy="smc")
        await desk.fill(0)
        accepted, last = (desk.follower.expect(OrderChanged) for _ in range(2))
        assert (accepted.stop_price, accepted.target_price) == (None, None)
        assert (last.stop_price, last.target_price) == (Decimal(49_000), Decimal("51000.1"))
        await desk.kit.advance(0.01)
        (intended,) = [row for row in read_rows(path) if row.kind == "order_intended"]
        assert intended.decoded()["strategy"] == "smc"
    (order,) = recovery.fold(read_rows(path)).orders.values()
    assert order.target_price == Decimal("51000.1")


async def test_target_on_the_wrong_side_is_refused(mock_clock: MockClock, tmp_path: Path) -> None:
    """A long that would take its profit below its price is no wish to be granted; the refusal names the strategy."""
    path = tmp_path / "j.db"
    async with open_desk(path) as desk:
        await desk.propose(target=49_500.0, strategy="odd")
        assert (await desk.verdicts()).refusals == {"target_on_wrong_side": 1}
        await desk.kit.advance(0.01)
    (refused,) = [row.decoded() for row in read_rows(path) if row.kind == "signal_refused"]
    assert (refused["strategy"], refused["reason"]) == ("odd", "target_on_wrong_side")


async def test_order_over_with_a_missing_fill_is_asked_for(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A final event that names more than was booked does not end the watch."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        client_id, _ = desk.venue.placed[0]
        part = Decimal("0.015")
        view = OrderView(client_id, "BTCUSDT", 7, Happening.EXPIRED, part)
        desk.venue.views[client_id] = view
        update = OrderUpdate(client_id, "BTCUSDT", 7, Happening.EXPIRED, part, None, 0)
        desk.executor.tell(Updated(update))
        await desk.kit.advance(1.0)
        assert (await desk.report()).open_orders == {client_id}  # its executions are not shown yet
        desk.venue.trades[client_id] = [trade_of(client_id, Side.BUY, "0.015", 5)]
        await desk.kit.advance(1.0)
        report = await desk.report()
        assert (report.open_orders, report.positions["BTCUSDT"].quantity) == (frozenset(), part)


async def compare(desk: Desk, reconciler: ActorRef) -> Reconciliation:
    results: list[Reconciliation] = []

    async def ask() -> None:
        results.append(await reconciler.ask(Reconcile(), timeout=60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await desk.kit.advance(5.0)
    return results[0]
