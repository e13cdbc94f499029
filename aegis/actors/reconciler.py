"""The Reconciler: the one who asks the exchange what is true."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import ClassVar, Final

import attrs
import structlog
import trio

from aegis.actors.delivery import deliver
from aegis.actors.executor_report import ExecutorReport
from aegis.errors import LockedOut, Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Level, Priority, on
from aegis.messages import (
    BookPayments,
    FollowStream,
    Halt,
    Pause,
    Reconcile,
    Record,
    Report,
    Resume,
    StreamStands,
)
from aegis.orders.payment import LATE_MS
from aegis.orders.reconciliation import Books, differences, lasting
from aegis.store.journal import Entry
from aegis.venue.port import Venue

__all__ = ["Reconciler", "Reconciliation"]

PERIOD_S: Final = 30.0
PATIENCE_S: Final = 3.0
"""Events may still be on their way: a difference counts once it has lasted this long."""
_RETRY_S: Final = 0.25
"""After the first look; twice as long after each that follows."""
BLIND_S: Final = 5.0
"""When to look again where the exchange did not answer, and entries wait for it."""
UNREACHABLE: Final = "the exchange could not be asked"
_ASK_TIMEOUT_S: Final = 5.0
_LISTED_MS: Final = 600_000
"""So late a payment may be told of: its moment is asked for as long again."""
_WALLET: Final = "wallet"

_log = structlog.get_logger(__name__)


@attrs.frozen
class Reconciliation:
    """The result of a comparison."""

    agreed: bool
    differences: tuple[str, ...]

    @property
    def is_blind(self) -> bool:
        """Whether the exchange did not answer at last."""
        return any(each.startswith(UNREACHABLE) for each in self.differences)


@attrs.frozen
class _Look:
    """What one look at both sides showed."""

    found: list[str]
    """What differs; what the exchange did not answer is all that is in it then."""
    gap: Decimal = Decimal(0)
    """What their wallet has more than ours."""

    @property
    def is_blind(self) -> bool:
        """Whether the exchange did not answer: that proves nothing, either way."""
        return bool(self.found) and self.found[0].startswith(UNREACHABLE)

    @property
    def wallets_agree(self) -> bool:
        """Whether they are the same, but for the exchange's rounding."""
        return not any(each.startswith((_WALLET, UNREACHABLE)) for each in self.found)


