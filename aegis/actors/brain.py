"""The Brain: ticks in, signals out."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt
import structlog
import trio

from aegis.actors.brain_report import BrainReport
from aegis.actors.brain_thread import BrainThread
from aegis.actors.guards import Guards
from aegis.actors.intake import Intake
from aegis.actors.latency import Latency
from aegis.kernel import Actor, ActorRef, Delivery, Level, Priority, on
from aegis.kernel.bus import Bus
from aegis.kernel.clock import is_virtual
from aegis.market import commands
from aegis.market.analysis import Analysis
from aegis.market.conflate import Conflation
from aegis.market.records import TICK
from aegis.market.signals import Reason, SignalKind
from aegis.messages import (
    BarClosed,
    BeginBars,
    CatchUp,
    ClosingsReady,
    GuardAgain,
    Halt,
    OrderChanged,
    PastBars,
    QuoteOf,
    Report,
    Signal,
    TicksReady,
    UpdatesReady,
)
from aegis.orders.instrument import Side
from aegis.shm.reader import Reader
from aegis.topics import SignalGenerated, TickUpdate

__all__ = ["Brain", "TickReader"]

BATCH: Final = 4096
BATCHES_PER_TURN: Final = 4
"""After so many full batches the mailbox gets its turn: an order's news must not wait behind a flood."""
LISTENERS_S: Final = 0.05
"""How often it looks whether somebody listens to updates."""
LOSSES_NS: Final = 1_000_000_000
"""Bars that are lost are logged so often at most: whoever has no time for bars has none for lines."""
_STAMP_MASK: Final = 0xFFFFFFFF
# To read them from the enum takes as long as a tell.
_CONFLATED: Final = Delivery.CONFLATED
_DEAD: Final = Delivery.DEAD
_SIDES: Final = {
    int(SignalKind.ENTRY_LONG): Side.BUY,
    int(SignalKind.ENTRY_SHORT): Side.SELL,
    int(SignalKind.EXIT): None,
}
_CLOSED: Final = {-1: Side.BUY, 0: None, 1: Side.SELL}
"""By the side of the order that an exit asks for, what it closes."""
_REASONS: Final = {int(reason): reason.name.lower() for reason in Reason}

_log = structlog.get_logger(__name__)


