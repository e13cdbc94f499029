"""Every message that crosses an actor's boundary. The priority stands on the type, never on the sender.

Feed ──ring──▶ Brain ──Signal──▶ Gate ──Approved──▶ Executor ──▶ exchange
                 │ ▲               ▲                  │   ▲
                 │ └─OrderChanged──┼──────────────────┘   └── user stream, replies
                 └─BarClosed─▶ Strategist (Signal, OrderChanged: as the Brain)
Gate, Executor, Reconciler ──Record──▶ Scribe ──▶ journal
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from aegis.kernel import ActorRef, Priority, message
from aegis.kernel.receipt import Reply
from aegis.orders.instrument import Side
from aegis.orders.order import Ticket, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening
from aegis.store.journal import Entry
from aegis.venue.port import OrderUpdate, Placed

__all__ = [
    "Answered",
    "Approved",
    "BarClosed",
    "BeginBars",
    "CancelOrders",
    "CatchUp",
    "ClosePositions",
    "ClosingsReady",
    "Cooled",
    "Fingerprint",
    "Follow",
    "FollowStream",
    "Found",
    "Halt",
    "NotFound",
    "OrderChanged",
    "PastBars",
    "Pause",
    "QuoteOf",
    "Reconcile",
    "Record",
    "RecordNow",
    "Report",
    "Resolve",
    "Resume",
    "Seal",
    "Signal",
    "StreamBack",
    "StreamStands",
    "Sweep",
    "TicksReady",
    "Tidy",
    "Updated",
    "UpdatesReady",
    "WorkerLine",
]

# ── the flow ─────────────────────────────────────────────────────────────────────────────────────────────────────


@message(Priority.INGEST)
class TicksReady:
    """Brain, to itself: the ring has records."""


@message(Priority.ANALYSIS)
class ClosingsReady:
    """Brain, to itself: its thread has closed bars that somebody follows."""


@message(Priority.INGEST)
class UpdatesReady:
    """Brain, to itself: windows are over, and somebody listens."""


@message(Priority.EXECUTION)
class GuardAgain:
    """Brain, to itself: a stop that was reached may have been among signals that were lost."""


@message(Priority.ANALYSIS)
class BarClosed:
    """Brain → Strategist: a bar of one of its symbols is over."""

    symbol: str
    closing: np.void
    """A CLOSING record of its own: nobody writes to it any more."""
    is_past: bool = False
    """It was over before the run began: the strategy may look, and what it wants is not sent."""


@message(Priority.ANALYSIS)
class BeginBars:
    """Historian → Brain: make bars of what trades from this time on, of all symbols; not of what was before."""

    begin_ns: int


@message(Priority.ANALYSIS)
class PastBars:
    """Historian → Brain: closed candles of a symbol, which follow those that it has."""

    symbol: str
    bars: NDArray[np.void]
    """BAR records, oldest first."""
    complete: bool
    """False: something is missing behind them, and could not be had."""
    taken: Reply | None = None
    """Is answered when they are taken, and told to those who follow: whoever brings many waits for it before the next."""


@message(Priority.ANALYSIS)
class Signal:
    """Brain or Strategist → Gate: a strategy wants to hold a side, or (`side` None) nothing.

    Prices are float64 as the strategy computed them; the Gate makes them Decimal on the tick.
    """

    signal_id: int
    symbol: str
    side: Side | None
    price: float
    stop: float
    reason: str
    event_ns: int
    caused_us: int
    """Receive stamp of the tick that caused it (32 bits of the monotonic clock in us)."""
    created_ns: int
    target: float | None = None
    """Where the position takes its profit, if anywhere."""
    strategy: str = ""
    """Which proposed it; none for the exit at a stop or a target."""
    closes: Side | None = None
    """Of an exit: the side of the position that it is about, as an order that opens it has; None for whatever is held."""


@message(Priority.EXECUTION)
class Approved:
    """Gate → Executor: a ticket that passed the limits, with the id it is sent under."""

    client_id: str
    ticket: Ticket
    caused_us: int
    created_ns: int
    on_disk: Reply
    """Is answered when the journal holds the intent: before that not a byte of the order leaves."""


@message(Priority.EXECUTION)
class OrderChanged:
    """Executor → Gate, Brain and Strategists: what an order may still add, and the position as it is now.

    Both in one message, so that nobody sees the fill without the release or the release without the fill.
    """

    client_id: str
    symbol: str
    signed_remaining: Decimal
    position: Position
    stop_price: Decimal | None
    """Where the position is given up, once there is one."""
    target_price: Decimal | None = None
    """Where it takes its profit, if anywhere."""


# ── what comes back from the exchange: the Executor's tasks, to the Executor ─────────────────────────────────────


@message(Priority.EXECUTION)
class Answered:
    """The reply to an order, or its absence."""

    client_id: str
    placed: Placed


@message(Priority.EXECUTION)
class Updated:
    """An order event of the user stream."""

    update: OrderUpdate


@message(Priority.EXECUTION)
class Resolve:
    """Find out what became of an order."""

    client_id: str


@message(Priority.EXECUTION)
class Found:
    """What the exchange shows of an order when asked, with its executions."""

    client_id: str
    happening: Happening
    filled: Decimal
    trades: tuple[Trade, ...]


@message(Priority.EXECUTION)
class NotFound:
    """The exchange shows no such order; whether that is proof depends on when it was sent."""

    client_id: str


@message(Priority.EXECUTION)
class Cooled:
    """An order that was not taken has been held for a while: only now may its symbol be ordered again."""

    client_id: str
    why: str


@message(Priority.EXECUTION)
class StreamBack:
    """The user stream is connected (again): whatever happened in between has to be asked for."""


@message(Priority.EXECUTION)
class StreamStands:
    """Executor → Reconciler: from here on all is heard of; what happened to the account before it may not have been."""


@message(Priority.BACKGROUND)
class Sweep:
    """Timer: look for orders that have been open for longer than they should be."""


@message(Priority.BACKGROUND)
class Tidy:
    """Timer of the Janitor: see whether this is a moment to collect garbage."""


# ── commands and questions ───────────────────────────────────────────────────────────────────────────────────────


@message(Priority.SYSTEM)
class Halt:
    """→ Gate: from now on nothing that opens a position passes. It stays so for the rest of the run."""

    why: str


@message(Priority.SYSTEM)
class Pause:
    """Reconciler → Gate: nothing that opens a position passes until `Resume`."""

    why: str


@message(Priority.SYSTEM)
class Resume:
    """Reconciler → Gate: what was in doubt is known; a `Halt` stays."""


@message(Priority.EXECUTION)
class Follow:
    """→ Executor: tell this actor of every `OrderChanged`, beginning with the positions held now."""

    ref: ActorRef


@message(Priority.EXECUTION)
class FollowStream:
    """→ Executor: tell this actor whenever the user stream stands, and at once if it does."""

    ref: ActorRef


@message(Priority.EXECUTION)
class CancelOrders:
    """→ Executor: cancel our own resting orders; answered with how many were asked for."""


@message(Priority.EXECUTION)
class ClosePositions:
    """→ Gate: close every position by reduce-only orders; answered with how many are still to be closed."""


@message(Priority.ANALYSIS)  # as BarClosed, behind which it has to stay
class CatchUp:
    """→ Brain: tell the Strategists of every bar that is closed by now. → Strategist: answered when it has looked at those."""


@message(Priority.EXECUTION)
class QuoteOf:
    """→ Brain: the middle of the last quote of each symbol; answered with a dict of float."""


@message(Priority.EXECUTION)
class Reconcile:
    """→ Reconciler: compare what we believe with what the exchange shows; answered with the differences."""


@message(Priority.EXECUTION)
class BookPayments:
    """Reconciler → Executor: money that moved without a trade; answered with how many of these were news."""

    payments: tuple[Payment, ...]


@message(Priority.EXECUTION)
class Fingerprint:
    """→ Executor: a digest of the whole ledger; it looks at every order, so it is asked for once."""


@message(Priority.BACKGROUND)
class Report:
    """→ any actor: what it has done so far; answered with its report."""


# ── the journal ──────────────────────────────────────────────────────────────────────────────────────────────────


@message(Priority.INGEST)
class Record:
    """→ Scribe: write this down within 5 ms, or a note within 50."""

    entries: tuple[Entry, ...]
    is_note: bool = False
    """Nothing is decided by it, now or after a crash: a verdict that changed nothing."""


@message(Priority.EXECUTION)
class RecordNow:
    """→ Scribe: write this down at once, and say so when it is on disk."""

    entries: tuple[Entry, ...]
    on_disk: Reply | None = None
    """Is answered then: whoever waits for it goes on with the loop's next turn, whatever waits in mailboxes."""


@message(Priority.INGEST)  # as Record, behind which it has to stay
class Seal:
    """→ Scribe: the last entry, and the end of the journal."""

    entry: Entry


# ── the worker process ───────────────────────────────────────────────────────────────────────────────────────────


@message(Priority.INGEST)
class WorkerLine:
    """A line of the feed worker's standard output, to the Feed."""

    line: bytes
