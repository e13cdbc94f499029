"""The Gate: which signals become orders."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import trio
from order_desk import BTC, open_desk, signal_of, trade_of
from trio.testing import MockClock

from aegis.actors.gate import Gate
from aegis.kernel.kit import open_kit
from aegis.messages import (
    Approved,
    ClosePositions,
    Halt,
    Pause,
    RecordNow,
    Resume,
    Updated,
)
from aegis.orders.ids import ClientIds
from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.limits import Limits
from aegis.orders.order import Order
from aegis.store import recovery
from aegis.store.journal import read_rows
from aegis.venue.port import OrderUpdate


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


async def test_gate_paused_lets_exits_pass_only_until_it_goes_on(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """What is in doubt is not opened; what is held can be closed; and a halt outlives the doubt."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.gate.tell(Pause("test"))
        await desk.propose()
        assert (await desk.verdicts()).refusals == {"not_ready": 1}
        desk.gate.tell(Resume())
        await desk.propose(2)
        await desk.fill(0)
        desk.gate.tell(Pause("test"))
        await desk.propose(3, None)
        assert desk.venue.placed[-1][1].reduce_only
        for order in (Halt("test"), Resume()):
            desk.gate.tell(order)
        await desk.propose(4)
        assert (await desk.verdicts()).refusals == {"not_ready": 1, "halted": 1}


async def test_an_exit_closes_the_position_that_it_is_about(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """The stop of a long may be hit while the order that reverses it fills: the fresh short is none of its business."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        await desk.propose(2, Side.SELL, price=49_100.0, stop=50_500.0)
        await desk.fill(1, str(desk.venue.placed[1][1].quantity), trade_id=2)
        for number, closes in ((3, Side.BUY), (4, Side.SELL)):
            await desk.propose(number, None, price=49_000.0, stop=49_000.0, closes=closes)
        assert (await desk.verdicts()).refusals == {"nothing_to_close": 1}
        assert [ticket.signal_id for _, ticket in desk.venue.placed] == [1, 2, 4]


@pytest.mark.parametrize("name", ["autoclose-1616", "adl_autoclose", "settlement_autoclose-16"])
async def test_nothing_is_opened_where_the_exchange_has_closed_a_position(
    mock_clock: MockClock, tmp_path: Path, name: str
) -> None:
    """A liquidation is no moment to try again; the other symbols are none of its business, and exits pass."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.propose()
        await desk.fill(0)
        trade = trade_of(name, Side.SELL, "0.010", 99)
        update = OrderUpdate(name, "BTCUSDT", 9, None, trade.quantity, trade, 0)
        desk.executor.tell(Updated(update))
        await desk.kit.settle()
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"halted": 1}
        await desk.propose(3, None)
        assert desk.venue.placed[-1][1].quantity == Decimal("0.010")


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


async def test_order_left_open_by_an_earlier_run_is_counted_by_the_gate(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """An order of unknown fate blocks its symbol, whichever run it is from."""
    ledger = Ledger()
    ledger.intend(Order("aegis-1-1", "BTCUSDT", Side.BUY, Decimal("0.020"), reduce_only=False))
    async with open_desk(tmp_path / "j.db", ledger) as desk:
        await desk.propose()
        assert (await desk.verdicts()).refusals == {"in_flight": 1}


async def test_target_on_the_wrong_side_is_refused(mock_clock: MockClock, tmp_path: Path) -> None:
    """A long that would take its profit below its price is no wish to be granted; the refusal names the strategy."""
    path = tmp_path / "j.db"
    async with open_desk(path) as desk:
        await desk.propose(target=49_500.0, strategy="odd")
        assert (await desk.verdicts()).refusals == {"target_on_wrong_side": 1}
        await desk.kit.advance(0.01)
    (refused,) = [row.decoded() for row in read_rows(path) if row.kind == "signal_refused"]
    assert (refused["strategy"], refused["reason"]) == ("odd", "target_on_wrong_side")
