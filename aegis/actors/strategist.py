"""The Strategist: the one who asks a strategy, and lives on when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import ClassVar, Final

import attrs
import structlog

from aegis.actors.latency import Latency, LatencyReport
from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, Restart, System, on
from aegis.kernel.bus import Bus
from aegis.kernel.supervisor import caught_call
from aegis.market.desk import Desk
from aegis.market.strategy import Proposal
from aegis.market.view import Holding, View
from aegis.messages import BarClosed, CatchUp, Halt, OrderChanged, Report, Signal
from aegis.orders.instrument import Side
from aegis.topics import SignalGenerated

__all__ = [
    "Strategist",
    "StrategistRecord",
    "StrategistReport",
    "start_strategists",
    "strategist_policy",
]

BARS_WAITING_MAX: Final = 16_384
_SIDES: Final = {1: Side.BUY, -1: Side.SELL, 0: None}

_log = structlog.get_logger(__name__)


@attrs.define
class StrategistRecord:
    """What outlives an incarnation of a Strategist: the strategy at work, and what came of it."""

    desk: Desk
    in_hand: str = ""
    """The symbol whose bar is being looked at."""
    quarantined: dict[str, str] = attrs.Factory(dict)
    """Symbols that the strategy failed on, and how."""
    working: dict[str, set[str]] = attrs.Factory(dict)
    """Client ids of the orders of a symbol that may still fill."""
    halted: bool = False
    bars: int = 0
    proposed: int = 0
    withheld: int = 0
    superseded: int = 0
    unsent: int = 0
    on_bar_us: Latency = attrs.Factory(Latency)


@attrs.frozen
class StrategistReport:
    """What a strategy has looked at and proposed."""

    name: str
    bars: int
    """Of its own interval."""
    proposed: int
    withheld: int
    """Entries on a broken bar, or without a stop that an order can have; none of the proposed ones."""
    superseded: int
    unsent: int
    """Signals that found the Gate gone."""
    quarantined: dict[str, str]
    """Symbols that it failed on, and how: it is not asked about them any more."""
    on_bar_us: LatencyReport
    """How long it took to answer."""


class Strategist(Actor):
    """Asks one strategy at the close of each bar of its symbols, and passes on what it wants.

    Receives: `BarClosed`; `OrderChanged`, for the position that the strategy sees.
    Sends: `Signal` to the Gate; publishes `SignalGenerated`.
    Owns: one strategy's instances and their analysis, in a record that outlives it.
    When it dies: the symbol that was in hand is quarantined, and the next incarnation goes on with the others. What guards
        a position is the Brain's, and stays.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        Priority.ANALYSIS: Level.block(BARS_WAITING_MAX),
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(
        self,
        record: StrategistRecord,
        gate: ActorRef,
        ids: Iterator[int],
        bus: Bus | None = None,
    ) -> None:
        self._record = record
        self._desk = record.desk
        self._name = record.desk.plan.name
        self._gate = gate
        self._ids = ids
        self._bus = bus or Bus()

    async def stopping(self, reason: object) -> None:
        """Quarantine the symbol that was in hand when a failure ended this incarnation."""
        record = self._record
        symbol, record.in_hand = record.in_hand, ""
        if symbol:
            failure = f"{type(reason).__name__}: {_said(reason)}"
            record.quarantined[symbol] = failure
            _log.error("quarantined", strategy=self._name, symbol=symbol, failure=failure)

    @on(BarClosed)
    def look(self, closed: BarClosed) -> None:
        """Ask the strategy about each bar of its own that is over."""
        record = self._record
        if record.halted or closed.symbol in record.quarantined:
            return  # who asks for the end does not wait for a strategy to see what is behind
        record.in_hand = closed.symbol
        for view in self._desk.views(closed.symbol, closed.closing):
            begin_ns = self.ctx.clock.monotonic_ns()
            proposal = self._desk.ask(view)
            record.on_bar_us.add((self.ctx.clock.monotonic_ns() - begin_ns) // 1000)
            record.bars += 1
            if proposal is not None and not closed.is_past:
                self._propose(view, proposal, int(closed.closing["recv_us"]))
        record.in_hand = ""

    def _propose(self, view: View, proposal: Proposal, caused_us: int) -> None:
        record = self._record
        if not proposal.can_be_guarded or (view.is_broken and proposal.side != 0):
            record.withheld += 1
            return
        signal = Signal(
            signal_id=next(self._ids),
            symbol=view.symbol,
            side=_SIDES[proposal.side],
            price=view.close,
            stop=proposal.stop,
            reason=proposal.reason,
            event_ns=int(view.bar["known_ns"]),
            caused_us=caused_us,
            created_ns=self.ctx.clock.monotonic_ns(),
            target=proposal.target,
            strategy=self._name,
            closes=_SIDES[view.position.side] if proposal.side == 0 else None,
        )
        record.proposed += 1
        self._bus.publish(SignalGenerated(signal))
        delivery = self._gate.tell(signal)
        record.superseded += delivery is Delivery.CONFLATED
        record.unsent += delivery is Delivery.DEAD

    @on(CatchUp)
    def catch_up(self, _: CatchUp) -> None:
        """Say that every bar before it has been looked at: it has waited behind them."""

    @on(OrderChanged)
    def follow(self, changed: OrderChanged) -> None:
        """Keep the position that the strategy sees."""
        working = self._record.working.setdefault(changed.symbol, set())
        if changed.signed_remaining:
            working.add(changed.client_id)
        else:
            working.discard(changed.client_id)
        self._desk.holdings[changed.symbol] = Holding(
            quantity=float(changed.position.quantity),
            entry_price=float(changed.position.entry_price),
            stop=_float(changed.stop_price),
            target=_float(changed.target_price),
            is_working=bool(working),
        )

    @on(Halt)
    def halt(self, _: Halt) -> None:
        """Propose nothing from here on: what was proposed can now be counted."""
        self._record.halted = True

    @on(Report)
    def report(self, _: Report) -> StrategistReport:
        """The figures so far."""
        record = self._record
        return StrategistReport(
            name=self._name,
            bars=record.bars,
            proposed=record.proposed,
            withheld=record.withheld,
            superseded=record.superseded,
            unsent=record.unsent,
            quarantined=dict(record.quarantined),
            on_bar_us=record.on_bar_us.report(),
        )


def strategist_policy(symbols: int) -> Restart:
    """The restart rule: a strategy may fail once on every symbol, each of which is left out from then on.

    There is no wait before a restart: no failure of the strategy's can come twice.
    """
    return Restart(max_restarts=symbols + 3, within=60.0, backoff=0.0)


async def start_strategists(
    system: System, desks: Iterable[Desk], gate: ActorRef, ids: Iterator[int], bus: Bus
) -> list[tuple[Desk, ActorRef]]:
    """Start a Strategist for each desk; `ids` numbers the signals of all of them."""
    started = []
    for desk in desks:
        plan, record = desk.plan, StrategistRecord(desk)
        name, policy = f"strategist {plan.name}", strategist_policy(len(plan.symbols))
        ref = await system.spawn(Strategist, record, gate, ids, bus, name=name, policy=policy)
        started.append((desk, ref))
    return started


def _said(reason: object) -> str:
    """What a failure says of itself; some fail at that, too."""
    text, error = caught_call(str, reason)
    if error is not None or text is None:
        return "it cannot say"
    return text.encode("utf-8", "backslashreplace").decode()


def _float(price: Decimal | None) -> float | None:
    return None if price is None else float(price)
