"""The Executor asks the exchange for what it was not told: orders of unknown fate, and fills that went by."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import attrs
import pytest
import trio
from order_desk import open_desk, ticket_of, trade_of
from trio.testing import MockClock

from aegis.actors.executor import Executor
from aegis.kernel.receipt import Reply
from aegis.messages import Approved, RecordNow, Report, StreamBack, Updated
from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.order import Order
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening, OrderState
from aegis.store import recovery
from aegis.store.journal import Journal
from aegis.venue import outcome
from aegis.venue.port import OrderUpdate, OrderView


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


async def test_order_that_is_over_and_whose_fills_are_shown_nowhere_does_not_keep_its_symbol(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An order of weeks ago: the account has what it did, and the exchange lists its executions no more."""
    ledger, quantity = Ledger(), Decimal("0.020")
    order = Order("aegis-1-1", "BTCUSDT", Side.BUY, quantity, False, stop_price=Decimal(49_000))
    ledger.intend(order)
    ledger.adopt(Decimal(9_999), {"BTCUSDT": Position(quantity, Decimal(50_000))}, at_ms=1)
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        view = OrderView("aegis-1-1", "BTCUSDT", 7, Happening.ACCEPTED, quantity)
        desk.venue.views["aegis-1-1"] = view
        await desk.kit.advance(50.0)
        assert (await desk.report()).open_orders == {"aegis-1-1"}  # what is shown may lag
        await desk.kit.advance(40.0)
        assert (await desk.report()).open_orders == frozenset()
        await desk.propose(2, side=None, price=48_000.0)
        assert desk.venue.placed[-1][1].reduce_only


async def test_order_that_rests_is_open_however_late_its_fills_are_shown(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """Part of it may be filled yet: it is watched on."""
    ledger, part = Ledger(), Decimal("0.005")
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, Decimal("0.020"), reduce_only=False))
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        view = OrderView("aegis-1-1", "BTCUSDT", 7, Happening.ACCEPTED, part)
        desk.venue.views["aegis-1-1"] = view
        await desk.kit.advance(300.0)
        assert (await desk.report()).open_orders == {"aegis-1-1"}


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
