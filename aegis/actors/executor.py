"""The Executor: the one who sends orders, and knows what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import structlog

from aegis.actors.delivery import deliver
from aegis.actors.executor_report import ExecutorReport
from aegis.actors.flight import ASK_S, ASK_S_MAX, Flight
from aegis.actors.hearing import Hearing, Listen
from aegis.actors.inquiry import inquire
from aegis.actors.intents import Intents
from aegis.actors.order_times import OrderTimes
from aegis.errors import Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Level, Priority, on
from aegis.kernel.bus import Bus
from aegis.messages import (
    Answered,
    Approved,
    BookPayments,
    CancelOrders,
    Cooled,
    Fingerprint,
    Follow,
    FollowStream,
    Found,
    NotFound,
    OrderChanged,
    Record,
    Report,
    Resolve,
    StreamBack,
    StreamStands,
    Sweep,
    Updated,
)
from aegis.orders.ids import is_forced
from aegis.orders.ledger import Ledger
from aegis.orders.order import Order, Trade
from aegis.orders.portfolio import ZERO
from aegis.orders.protection import Protection
from aegis.orders.states import UNSETTLED, Happening, OrderState
from aegis.store import recovery
from aegis.store.journal import Entry
from aegis.topics import OrderFilled
from aegis.venue import outcome
from aegis.venue.port import Venue

__all__ = ["Executor"]

SEND_AGE_NS_MAX: Final = 1_000_000_000
"""An entry whose intent took this long to become durable is not sent any more: the market has moved on. An exit always is."""
COOL_S: Final = 0.5
"""How long a symbol rests after an order that was not taken."""
SWEEP_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Executor(Actor):
    """Sends each approved order once, and follows it to its end by reply, by stream and by asking.

    Receives: `Approved`, `CancelOrders`, `BookPayments`, and from its own tasks the replies and the user stream's events.
    Sends: `Record`, `OrderChanged` to its followers, `StreamStands` to the Reconciler; publishes `OrderFilled`.
    Owns: the ledger, the requests in flight and the user stream.
    When it dies: the engine stops, and the next start finds every order that may exist in the journal.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(
        self,
        venue: Venue,
        listen: Listen,
        scribe: ActorRef,
        ledger: Ledger,
        bus: Bus | None = None,
    ) -> None:
        self._venue = venue
        self._hearing = Hearing(listen)
        self._scribe = scribe
        self._ledger = ledger
        self._bus = bus or Bus()
        self._intents = Intents()
        self._followers: list[ActorRef] = []
        self._stream_followers: dict[ActorRef, None] = {}
        self._flights: dict[str, Flight] = {}
        self._protection = Protection.of_orders(ledger.orders.values())
        self._counts = dict.fromkeys(
            ("sent", "accepted", "refused", "unknown", "cancelled", "withdrawn", "fills"), 0
        )
        self._locked_out = ""
        self._first_fill_ns: int | None = None
        self._times = OrderTimes()

    async def started(self) -> None:
        """Listen to the account, and look for what an earlier run left open."""
        self.ctx.start_soon(self._hearing.run, self._hear)
        self.ctx.every("sweep", SWEEP_S, Sweep())
        for order in self._ledger.open_orders():
            self._flight(order.client_id)
            self._happen(order.client_id, Happening.LOST, "open when an earlier run ended")
            self.ctx.ref.tell(Resolve(order.client_id))

    def _hear(self, event: object) -> None:
        deliver(self.ctx.ref, event)

    @on(Follow)
    async def follow(self, request: Follow) -> None:
        """Tell one more actor of every change."""
        self._followers.append(request.ref)
        for order in self._ledger.open_orders():
            request.ref.tell(self._change(order.client_id, order.symbol))
        for symbol in self._ledger.portfolio.open_positions():
            request.ref.tell(self._change("", symbol))

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────

    @on(Approved)
    async def execute(self, approved: Approved) -> None:
        """Take the order up, and have it wait until its intent is on disk."""
        client_id, ticket = approved.client_id, approved.ticket
        self._times.taken(approved, self.ctx.clock.monotonic_ns())
        self._ledger.intend(Order.intended(client_id, ticket))
        self._protection.promise(ticket)
        self._intents.add(client_id)
        self.ctx.start_soon(self._send, approved)

    async def _send(self, approved: Approved) -> None:
        """The one place from which an order leaves, and what is on disk alone; it is never called twice for one id."""
        await approved.on_disk.wait()
        durable_ns = self.ctx.clock.monotonic_ns()
        self._times.durable(approved, durable_ns)
        if self._may_leave(approved, durable_ns):
            placed = await self._venue.place(approved.client_id, approved.ticket)
            now_ns = self.ctx.clock.monotonic_ns()
            self._times.answered(approved, durable_ns, placed.sent_ns, now_ns)
            self._hear(Answered(approved.client_id, placed))

    def _may_leave(self, approved: Approved, now_ns: int) -> bool:
        """Decide, now that it is on disk, and count it."""
        client_id = approved.client_id
        is_late = now_ns - approved.created_ns > SEND_AGE_NS_MAX
        if self._intents.settle(client_id):
            self._counts["withdrawn"] += 1
            self._happen(client_id, Happening.REJECTED, "withdrawn: cancelled before it was sent")
            return False
        if is_late and not approved.ticket.reduce_only:
            self._counts["withdrawn"] += 1
            self._cool(client_id, "withdrawn: durable too late")
            return False
        self._counts["sent"] += 1
        self._flights[client_id] = Flight(now_ns)
        return True

    @on(Answered)
    async def take_answer(self, answered: Answered) -> None:
        """Apply the reply; the stream may have told us already."""
        client_id, placed = answered.client_id, answered.placed
        self._flight(client_id).cutoff_ms = placed.cutoff_ms
        match placed.outcome:
            case outcome.Accepted():
                self._counts["accepted"] += 1
                self._locked_out = ""
                self._happen(client_id, Happening.ACCEPTED, "reply")
            case outcome.Refused(code=code, message=why):
                self._counts["refused"] += 1
                self._locked_out = f"{code} {why}" if code in outcome.NOT_OURS else ""
                self._cool(client_id, f"{code} {why}")
            case outcome.Unavailable(why=why):
                self._counts["sent"] -= 1  # not a byte of it was taken
                self._counts["withdrawn"] += 1
                self._cool(client_id, why)
            case outcome.Unknown(why=why):
                self._counts["unknown"] += 1
                self._happen(client_id, Happening.LOST, why)
                self._resolve_later(client_id)

    def _cool(self, client_id: str, why: str) -> None:
        """Keep the reservation of an order that was not taken for a while.

        Otherwise a stop would be proposed, and refused, again with every tick.
        """
        self.ctx.after(f"cool {client_id}", COOL_S, Cooled(client_id, why))

    @on(Cooled)
    async def release(self, cooled: Cooled) -> None:
        """Let the symbol be ordered again."""
        self._happen(cooled.client_id, Happening.REJECTED, cooled.why)

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────

    @on(Updated)
    async def take_update(self, updated: Updated) -> None:
        """Apply an event of the user stream, our own order's or not."""
        update = updated.update
        if update.trade is not None:
            self._trade(update.trade)
        order = self._ledger.orders.get(update.client_id)
        if update.happening is None or order is None:
            return
        if update.filled > order.filled:  # a fill was missed: find it before the order is over
            self.ctx.ref.tell(Resolve(update.client_id))
        else:
            self._happen(update.client_id, update.happening, "stream")

    @on(Found)
    async def take_found(self, found: Found) -> None:
        """Apply what the exchange shows of an order."""
        flight = self._flight(found.client_id)
        flight.asking = False
        for trade in found.trades:
            if self._trade(trade):
                self._hearing.found(trade.event_ms, self._venue.exchange_ms())
        order = self._ledger.orders[found.client_id]
        if order.filled < found.filled:
            self._await_trades(found, order)
            return
        flight.missing_since_ns = None
        self._happen(found.client_id, found.happening, "asked")
        if self._ledger.orders[found.client_id].state is OrderState.UNKNOWN:
            self._resolve_later(found.client_id)
        else:
            flight.rest_s(self.ctx.clock.monotonic_ns())

    def _await_trades(self, found: Found, order: Order) -> None:
        """What it did is not shown yet. Of an old order it never will be: that must not keep its symbol from being left."""
        is_over = found.happening is not Happening.ACCEPTED or found.filled >= order.quantity
        if is_over and self._flight(found.client_id).has_vanished(self.ctx.clock.monotonic_ns()):
            _log.error("executions_not_shown", order=found.client_id, filled=str(found.filled))
            self._happen(found.client_id, Happening.EXPIRED, "over, and its executions not shown")
        else:
            self._resolve_later(found.client_id, within_s=2 * ASK_S)

    @on(NotFound)
    async def take_not_found(self, missing: NotFound) -> None:
        """Believe in an order's absence only once the request can no longer be executed; in the end of one that was taken, late."""
        flight, order = self._flight(missing.client_id), self._ledger.orders[missing.client_id]
        flight.asking = False
        if not order.is_open:
            return
        left_s = flight.left_s(self._venue.exchange_ms())
        has_vanished = flight.has_vanished(self.ctx.clock.monotonic_ns())
        if left_s < 0 and order.state in UNSETTLED:
            self._happen(missing.client_id, Happening.ABSENT, "not found after its cut-off")
        elif has_vanished:
            self._happen(missing.client_id, Happening.EXPIRED, "taken, and shown no longer")
        else:
            within_s = left_s + ASK_S if left_s >= 0 else ASK_S_MAX
            self._resolve_later(missing.client_id, within_s=within_s)

    @on(FollowStream)
    async def follow_stream(self, request: FollowStream) -> None:
        """Tell one actor more, as often as it is started again, of each moment from which on all is heard."""
        self._stream_followers[request.ref] = None
        if self._hearing.stands:
            deliver(request.ref, StreamStands())

    @on(StreamBack)
    async def stream_back(self, _: StreamBack) -> None:
        """Ask for every open order: its events may have passed while nobody listened."""
        self._hearing.began(self._venue.exchange_ms())
        for ref in self._stream_followers:
            deliver(ref, StreamStands())
        for order in self._ledger.open_orders():
            self.ctx.ref.tell(Resolve(order.client_id))

    @on(Sweep)
    async def sweep(self, _: Sweep) -> None:
        """Ask for orders that should have been over by now."""
        now_ns = self.ctx.clock.monotonic_ns()
        for order in self._ledger.open_orders():
            if self._flight(order.client_id).is_overdue(now_ns):
                self.ctx.ref.tell(Resolve(order.client_id))

    @on(Resolve)
    async def resolve(self, request: Resolve) -> None:
        """Ask what became of an order, unless that is known or being asked already."""
        order = self._ledger.orders[request.client_id]
        if request.client_id in self._intents:
            return  # nobody can know it yet
        flight = self._flight(request.client_id)
        if order.is_open and not flight.asking:
            flight.asking = True
            self.ctx.start_soon(self._ask, order)

    async def _ask(self, order: Order) -> None:
        try:
            self._hear(await inquire(self._venue, order))
        except (Unavailable, Refused) as why:
            _log.warning("order_not_resolved", order=order.client_id, why=str(why))
            self._flight(order.client_id).asking = False
            self._resolve_later(order.client_id)

    def _flight(self, client_id: str) -> Flight:
        """What is remembered of an order; of one that came back from its end, as little as of an earlier run's."""
        flight = self._flights.get(client_id)
        if flight is None:
            flight = Flight(self.ctx.clock.monotonic_ns(), self._venue.cutoff_ms())
            self._flights[client_id] = flight
        return flight

    def _resolve_later(self, client_id: str, *, within_s: float = ASK_S_MAX) -> None:
        now_ns = self.ctx.clock.monotonic_ns()
        wait_s = self._flight(client_id).rest_s(now_ns, within_s=within_s)
        self.ctx.after(f"resolve {client_id}", wait_s, Resolve(client_id))

    # ── cancelling and reporting ─────────────────────────────────────────────────────────────────────────────────

    @on(CancelOrders)
    async def cancel_orders(self, _: CancelOrders) -> int:
        """Ask the exchange to cancel each order of ours that may still fill; what was not sent yet never will be."""
        unsent = self._intents.recall()
        still_open = self._ledger.open_orders()
        for order in still_open:
            if order.client_id not in unsent:
                self.ctx.start_soon(self._cancel, order)
        return len(still_open)

    async def _cancel(self, order: Order) -> None:
        """Whatever the answer is, only an event or a query decides what became of the order."""
        await self._venue.cancel(order.symbol, order.client_id)
        self._hear(Resolve(order.client_id))

    @on(BookPayments)
    async def book_payments(self, request: BookPayments) -> int:
        """Book what changed the wallet without a trade."""
        new = [payment for payment in request.payments if self._ledger.paid(payment)]
        for payment in new:
            self._write(recovery.paid(payment))
        return len(new)

    @on(Fingerprint)
    async def fingerprint(self, _: Fingerprint) -> str:
        """A digest of the ledger, to compare with the journal's fold."""
        return self._ledger.fingerprint()

    @on(Report)
    async def report(self, _: Report) -> ExecutorReport:
        """Orders and money so far."""
        return ExecutorReport.of(
            self._ledger,
            self._counts,
            locked_out=self._locked_out,
            first_fill_ns=self._first_fill_ns,
            times=self._times.report(),
        )

    # ── one way in: the ledger, the journal and the followers always change together ─────────────────────────────

    def _happen(self, client_id: str, happening: Happening, why: str) -> None:
        if self._ledger.happened(client_id, happening):
            self._counts["cancelled"] += happening is Happening.CANCELLED
            self._write(recovery.happened(client_id, happening, why))
            self._tell_followers(client_id, self._ledger.orders[client_id].symbol)

    def _trade(self, trade: Trade) -> bool:
        was_foreign = trade.symbol in self._ledger.foreign
        is_new = self._ledger.traded(trade)
        if trade.symbol in self._ledger.foreign and not was_foreign:
            _log.warning(
                "position_not_guarded", symbol=trade.symbol, why="no order of ours made it"
            )
        if is_new:
            self._counts["fills"] += 1
            if self._first_fill_ns is None:
                self._first_fill_ns = self.ctx.clock.monotonic_ns()
            self._write(recovery.traded(trade))
            self._bus.publish(OrderFilled(trade))
            if is_forced(trade.client_id):
                _log.error("closed_by_exchange", symbol=trade.symbol, order=trade.client_id)
            self._tell_followers(trade.client_id, trade.symbol)
        return is_new

    def _write(self, entry: Entry) -> None:
        deliver(self._scribe, Record((entry,)))

    def _tell_followers(self, client_id: str, symbol: str) -> None:
        changed = self._change(client_id, symbol)
        for follower in self._followers:
            deliver(follower, changed)

    def _change(self, client_id: str, symbol: str) -> OrderChanged:
        position = self._ledger.portfolio.position(symbol)
        ours = ZERO if symbol in self._ledger.foreign else position.quantity
        stop_price, target_price = self._protection.of(symbol, ours)
        return OrderChanged(
            client_id=client_id,
            symbol=symbol,
            signed_remaining=self._ledger.signed_remaining(client_id),
            position=position,
            stop_price=stop_price,
            target_price=target_price,
        )
