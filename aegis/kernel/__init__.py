"""An actor library on Trio: typed messages with priorities, bounded mailboxes, supervision, timers, virtual time.

It knows nothing of markets. `docs/kernel.md` leads from the first actor to supervision in ten minutes.
"""

from __future__ import annotations

from aegis.kernel.actor import Actor, on
from aegis.kernel.clock import Clock, ManualClock, SystemClock, VirtualClock
from aegis.kernel.context import Context
from aegis.kernel.group import ALL_FOR_ONE, ONE_FOR_ONE, REST_FOR_ONE, Group, Strategy
from aegis.kernel.level import Level
from aegis.kernel.mailbox import Delivery
from aegis.kernel.message import Priority, message
from aegis.kernel.ref import ActorRef, Terminated
from aegis.kernel.stats import ActorStats, Latency, SystemStats
from aegis.kernel.supervisor import ESCALATE, STOP, Restart
from aegis.kernel.system import System, open_system

__all__ = [
    "ALL_FOR_ONE",
    "ESCALATE",
    "ONE_FOR_ONE",
    "REST_FOR_ONE",
    "STOP",
    "Actor",
    "ActorRef",
    "ActorStats",
    "Clock",
    "Context",
    "Delivery",
    "Group",
    "Latency",
    "Level",
    "ManualClock",
    "Priority",
    "Restart",
    "Strategy",
    "System",
    "SystemClock",
    "SystemStats",
    "Terminated",
    "VirtualClock",
    "message",
    "on",
    "open_system",
]
