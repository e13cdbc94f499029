"""The bus: events for whoever wants to listen. A topic is a class; publishing never waits and never raises."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from trio.lowlevel import checkpoint_if_cancelled

from aegis.errors import Broken, Refused
from aegis.kernel.actor import Handler
from aegis.kernel.level import Level
from aegis.kernel.mailbox import INTERRUPT, Delivery, Mailbox
from aegis.kernel.message import Priority
from aegis.kernel.ref import ActorRef

__all__ = ["Bus", "Subscription"]

E = TypeVar("E")

_DEFAULT = Level.drop_oldest(1024)
_LEVEL = Priority.INGEST  # a subscription uses one level of a mailbox; any but SYSTEM would do


class Bus:
    """Brings events from those who publish to those who listen; neither knows the other.

    Each subscriber has a bounded box of its own. A slow one loses by its own policy, and can see how much; it slows
    down neither a publisher nor another subscriber.
    """

    def __init__(self) -> None:
        # Tuples that are replaced, because a subscriber may come or go while an event is on its way.
        self._subscribers: dict[type, tuple[Subscription[Any] | ActorRef, ...]] = {}

    def publish(self, event: object) -> int:
        """Give an event to all who listen to its exact type; returns how many took it."""
        taken = 0
        for subscriber in self._subscribers.get(type(event), ()):
            delivery = subscriber.tell(event)
            if delivery is Delivery.DEAD:
                self.remove(type(event), subscriber)
            taken += delivery < Delivery.REJECTED
        return taken

    def is_heard(self, topic: type) -> bool:
        """Tell whether anybody listens, for publishers whose events cost something to make."""
        return bool(self._subscribers.get(topic))

    def subscribe(self, topic: type[E], level: Level = _DEFAULT) -> Subscription[E]:
        """Listen to one type of event from now on.

        Args:
            topic: the type.
            level: how many events may wait, and what is lost then. Nobody can be made to wait: `block` is `reject`.
        """
        subscription = Subscription(self, topic, level)
        self._add(topic, subscription)
        return subscription

    def forward(self, topic: type, ref: ActorRef) -> None:
        """Have events told to an actor, under its own mailbox's policies, as long as it lives.

        Raises:
            Refused: when it has no handler for them.
        """
        if topic not in ref.cell.handlers:
            raise Refused(f"{ref!r} has no handler for {topic.__qualname__}")
        self._add(topic, ref)

    def remove(self, topic: type, subscriber: Subscription[Any] | ActorRef) -> None:
        """Bring no more events of a type to a subscriber."""
        listening = self._subscribers.get(topic, ())
        self._subscribers[topic] = tuple(each for each in listening if each is not subscriber)

    def close(self) -> None:
        """Close all subscriptions and forget the actors."""
        listening, self._subscribers = self._subscribers, {}
        for subscribers in listening.values():
            for subscriber in subscribers:
                if isinstance(subscriber, Subscription):
                    subscriber.close()

    def _add(self, topic: type, subscriber: Subscription[Any] | ActorRef) -> None:
        self._subscribers[topic] = (*self._subscribers.get(topic, ()), subscriber)


class Subscription(Generic[E]):
    """One listener's box: an async iterator for one task, and a context manager that closes it."""

    def __init__(self, bus: Bus, topic: type[E], level: Level) -> None:
        self._bus = bus
        self._topic = topic
        self._is_open = True
        self._box = Mailbox({_LEVEL: level})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E:
        """Wait for the next event; the iteration ends when it is closed and nothing waits.

        It can be cancelled, which loses no event, but gives way to other tasks only when it has to wait.
        """
        await checkpoint_if_cancelled()
        box = self._box
        while True:
            if not box.mask:
                if not self._is_open:
                    raise StopAsyncIteration
                await box.wait()
            event, handler, _, _ = box.pop()
            if handler is not INTERRUPT:
                return event  # type: ignore[no-any-return]  # the box holds what `publish` was given

    @property
    def lag(self) -> int:
        """Events that wait."""
        return self._box.depths()[_LEVEL]

    @property
    def lost(self) -> int:
        """Events lost so far: dropped, conflated or rejected."""
        box = self._box
        return box.dropped[_LEVEL] + box.conflated[_LEVEL] + box.rejected[_LEVEL]

    def tell(self, event: E) -> Delivery:
        """Take an event, as the bus does; neither waits nor raises."""
        if not self._is_open:
            return Delivery.DEAD
        return self._box.put(_LEVEL, (event, _EVENT, None, 0))

    def close(self) -> None:
        """Take no more events; what waits can still be iterated over."""
        if self._is_open:
            self._is_open = False
            self._bus.remove(self._topic, self)
            if self._box.is_attended:
                self._box.interrupt()


def _not_handled(_actor: object, _event: object) -> None:
    raise Broken("an event is taken by iterating over its subscription")


_EVENT = Handler(_not_handled, object, level=_LEVEL, ttl_ns=0, is_async=False)
