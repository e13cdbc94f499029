"""The Reconciler: what the exchange shows beside what is believed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import trio
from order_desk import Desk, open_desk
from trio.testing import MockClock

from aegis.actors.reconciler import Reconciliation
from aegis.kernel import ActorRef
from aegis.messages import Fingerprint, Reconcile, StreamBack
from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Position
from aegis.store import recovery
from aegis.store.journal import read_rows
from aegis.venue import outcome
from aegis.venue.port import AccountView


async def compare(desk: Desk, reconciler: ActorRef) -> Reconciliation:
    results: list[Reconciliation] = []

    async def ask() -> None:
        results.append(await reconciler.ask(Reconcile(), timeout=60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await desk.kit.advance(5.0)
    return results[0]


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


async def test_nothing_is_reversed_that_was_closed_while_nobody_listened(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """A liquidation in a gap of the stream: a short in its place would be twice as large, and nobody would know."""
    async with open_desk(tmp_path / "j.db") as desk:
        await desk.reconciler()
        await desk.propose()
        await desk.fill(0)
        desk.venue.shown = AccountView(Decimal(9_900), {})
        desk.executor.tell(StreamBack())
        await desk.kit.settle()
        await desk.propose(2, Side.SELL)
        assert (await desk.verdicts()).refusals == {"not_ready": 1}
        await desk.kit.advance(10.0)
        await desk.propose(3, Side.SELL)
        assert (await desk.verdicts()).refusals == {"not_ready": 1, "halted": 1}
        assert len(desk.venue.placed) == 1


async def test_entries_go_on_once_both_sides_agree_after_a_gap(
    mock_clock: MockClock, tmp_path: Path
) -> None:
    """However long the exchange cannot be asked; and one that is started anew looks at once where the stream stands."""
    async with open_desk(tmp_path / "j.db") as desk:
        desk.executor.tell(StreamBack())
        desk.venue.reachable = False
        desk.venue.shown = AccountView(Decimal(0), {})
        await desk.reconciler()
        await desk.kit.advance(25.0)
        await desk.propose()
        assert (await desk.verdicts()).refusals == {"not_ready": 1}
        desk.venue.reachable = True
        await desk.kit.advance(12.0)
        await desk.propose(2)
        assert (await desk.verdicts()).approved == 1


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
