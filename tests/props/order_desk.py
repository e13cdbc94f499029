"""An order path, Gate, Executor and Scribe, against an exchange that does what the test says, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import trio

from aegis.actors.executor import Executor
from aegis.actors.executor_report import ExecutorReport
from aegis.actors.gate import Gate, GateReport
from aegis.actors.reconciler import Reconciler
from aegis.actors.scribe import Scribe
from aegis.errors import LockedOut, Unavailable
from aegis.kernel import ActorRef
from aegis.kernel.kit import Kit, Probe, open_kit
from aegis.messages import Follow, Report, Signal, Updated
from aegis.orders.ids import ClientIds
from aegis.orders.instrument import Instrument, Side
from aegis.orders.ledger import Ledger
from aegis.orders.limits import Limits
from aegis.orders.order import Ticket, Trade
from aegis.orders.payment import Payment
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
