"""The map: who lives here, in the order of the flow, what each may send to whom, and what happens when one dies.

    worker process            main process
    ┌─────────────┐        ┌──────────────────────────────────────────────────────────────┐
    │ sockets ────┼─ ring ─▶ Brain ──Signal──▶ Gate ──Approved──▶ Executor ──▶ exchange   │
    └──────▲──────┘        │  │ ▲                ▲                  │    ▲                 │
           └──── Feed      │  │ └─ OrderChanged ─┼──────────────────┘    └── user stream   │
                           │  └─BarClosed─▶ Strategist (one a strategy; OrderChanged too)  │
                           │  Reconciler ──asks──▶ exchange      Scribe ──▶ journal        │
                           └──────────────────────────────────────────────────────────────┘

Actors start from the right of the flow to the left, so that nobody is sent anything before the receiver is there,
and stop in the opposite order: the Scribe comes first and goes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from aegis.actors.brain import Brain
from aegis.actors.executor import Executor
from aegis.actors.feed import Feed
from aegis.actors.gate import Gate
from aegis.actors.historian import Historian
from aegis.actors.janitor import Janitor
from aegis.actors.reconciler import Reconciler
from aegis.actors.scribe import Scribe
from aegis.actors.strategist import Strategist, strategist_policy
from aegis.kernel import ESCALATE, Actor, ActorRef, Restart
from aegis.kernel.supervisor import Policy
from aegis.messages import (
    Approved,
    BarClosed,
    BeginBars,
    BookPayments,
    FollowStream,
    Halt,
    OrderChanged,
    PastBars,
    Pause,
    Record,
    RecordNow,
    Report,
    Resume,
    Signal,
    StreamStands,
)

__all__ = ["CAST", "Cast", "Role"]


@attrs.frozen
class Role:
    """One actor's place in the flow."""

    name: str
    actor: type[Actor]
    sends: Mapping[type, tuple[str, ...]]
    """What it sends to which other actors."""
    process: str
    policy: Policy


CAST: Final[tuple[Role, ...]] = (
    Role("feed", Feed, {}, "main; its worker is a process of its own", Restart(5, within=60.0)),
    Role("brain", Brain, {Signal: ("gate",), BarClosed: ("strategist",)}, "main", ESCALATE),
    Role("strategist", Strategist, {Signal: ("gate",)}, "main", strategist_policy(symbols=1)),
    Role(
        "gate",
        Gate,
        {RecordNow: ("scribe",), Record: ("scribe",), Approved: ("executor",)},
        "main",
        ESCALATE,
    ),
    Role(
        "executor",
        Executor,
        {
            Record: ("scribe",),
            OrderChanged: ("gate", "brain", "strategist"),
            StreamStands: ("reconciler",),
        },
        "main",
        ESCALATE,
    ),
    Role(
        "reconciler",
        Reconciler,
        {
            FollowStream: ("executor",),
            Report: ("executor",),
            BookPayments: ("executor",),
            Record: ("scribe",),
            Halt: ("gate",),
            Pause: ("gate",),
            Resume: ("gate",),
        },
        "main",
        Restart(5, within=60.0),
    ),
    Role(
        "historian",
        Historian,
        {BeginBars: ("brain",), PastBars: ("brain",), Report: ("feed",)},
        "main",
        ESCALATE,
    ),
    Role("scribe", Scribe, {}, "main", ESCALATE),
    Role("janitor", Janitor, {}, "main", ESCALATE),
)
"""In the order of the flow."""

ROLES: Final = MappingProxyType({role.name: role for role in CAST})


@attrs.frozen
class Cast:
    """The actors of a running engine."""

    feed: ActorRef
    brain: ActorRef
    strategists: tuple[ActorRef, ...]
    gate: ActorRef
    executor: ActorRef
    reconciler: ActorRef
    scribe: ActorRef
    janitor: ActorRef
    historian: ActorRef | None = None
    """None where no candles are loaded."""