class Reconciler(Actor):
    """Compares positions, balance, open orders and the clock with the exchange's.

    On request, every half minute, and whenever the user stream stands again: then nothing is opened until both sides agree.

    Receives: `Reconcile`, `StreamStands`.
    Sends: `FollowStream`, `Report` (a question) and `BookPayments` to the Executor, `Record` to the Scribe, `Halt` to the Gate
        where a position or an order differs, and where the exchange takes nothing from us any more, `Pause` and `Resume`.
    Owns: nothing but the moment up to which payments are known.
    When it dies: it is started again; nothing else depends on it.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {Priority.EXECUTION: Level.latest(key=type)}

    def __init__(self, venue: Venue, executor: ActorRef, scribe: ActorRef, gate: ActorRef) -> None:
        self._venue = venue
        self._executor = executor
        self._scribe = scribe
        self._gate = gate
        self._is_obstructed = False
        self._paid_ms: int | None = None
        """Exchange time up to which payments are booked; None before that was found out."""

    async def started(self) -> None:
        """Set the period, and have the stream followed: where it stands, the first look is now."""
        self.ctx.every("reconcile", PERIOD_S, Reconcile())
        deliver(self._executor, FollowStream(self.ctx.ref))

    @on(StreamStands)
    async def look_again(self, _: StreamStands) -> None:
        """Find out what happened while nobody listened: a position may have been closed, by a person or by the exchange.

        To reverse one that is gone would open twice as much as anybody wants.
        """
        deliver(
            self._gate, Pause("the account is looked at: nobody has listened to it for a while")
        )
        result = await self._reconcile()
        if result.is_blind:
            self.ctx.after("look again", BLIND_S, StreamStands())
        else:
            deliver(self._gate, Resume())

    @on(Reconcile)
    async def reconcile(self, _: Reconcile) -> Reconciliation:
        """Compare until both sides agree, or the difference has lasted."""
        return await self._reconcile()

    async def _reconcile(self) -> Reconciliation:
        """Look at everything there is; the clocks, too, drift apart in time."""
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
            # What is left of a balance is money, and no risk; a position or an order that differs is ours to explain.
            deliver(self._gate, Halt("the books differ from the exchange's"))
        return Reconciliation(not found, tuple(found))

    async def _heed_obstacles(self) -> None:
        """Halt where no order of ours would be taken any more: each one that is sent all the same is one more refusal.

        At the second look in a row: exchanges have refused a good key for a moment.
        """
        try:
            obstacle = await self._venue.obstacle() or (await self._ours()).locked_out
        except LockedOut as why:
            obstacle = str(why)
        except (Unavailable, Refused):
            return
        if obstacle:
            _log.error("account_unusable", why=obstacle)
        if obstacle and self._is_obstructed:
            deliver(self._gate, Halt(f"the account cannot be traded with: {obstacle}"))
        self._is_obstructed = bool(obstacle)

    async def _compare_patiently(self) -> tuple[list[str], bool]:
        """What differs at last, and whether some of it was there at the look before: both sides agree where nothing does."""
        deadline, rest_s = trio.current_time() + PATIENCE_S, _RETRY_S
        standing: list[str] = []
        has_lasted, may_ask = False, True
        gap = Decimal(0)
        while True:
            look = await self._compare()
            if not look.found:
                return [], False
            if not look.is_blind:
                common = lasting(standing, look.found)
                standing, has_lasted = common or look.found, bool(common)
                # After a trade they differ for a moment, each time by something else.
                is_payment = may_ask and not look.wallets_agree and look.gap == gap
                gap = look.gap
                if is_payment:
                    may_ask = await self._book_payments()
                    if may_ask:
                        continue  # and look again, at once
            if trio.current_time() > deadline:
                return [*standing, *look.found] if look.is_blind else standing, has_lasted
            await trio.sleep(rest_s)
            rest_s *= 2.0

    async def _book_payments(self) -> bool:
        """Ask for what changed the wallet without a trade, and have it booked; whether there was something new."""
        since_ms = self._paid_ms
        if since_ms is None:
            since_ms = (await self._ours()).adopted_ms - LATE_MS
        try:
            paid = await self._venue.payments(since_ms)
        except (Unavailable, Refused):
            return False
        new: int = await self._executor.ask(BookPayments(paid.payments), timeout=_ASK_TIMEOUT_S)
        self._know_payments(paid.until_ms)
        return new > 0

    def _know_payments(self, until_ms: int) -> None:
        """What was paid up to then is booked, but for what is told of late."""
        self._paid_ms = max(self._paid_ms or 0, until_ms - _LISTED_MS)

    async def _compare(self) -> _Look:
        at_ms = self._venue.exchange_ms()
        try:
            account = await self._venue.account()
            their_open = frozenset(view.client_id for view in await self._venue.open_orders())
        except (Unavailable, Refused) as why:
            return _Look([f"{UNREACHABLE}: {why}"])
        ours = await self._ours()
        found = differences(
            Books(ours.wallet, ours.positions, ours.open_orders),
            Books(account.wallet, account.positions, their_open),
            ours.fills,
            ours.unsettled_orders,
        )
        look = _Look(found, account.wallet - ours.wallet)
        if look.wallets_agree:
            self._know_payments(at_ms)
        return look

    async def _ours(self) -> ExecutorReport:
        report: ExecutorReport = await self._executor.ask(Report(), timeout=_ASK_TIMEOUT_S)
        return report
