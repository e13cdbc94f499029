"""The bus: events for whoever wants to listen. A topic is a class; publishing never waits and never raises."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import attrs

from aegis.errors import Refused
from aegis.kernel.actor import Handler
from aegis.kernel.clock import Clock, ambient_clock
from aegis.kernel.level import Level
from aegis.kernel.mailbox import Delivery, Mailbox
from aegis.kernel.message import Priority
from aegis.kernel.ref import ActorRef

__all__ = ["Bus", "Lag", "Subscription"]

E = TypeVar("E")

_LEVEL = Priority.INGEST  # a subscription uses one level of a mailbox; any but SYSTEM would do
_DEFAULT = Level.drop_oldest(1024)


class Bus:
    """Brings events from those who publish to those who listen; neither knows the other.

    Each subscriber has a bounded box of its own. A slow one loses by its own policy, and sees how much; it never slows
    down a publisher or another subscriber.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ambient_clock()
        # Tuples that are replaced: a subscriber may come or go while an event is on its way.
        self._subscribers: dict[type, tuple[Subscription[Any] | ActorRef, ...]] = {}
        self._is_open = True

    def publish(self, event: object) -> int:
        """Give an event to all who listen to its type; returns to how many it was delivered."""
        now_ns = self._clock.monotonic_ns()
        delivered = 0
        for subscriber in self._subscribers.get(type(event), ()):
            if isinstance(subscriber, ActorRef):
                delivery = subscriber.tell(event)
                if delivery is Delivery.DEAD:
                    self.remove(type(event), subscriber)
            else:
                delivery = subscriber.put(event, now_ns)
            delivered += delivery < Delivery.REJECTED
        return delivered

    def subscribe(self, topic: type[E], level: Level = _DEFAULT) -> Subscription[E]:
        """Listen to one type of event from now on.

        Args:
            topic: the exact type.
            level: how many events may wait and what is lost then. Nobody can be blocked: here `block` is `reject`.
        """
        subscription = Subscription(self, topic, level)
        self._add(topic, subscription)
        return subscription

    def forward(self, topic: type, ref: ActorRef) -> None:
        """Have events told to an actor, by its own mailbox's policies, as long as it lives.

        Raises:
            Refused: when it has no handler for them.
        """
        if topic not in ref.cell.handlers:
            raise Refused(f"{ref!r} has no handler for {topic.__qualname__}")
        self._add(topic, ref)

    def remove(self, topic: type, subscriber: Subscription[Any] | ActorRef) -> None:
        """Bring no more events to a subscriber."""
        rest = tuple(each for each in self._subscribers.get(topic, ()) if each is not subscriber)
        self._subscribers[topic] = rest

    def close(self) -> None:
        """End all subscriptions: each iteration ends once it has taken what waits."""
        ...
