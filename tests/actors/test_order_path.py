"""From a signal to a booked fill: Gate, Executor and Scribe on virtual time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import trio
from order_desk import open_desk, ticket_of, trade_of
from trio.testing import MockClock

from aegis.kernel.receipt import Reply
from aegis.messages import Approved, CancelOrders, Fingerprint, OrderChanged, RecordNow, Updated
from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.order import Order
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening, OrderState
from aegis.store import recovery
from aegis.store.journal import read_rows
from aegis.venue import outcome
from aegis.venue.port import OrderUpdate, OrderView


def filled_elsewhere() -> Updated:
    trade = trade_of("web_1", Side.BUY, "0.020", 99)
    return Updated(OrderUpdate("web_1", "BTCUSDT", 1, None, trade.quantity, trade, 0))


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


async def test_no_stop_of_ours_guards_what_somebody_else_opened(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """After our own long is closed its owner buys by hand, below our old stop: that is not sold with the next tick."""
    path = tmp_path / "j.db"
    async with open_desk(path) as desk:
        await desk.propose()
        await desk.fill(0)
        await desk.propose(2, side=None)
        await desk.fill(1, trade_id=2)
        desk.executor.tell(filled_elsewhere())
        await desk.kit.settle()
        told = [desk.follower.expect(OrderChanged) for _ in range(5)]
        assert [change.stop_price for change in told if change.position.quantity] == [
            Decimal(49_000),
            Decimal(49_000),
            None,
        ]
        await desk.kit.advance(0.1)
    assert recovery.fold(read_rows(path)).foreign == {"BTCUSDT"}


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