class TickReader(Protocol):
    """What the Brain needs of a ring reader."""

    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read."""

    async def wait(self) -> object:
        """Return once there is something to read."""

    def read_into(self, out: npt.NDArray[np.void]) -> int:
        """Copy new records; how many."""


class Brain(Actor):
    """Reads the ring, updates every symbol's numbers in one compiled step, and passes on the signals.

    Live, a thread of its own does the reading and stepping (`brain_thread`). Where time is virtual, or the reader is
    none of a ring, this actor does the same inline.

    Receives: the ring's records; `OrderChanged`, which arms and disarms a symbol's protective stop and its target; candles
        from before it began (`PastBars`), and where its own bars begin (`BeginBars`).
    Sends: `Signal` to the Gate, `BarClosed` to the Strategists of a symbol; publishes `SignalGenerated` and, where somebody
        listens, `TickUpdate`.
    Owns: the ring reader, the thread, and the state of all symbols, to which only the thread writes.
    When it dies: the engine stops; a brain without its past would trade on half a picture.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.EXECUTION: Level.block(4096),
        Priority.ANALYSIS: Level.block(64),
        Priority.INGEST: Level.latest(key=type),
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(
        self,
        reader: TickReader,
        analysis: Analysis,
        symbols: Sequence[str],
        gate: ActorRef,
        bus: Bus | None = None,
        *,
        strategists: Mapping[str, Sequence[ActorRef]] | None = None,
        ids: Iterator[int] | None = None,
        conflate_ms: int = 100,
    ) -> None:
        self._reader = reader
        self._analysis = analysis
        self._symbols = tuple(symbols)
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._gate = gate
        self._bus = bus or Bus()
        self._strategists = [(strategists or {}).get(symbol, ()) for symbol in symbols]
        self._ids = ids or count(1)
        self._rules = ("", *(rule.name for rule in analysis.rules))
        analysis.follow([row for row, refs in enumerate(self._strategists) if refs])
        self._conflation = Conflation(len(symbols), conflate_ms)
        self._thread: BrainThread | None = None
        self._guards = Guards(self._index)
        self._intake = Intake(self._digest)
        self._batch = np.empty(BATCH, TICK)
        self._read: dict[type, trio.Event] = {}
        self._proposed = 0
        self._superseded = 0
        self._unsent = 0
        self._by_rule: Counter[str] = Counter()
        self._bars_unsent = 0
        self._ticks_lost = reader.lost
        self._losses_heeded = 0
        self._losses_logged = (0, 0)
        self._losses_logged_ns = -LOSSES_NS
        self._halted = False
        self._tick_to_signal = Latency()

    async def started(self) -> None:
        """Watch the ring, or the thread that does."""
        self.ctx.start_soon(self._intake.run)
        if is_virtual(self.ctx.clock) or not isinstance(self._reader, Reader):
            self.ctx.start_soon(self._watch, self._reader, TicksReady())
            return
        self._thread = thread = BrainThread(self._reader, self._analysis, self._conflation)
        # An order waits for a signal: it does not wait its turn in the mailbox.
        self.ctx.start_soon(thread.run, self._propose)
        self.ctx.start_soon(self._watch, thread.closings, ClosingsReady())
        self.ctx.start_soon(self._watch, thread.updates, UpdatesReady())
        self.ctx.start_soon(self._mind_listeners, thread)

    async def stopping(self, _: object) -> None:
        """Log the bars that were lost since that was logged last."""
        self._log_losses()

    async def _watch(self, reader: TickReader, ready: object) -> None:
        """Turn a ring's readiness into a message, so that reading waits its turn like everything else."""
        while True:
            await reader.wait()
            self._read[type(ready)] = read = trio.Event()
            # Candles of before may fill the box: it waits behind them.
            await self.ctx.ref.send(ready)
            await read.wait()

    async def _mind_listeners(self, thread: BrainThread) -> None:
        """Have windows conflated only while somebody listens."""
        while True:
            thread.hear_updates(self._bus.is_heard(TickUpdate))
            await trio.sleep(LISTENERS_S)

    @on(TicksReady)
    async def read(self, _: TicksReady) -> None:
        """Read what is there and step, a few batches at most."""
        for _turn in range(BATCHES_PER_TURN):
            count = self._reader.read_into(self._batch)
            if count:
                self._heed_overrun()
                self._propose(self._analysis.step(self._batch[:count]))
                self._tell_closings(self._analysis.closings())
                if self._bus.is_heard(TickUpdate):
                    self._publish(self._conflation.take(self._batch[:count]))
            if count < BATCH:
                break
        self._read[TicksReady].set()

    def _heed_overrun(self) -> None:
        """A reader that was overtaken misses ticks before those that it has read now."""
        if self._reader.lost != self._ticks_lost:
            self._ticks_lost = self._reader.lost
            self._analysis.break_all()
            self._conflation.break_all()

    @on(ClosingsReady)
    async def read_closings(self, _: ClosingsReady) -> None:
        """Tell the Strategists of the bars that the thread has closed."""
        if self._thread is not None:
            self._tell_closings(self._thread.closings.take())
        self._read[ClosingsReady].set()

    @on(UpdatesReady)
    async def read_updates(self, _: UpdatesReady) -> None:
        """Publish the windows that are over."""
        if self._thread is not None:
            self._publish(self._thread.updates.take())
        self._read[UpdatesReady].set()

    async def _obey(self, orders: npt.NDArray[np.void]) -> None:
        """Have the one who writes to the rows do something, in its turn."""
        if self._thread is not None:
            await self._thread.obey(orders)
            return
        self._analysis.obey(orders)
        self._tell_closings(self._analysis.closings())

    async def _digest(self, orders: npt.NDArray[np.void]) -> None:
        """Have a piece of many orders done, and their closings told, before the next."""
        if self._thread is not None:
            await self._thread.digest(orders)
        else:
            await trio.lowlevel.checkpoint()
            await self._obey(orders)

    def _propose(self, signals: npt.NDArray[np.void]) -> None:
        if self._halted:
            return
        is_heard = self._bus.is_heard(SignalGenerated)
        tell, now_ns = self._gate.tell, self.ctx.clock.monotonic_ns
        # As tuples, all at once: a record's fields one by one take 12 us, and the last of a burst waits for all of it.
        for row in signals.tolist():
            signal = self._signal(row, now_ns())
            self._proposed += 1
            if signal.strategy:
                self._by_rule[signal.strategy] += 1
            if is_heard:
                self._bus.publish(SignalGenerated(signal))
            delivery = tell(signal)
            self._tick_to_signal.add((now_ns() // 1000 - signal.caused_us) & _STAMP_MASK)
            self._superseded += delivery is _CONFLATED
            self._unsent += delivery is _DEAD
        lost = 0 if self._thread is None else self._thread.signals_lost
        if lost != self._losses_heeded and self.ctx.ref.tell(GuardAgain()) is Delivery.OK:
            self._losses_heeded = lost

    def _tell_closings(self, closings: npt.NDArray[np.void]) -> None:
        for closing in closings:
            symbol = int(closing["symbol"])
            closed = BarClosed(self._symbols[symbol], closing, bool(closing["is_past"]))
            for strategist in self._strategists[symbol]:
                self._bars_unsent += strategist.tell(closed) is not Delivery.OK
        if self.ctx.clock.monotonic_ns() - self._losses_logged_ns >= LOSSES_NS:
            self._log_losses()

    def _log_losses(self) -> None:
        """Say how many bars were lost so far, where there are more than were said."""
        losses = (self._bars_lost, self._bars_unsent)
        if losses != self._losses_logged:
            self._losses_logged = losses
            self._losses_logged_ns = self.ctx.clock.monotonic_ns()
            _log.warning("bars_lost", lost=losses[0], unsent=losses[1])

    @property
    def _signals_lost(self) -> int:
        on_the_way = 0 if self._thread is None else self._thread.signals_lost
        return on_the_way + int(self._analysis.outbox[0]["signals_lost"])

    @property
    def _bars_lost(self) -> int:
        on_the_way = 0 if self._thread is None else self._thread.closings_lost
        return on_the_way + int(self._analysis.outbox[0]["closings_lost"])

    def _publish(self, windows: npt.NDArray[np.void]) -> None:
        for window in windows:
            trades = window["trades"]
            update = TickUpdate(
                symbol=self._symbols[int(window["symbol"])],
                event_ns=int(window["event_ns"]),
                bid=float(window["bid"]),
                ask=float(window["ask"]),
                bid_size=float(window["bid_size"]),
                ask_size=float(window["ask_size"]),
                quotes=int(window["quotes"]),
                price=float(trades["close"]),
                high=float(trades["high"]),
                low=float(trades["low"]),
                trades=int(trades["trades"]),
                volume=float(trades["volume"]),
                signed_volume=float(trades["signed_volume"]),
            )
            self._bus.publish(update)

    def _signal(self, row: tuple[Any, ...], created_ns: int) -> Signal:
        _, known_ns, price, stop, _, target, recv_us, symbol, kind, reason, order, rule = row
        side = _SIDES[kind]
        return Signal(
            signal_id=next(self._ids),
            symbol=self._symbols[symbol],
            side=side,
            price=price,
            stop=stop,
            reason=_REASONS[reason],
            event_ns=known_ns,
            caused_us=recv_us,
            created_ns=created_ns,
            target=None if math.isnan(target) else target,
            strategy=self._rules[rule],
            closes=_CLOSED[order] if side is None else None,
        )

    @on(OrderChanged)
    async def guard(self, changed: OrderChanged) -> None:
        """Watch the stop and the target of what is held; once a position is gone, so are they."""
        await self._obey(self._guards.follow(changed))

    @on(GuardAgain)
    async def guard_again(self, _: GuardAgain) -> None:
        """Arm everything once more, in turn with what changes it: a later command is never overtaken by an older one."""
        await self._obey(self._guards.armed())

    @on(BeginBars)
    def begin_bars(self, begin: BeginBars) -> None:
        """Make bars of ticks from a time on, behind the candles that were brought before."""
        rows = self._index.values()
        self._intake.take(
            np.concatenate([commands.begin_bars_at(row, begin.begin_ns) for row in rows])
        )

    @on(PastBars)
    def take_past(self, past: PastBars) -> None:
        """Take candles that closed before; what follows from them is past, so nothing is proposed.

        They are taken as fast as the Strategists look at them, while an order's news is handled at once.
        """
        index = self._index[past.symbol]
        orders = [commands.take_bars(index, past.bars)]
        if not past.complete:
            orders.append(commands.break_bar(index))
        self._intake.take(np.concatenate(orders), self._strategists[index], past.taken)

    @on(CatchUp)
    async def catch_up(self, _: CatchUp) -> None:
        """Tell of what the thread has closed by now, whatever it is at."""
        if self._thread is not None:
            await self._thread.pass_by()
            while len(closings := self._thread.closings.take()):
                self._tell_closings(closings)

    @on(Halt)
    async def halt(self, _: Halt) -> None:
        """Propose nothing from here on: what was proposed can now be counted."""
        self._halted = True

    @on(QuoteOf)
    async def quotes(self, _: QuoteOf) -> dict[str, float]:
        """The middle of the last quote of every symbol that has one."""
        return {
            symbol: middle
            for symbol, index in self._index.items()
            if (middle := _middle(self._analysis.row(index))) > 0
        }

    @on(Report)
    async def report(self, _: Report) -> BrainReport:
        """The figures so far."""
        return BrainReport(
            counts=self._analysis.counts(),
            ticks_lost=self._reader.lost,
            proposed=self._proposed,
            superseded=self._superseded,
            unsent=self._unsent,
            signals_lost=self._signals_lost,
            by_rule=dict(self._by_rule),
            bars_lost=self._bars_lost,
            bars_unsent=self._bars_unsent,
            lost=0 if self._thread is None else self._thread.lost,
            loop_thread=threading.get_native_id(),
            step_thread=(
                threading.get_native_id() if self._thread is None else self._thread.thread_id
            ),
            tick_to_signal_us=self._tick_to_signal.report(),
        )


def _middle(row: Any) -> float:
    bid, ask = float(row["bid"]), float(row["ask"])
    return (bid + ask) / 2 if bid > 0 and ask > 0 else float(row["price"])
