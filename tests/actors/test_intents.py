"""The Executor beside a journal whose disk is as slow as the test wants, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import attrs
import trio
from trio.testing import MockClock

from aegis.actors.executor import Executor
from aegis.kernel import ActorRef
from aegis.kernel.kit import Kit, Probe, open_kit
from aegis.kernel.receipt import Reply
from aegis.messages import Approved, CancelOrders, Record
from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.order import Ticket
from aegis.orders.states import OrderState
from aegis.venue import outcome
from aegis.venue.port import Placed


class AcceptingVenue:
    """Accepts every order, and shows none."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.cancelled: list[str] = []

    async def place(self, client_id: str, ticket: Ticket) -> Placed:
        self.placed.append(client_id)
        await trio.lowlevel.checkpoint()
        return Placed(outcome.Accepted(len(self.placed)), 0, 0)

    async def cancel(self, symbol: str, client_id: str) -> outcome.Outcome:
        await trio.lowlevel.checkpoint()
        self.cancelled.append(client_id)
        return outcome.Refused(-2011, "unknown order")

    async def find(self, symbol: str, client_id: str) -> None:
        await trio.lowlevel.checkpoint()

    async def open_orders(self, symbol: str | None = None) -> list[object]:
        await trio.lowlevel.checkpoint()
        return []

    async def sync_clock(self) -> int:
        await trio.lowlevel.checkpoint()
        return 0

    def exchange_ms(self) -> int:
        return 0

    def cutoff_ms(self) -> int:
        return 17_000


@attrs.define
class Desk:
    kit: Kit
    venue: AcceptingVenue
    ledger: Ledger
    executor: ActorRef
    scribe: Probe
    waiting: list[Approved] = attrs.Factory(list)

    async def approve(self, *numbers: int) -> None:
        for number in numbers:
            self.waiting.append(approved(number))
            self.executor.tell(self.waiting[-1])
        await self.kit.settle()

    async def commit(self) -> str:
        """Let the disk finish the oldest intent it was given; returns the order in it."""
        order = self.waiting.pop(0)
        order.on_disk.done(None)
        await self.kit.settle()
        return order.client_id

    def states(self) -> list[OrderState]:
        return [order.state for order in self.ledger.orders.values()]


def approved(number: int) -> Approved:
    ticket = Ticket(
        symbol=f"COIN{number}USDT",
        side=Side.BUY,
        quantity=Decimal(1),
        reduce_only=False,
        limit_price=None,
        reference_price=Decimal(10),
        stop_price=Decimal(9),
        signal_id=number,
        checks=(),
        data_age_us=0,
    )
    return Approved(f"aegis-1-{number}", ticket, 0, round(trio.current_time() * 1e9), Reply())


async def silent_stream(_hear: Callable[[object], None]) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    venue, ledger = AcceptingVenue(), Ledger()
    async with open_kit() as kit:
        scribe = kit.probe("scribe")
        executor = await kit.spawn(Executor, venue, silent_stream, scribe.ref, ledger)
        yield Desk(kit, venue, ledger, executor, scribe)


def ids(*numbers: int) -> list[str]:
    return [f"aegis-1-{number}" for number in numbers]


async def test_order_leaves_once_its_own_intent_is_durable(mock_clock: MockClock) -> None:
    """Not with the first of those that a bar brings."""
    async with open_desk() as desk:
        await desk.approve(1, 2, 3)
        assert desk.venue.placed == []
        for number in (1, 2, 3):
            assert await desk.commit() == f"aegis-1-{number}"
            assert desk.venue.placed == ids(*range(1, number + 1))


async def test_order_cancelled_before_it_is_durable_is_never_sent(mock_clock: MockClock) -> None:
    """The journal says that it was meant, and that it was not sent."""
    async with open_desk() as desk:
        await desk.approve(1)
        await desk.approve(2)
        desk.executor.tell(CancelOrders())
        await desk.approve(3)
        assert [await desk.commit() for _ in range(3)] == ids(1, 2, 3)
        assert desk.venue.placed == ids(3)
        assert desk.venue.cancelled == []
        assert desk.states()[:2] == [OrderState.REJECTED, OrderState.REJECTED]
        whys = [entry.body.get("why") for entry in desk.scribe.expect(Record).entries]
        assert whys == ["withdrawn: cancelled before it was sent"]


async def test_order_that_was_sent_is_cancelled_at_the_exchange(mock_clock: MockClock) -> None:
    """Only what may be there is asked to be cancelled."""
    async with open_desk() as desk:
        await desk.approve(1)
        await desk.commit()
        await desk.approve(2)
        desk.executor.tell(CancelOrders())
        await desk.kit.settle()
        assert desk.venue.cancelled == ids(1)
        await desk.commit()
        assert desk.venue.placed == ids(1)
