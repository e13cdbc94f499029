"""The Gate: where a signal becomes an order, or does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

import attrs

from aegis.actors.delivery import deliver
from aegis.kernel import Actor, ActorRef, Level, Priority, on
from aegis.kernel.bus import Bus
from aegis.kernel.receipt import Reply
from aegis.messages import (
    Approved,
    ClosePositions,
    Halt,
    OrderChanged,
    Pause,
    Record,
    RecordNow,
    Report,
    Resume,
    Signal,
)
from aegis.orders.exposure import Exposure
from aegis.orders.ids import ClientIds, is_forced
from aegis.orders.instrument import Instrument
from aegis.orders.limits import (
    Limits,
    Reason,
    Refusal,
    Wish,
    closing_tickets,
    judge,
)
from aegis.orders.order import Ticket
from aegis.store import recovery
from aegis.store.journal import Entry
from aegis.topics import OrderRequest

__all__ = ["Gate", "GateReport"]

_STAMP_MASK = 0xFFFFFFFF


@attrs.frozen
class GateReport:
    """What became of the signals that reached the Gate."""

    approved: int
    refused: int
    expired: int
    refusals: dict[str, int]


class Gate(Actor):
    """Judges signals by the limits; the only place where a ticket gets an order id.

    Receives: `Signal`, `OrderChanged`, `Halt`, `Pause`, `Resume`, `ClosePositions`.
    Sends: `RecordNow` (an intent) and `Record` (any other verdict) to the Scribe, `Approved` to the Executor; publishes
        `OrderRequest`.
    Owns: the exposure, its own reservations included, and the ids of this run's orders.
    When it dies: the engine stops; nothing is ordered unjudged.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        # A newer signal for the same thing takes the place of one that has not been judged yet.
        Priority.ANALYSIS: Level.latest(key=lambda signal: (signal.symbol, signal.side is None)),
    }

    def __init__(
        self,
        executor: ActorRef,
        scribe: ActorRef,
        *,
        instruments: Mapping[str, Instrument],
        limits: Limits,
        ids: ClientIds,
        signal_ttl_ms: int = 250,
        bus: Bus | None = None,
    ) -> None:
        self._executor = executor
        self._scribe = scribe
        self._instruments = instruments
        self._limits = limits
        self._ids = ids
        self._bus = bus or Bus()
        self._signal_ttl_ns = signal_ttl_ms * 1_000_000
        self._exposure = Exposure()
        self._halted = ""
        self._paused = ""
        self._closed_out: dict[str, str] = {}
        """Symbols of which the exchange itself has closed a position, and by which order: nothing is opened there any more."""
        self._approved = 0
        self._expired = 0
        self._refusals: Counter[str] = Counter()

    @on(Signal)
    async def judge_signal(self, signal: Signal) -> None:
        """Approve or refuse it, and write down which and why."""
        now_ns = self.ctx.clock.monotonic_ns()
        entry = signal.side is not None
        if entry and now_ns - signal.created_ns > self._signal_ttl_ns:
            self._expired += 1
            self._write_down("signal_expired", signal, {})
            return
        verdict = self._verdict(signal, now_ns)
        if isinstance(verdict, Refusal):
            self._refusals[verdict.reason.value] += 1
            self._write_down(
                "signal_refused", signal, {"reason": verdict.reason.value, "detail": verdict.detail}
            )
            return
        self._approved += 1
        self._approve(verdict, signal.caused_us, signal.created_ns)

    def _verdict(self, signal: Signal, now_ns: int) -> Ticket | Refusal:
        if signal.side is not None:
            if why := self._halted or self._closed_out.get(signal.symbol, ""):
                return Refusal(Reason.HALTED, why)
            if self._paused:
                return Refusal(Reason.NOT_READY, self._paused)
        instrument = self._instruments[signal.symbol]
        price = Decimal(repr(signal.price))
        self._exposure.value_at(signal.symbol, price)
        stop = target = None
        if signal.side is not None:
            stop = instrument.passive_price(signal.side, Decimal(repr(signal.stop)))
        if signal.side is not None and signal.target is not None:
            wanted = Decimal(repr(signal.target))
            target = instrument.passive_price(signal.side.opposite, wanted)
        wish = Wish(
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            side=signal.side,
            price=price,
            stop_price=stop,
            data_age_us=(now_ns // 1000 - signal.caused_us) & _STAMP_MASK,
            target_price=target,
            strategy=signal.strategy,
            closes=signal.closes,
        )
        return judge(wish, instrument, self._exposure, self._limits)

    def _approve(self, ticket: Ticket, caused_us: int, created_ns: int) -> str:
        """Reserve first, then send: the exposure is never too low, not even for a moment.

        The disk takes longest, so it comes first; the Executor takes the order up meanwhile.
        """
        client_id, on_disk = self._ids.next(), Reply()
        self._exposure.reserve(ticket.symbol, client_id, ticket.quantity * ticket.side.sign)
        deliver(self._scribe, RecordNow((recovery.intended(client_id, ticket),), on_disk))
        deliver(self._executor, Approved(client_id, ticket, caused_us, created_ns, on_disk))
        self._bus.publish(OrderRequest(client_id, ticket))
        return client_id

    @on(OrderChanged)
    async def follow(self, changed: OrderChanged) -> None:
        """Keep the exposure true."""
        self._exposure.reserve(changed.symbol, changed.client_id, changed.signed_remaining)
        self._exposure.hold(changed.symbol, changed.position.quantity)
        if is_forced(changed.client_id):
            why = f"the exchange has closed a position of it: {changed.client_id}"
            self._closed_out[changed.symbol] = why
        if changed.position.quantity and not self._exposure.mark(changed.symbol):
            # A position that was adopted has had no signal yet.
            self._exposure.value_at(changed.symbol, changed.position.entry_price)

    @on(Halt)
    async def halt(self, order: Halt) -> None:
        """Refuse every entry from here on; exits still pass."""
        self._halted = self._halted or order.why

    @on(Pause)
    async def pause(self, order: Pause) -> None:
        """Refuse every entry for now; exits still pass."""
        self._paused = order.why

    @on(Resume)
    async def resume(self, _: Resume) -> None:
        """Judge entries again."""
        self._paused = ""

    @on(ClosePositions)
    async def close_positions(self, _: ClosePositions) -> int:
        """Send a reduce-only order for each position that has no order yet; answers with how many are to be closed."""
        now_ns = self.ctx.clock.monotonic_ns()
        wanted = closing_tickets(self._exposure, self._instruments)
        tickets = [ticket for ticket in wanted if isinstance(ticket, Ticket)]
        for ticket in tickets:
            if not self._exposure.is_working(ticket.symbol):
                self._approve(ticket, (now_ns // 1000) & _STAMP_MASK, now_ns)
        return len(tickets)

    @on(Report)
    async def report(self, _: Report) -> GateReport:
        """The verdicts so far."""
        return GateReport(
            self._approved, self._refusals.total(), self._expired, dict(self._refusals)
        )

    def _write_down(self, kind: str, signal: Signal, more: dict[str, object]) -> None:
        body = {
            "signal": signal.signal_id,
            "symbol": signal.symbol,
            "side": signal.side.value if signal.side else None,
            "price": signal.price,
            "cause": signal.reason,
            "strategy": signal.strategy,
            **more,
        }
        deliver(self._scribe, Record((Entry(kind, body),), is_note=True))
