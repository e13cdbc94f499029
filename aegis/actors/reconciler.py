"""The Reconciler: the one who asks the exchange what is true."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Final

import attrs
import structlog
import trio

from aegis.actors.delivery import deliver
from aegis.actors.executor_report import ExecutorReport
from aegis.errors import LockedOut, Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Level, Priority, on
from aegis.messages import Halt, Paid, Reconcile, Record, Report
from aegis.orders.reconciliation import Books, differences, lasting
from aegis.store.journal import Entry
from aegis.venue.port import Venue

__all__ = ["Reconciler", "Reconciliation"]

PERIOD_S: Final = 30.0
PATIENCE_S: Final = 3.0
"""Events may still be on their way: a difference counts once it has lasted this long."""
_RETRY_S: Final = 0.25
"""After the first look; twice as long after each that follows."""
UNREACHABLE: Final = "the exchange could not be asked"
_ASK_TIMEOUT_S: Final = 5.0
_LATE_MS: Final = 120_000
"""A funding is of its hour, and may reach the wallet and the list a minute later."""
_WALLET: Final = "wallet"

_log = structlog.get_logger(__name__)


@attrs.frozen
class Reconciliation:
    """The result of a comparison."""

    agreed: bool
    differences: tuple[str, ...]


class Reconciler(Actor):
    """Compares positions, balance, open orders and the clock with the exchange's: on request, and every half minute.

    Receives: `Reconcile`.
    Sends: `Report` and `Paid` to the Executor, `Record` to the Scribe, `Halt` to the Gate where a position or
        an order differs, and where the exchange takes nothing from us any more.
    Owns: nothing.
    When it dies: it is started again; nothing else depends on it.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.EXECUTION: Level.latest(key=type)}

    def __init__(self, venue: Venue, executor: ActorRef, scribe: ActorRef, gate: ActorRef) -> None:
        self._venue = venue
        self._executor = executor
        self._scribe = scribe
        self._gate = gate
        self._paid_ms: int | None = None
        """Exchange time up to which payments are booked; None before the first of them."""

    async def started(self) -> None:
        """Set the period."""
        self.ctx.every("reconcile", PERIOD_S, Reconcile())

    @on(Reconcile)
    async def reconcile(self, _: Reconcile) -> Reconciliation:
        """Compare until both sides agree, or the difference has lasted; the clocks, too, drift apart in time."""
        with suppress(Unavailable, Refused):  # the comparison will say so
            await self._venue.sync_clock()
        await self._heed_obstacles()
        found, has_lasted = await self._compare_patiently()
        entry = Entry("reconciled", {"agreed": not found, "differences": found})
        deliver(self._scribe, Record((entry,)))
        if found:
            _log.error("books_differ", differences=found)
        ours = any(not difference.startswith((_WALLET, UNREACHABLE)) for difference in found)
        if ours and has_lasted:
            # A balance may move by funding or a transfer; a position or an order that differs is ours to explain.
            deliver(self._gate, Halt("the books differ from the exchange's"))
        return Reconciliation(not found, tuple(found))

    async def _heed_obstacles(self) -> None:
        """Halt where no order of ours would be taken any more: each one that is sent all the same is one more refusal."""
        try:
            obstacle = await self._venue.obstacle()
        except LockedOut as why:
            obstacle = str(why)
        except (Unavailable, Refused):
            return
        if obstacle:
            _log.error("account_unusable", why=obstacle)
            deliver(self._gate, Halt(f"the account cannot be traded with: {obstacle}"))

    async def _compare_patiently(self) -> tuple[list[str], bool]:
        """What differs at last, and whether some of it was there at the look before: both sides agree where nothing does.

        A look that the exchange did not answer proves nothing, either way.
        """
        deadline, rest_s = trio.current_time() + PATIENCE_S, _RETRY_S
        standing: list[str] = []
        has_lasted = False
        while True:
            seen = await self._compare()
            if not seen:
                return [], False
            is_blind = seen[0].startswith(UNREACHABLE)
            if not is_blind:
                common = lasting(standing, seen)
                standing, has_lasted = common or seen, bool(common)
                if any(each.startswith(_WALLET) for each in common) and await self._book_payments():
                    continue  # and look again, at once
            if trio.current_time() > deadline:
                return [*standing, *seen] if is_blind else standing, has_lasted
            await trio.sleep(rest_s)
            rest_s *= 2.0

    async def _book_payments(self) -> bool:
        """Ask for what changed the wallet without a trade, and have it booked; whether there was something new.

        Not each time that the wallets differ, as they do for a moment after each trade: it costs as much as thirty other requests.
        """
        asked_ms, since_ms = self._venue.exchange_ms(), self._paid_ms
        if since_ms is None:
            since_ms = (await self._ours()).adopted_ms
        try:
            payments = await self._venue.payments(since_ms)
        except (Unavailable, Refused):
            return False
        self._paid_ms = max(since_ms, asked_ms - _LATE_MS)
        new: int = await self._executor.ask(Paid(tuple(payments)), timeout=_ASK_TIMEOUT_S)
        return new > 0

    async def _compare(self) -> list[str]:
        try:
            account = await self._venue.account()
            their_open = frozenset(view.client_id for view in await self._venue.open_orders())
        except (Unavailable, Refused) as why:
            return [f"{UNREACHABLE}: {why}"]
        ours = await self._ours()
        return differences(
            Books(ours.wallet, ours.positions, ours.open_orders),
            Books(account.wallet, account.positions, their_open),
            ours.fills,
            ours.unsettled_orders,
        )

    async def _ours(self) -> ExecutorReport:
        report: ExecutorReport = await self._executor.ask(Report(), timeout=_ASK_TIMEOUT_S)
        return report
