"""The mailbox: five queues, a bitmask of those that hold something, and one consumer that is woken directly.

Why this shape, with the measurements behind it: a checkpoint costs about ten times as much as the queueing itself, so
the consumer takes messages without one for as long as there are any. It takes one at a time and looks at the bitmask
again each time, so that SYSTEM overtakes everything that waits. And it is parked as a bare task, because waking it
through an `Event` or a `ParkingLot` costs a microsecond more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any, TypeAlias

from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from aegis.errors import Broken, MailboxFull, check
from aegis.kernel.actor import Handler
from aegis.kernel.latest import LatestQueue
from aegis.kernel.level import DEFAULT_LEVEL, Level, Overflow
from aegis.kernel.message import Priority
from aegis.kernel.receipt import Receipt
from aegis.kernel.supervisor import caught_call

__all__ = ["INTERRUPT", "Delivery", "Door", "Envelope", "Mailbox"]

# The message, what handles it, who hears of the outcome, and when it was sent (monotonic nanoseconds).
Envelope: TypeAlias = tuple[Any, Handler, Receipt | None, int]
# What a sender needs of a level that holds something already: the handler, the level, its queue, and its room, 0 where
# only `put` knows what to do.
Door: TypeAlias = tuple[Handler, int, "deque[Envelope] | LatestQueue", int]

_LEVELS = len(Priority)
_UNBOUNDED = 1 << 62


def _first(mask: int) -> int:
    """The most urgent level that holds something.

    It is given as its complement, below zero, when several do, SYSTEM not among them: then the less urgent need a turn
    now and then.
    """
    level = (mask & -mask).bit_length() - 1
    return ~level if not mask & 1 and mask.bit_count() > 1 else level


_FIRST = tuple(_first(mask) for mask in range(1 << _LEVELS))
_TURN_EVERY = 32  # messages


class Delivery(IntEnum):
    """What became of a message at the door of a mailbox."""

    OK = 0
    CONFLATED = 1  # accepted; it took the place of a waiting one with its key
    DROPPED_OLDEST = 2  # accepted; the oldest waiting one was dropped for it
    REJECTED = 3  # not accepted: no room, or nothing that handles it
    DEAD = 4  # not accepted: the actor has ended


_OK, _CONFLATED = Delivery.OK, Delivery.CONFLATED  # reading a member costs as much as appending


def _never(_actor: object, _message: object) -> None:
    raise Broken("an interrupt is never handled like a message")


# Stands first in the SYSTEM queue when the consumer has to stop before its next message. Its time to live, below zero,
# takes it out of the consumer's fast path.
INTERRUPT = Handler(_never, object, level=Priority.SYSTEM, ttl_ns=-1, is_async=False)


class Mailbox:
    """Messages that wait for one consumer, by level. `put` neither raises into a sender nor blocks it."""

    __slots__ = (
        "_blocked",
        "_is_closed",
        "_levels",
        "_queues",
        "_room",
        "_since_turn",
        "_system",
        "_turn",
        "_waiting",
        "_wake",
        "conflated",
        "dropped",
        "mask",
        "peak",
        "rejected",
    )

    def __init__(self, levels: Mapping[Priority, Level]) -> None:
        system = Level(Overflow.BLOCK, _UNBOUNDED)
        self._levels = [system, *(levels.get(p, DEFAULT_LEVEL) for p in list(Priority)[1:])]
        self._system: deque[Envelope] = deque()
        self._queues = [self._system, *(_queue_for(level) for level in self._levels[1:])]
        # The depth at which a level leaves the fast path; a level that conflates is never on it.
        self._room = [0 if level.key else level.capacity for level in self._levels]
        self._waiting: list[deque[_Sender]] = [deque() for _ in self._levels]
        self._blocked = 0  # senders in `_waiting`, over all levels
        self._wake: Callable[[], None] | None = None
        self._since_turn = 0
        self._turn = 0
        self._is_closed = False
        # Bit n is set when level n holds something: the consumer's "is there work".
        self.mask = 0
        self.peak = [0] * _LEVELS
        self.dropped = [0] * _LEVELS
        self.conflated = [0] * _LEVELS
        self.rejected = [0] * _LEVELS

    def put(self, level: int, envelope: Envelope) -> Delivery:
        """Take a message in, or say why not."""
        # Every message passes here, so this says in a few operations what `_arrived` says readably.
        queue = self._queues[level]
        depth = len(queue)
        if depth >= self._room[level]:
            return self._put_by_policy(level, envelope)
        queue.append(envelope)
        if depth:  # then the consumer knows of this level already
            if depth >= self.peak[level]:
                self.peak[level] = depth + 1
            return _OK
        self._arrived(level)
        return _OK

    def door(self, handler: Handler) -> Door:
        """Where the messages of a handler go, for a sender who appends by himself what `put` would only append."""
        level = handler.level
        return handler, level, self._queues[level], self._room[level]

    async def put_when_room(self, level: int, envelope: Envelope) -> Delivery:
        """Take a message in, after waiting for room where the level's policy is to block.

        Senders that wait are served in the order in which they came, and nobody who comes later overtakes them.
        """
        if not self.would_block(level):
            return self.put(level, envelope)
        sender = _Sender(envelope, current_task())
        self._waiting[level].append(sender)
        self._blocked += 1

        def abort(_: object) -> Abort:
            self._waiting[level].remove(sender)
            self._blocked -= 1
            return Abort.SUCCEEDED

        await wait_task_rescheduled(abort)
        return sender.delivery

    def pop(self) -> Envelope:
        """Take the next message out; there must be one (`mask` is not 0)."""
        mask = self.mask
        level = _FIRST[mask]
        if level < 0:
            level = ~level
            since_turn = self._since_turn + 1
            if since_turn < _TURN_EVERY:
                self._since_turn = since_turn
            else:
                level = self._take_turn(mask, level)
        queue = self._queues[level]
        envelope = queue.popleft()
        if self._blocked:
            self._admit(level)
        if not queue:
            self.mask = mask & ~(1 << level)
        return envelope

    async def wait(self) -> None:
        """Park the calling task, which is the one consumer, until there is something to pop."""
        self.on_arrival(partial(reschedule, current_task()))
        await wait_task_rescheduled(self._leave)

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Have `wake` called once, at the next arrival.

        Raises:
            Broken: when somebody waits already, or when there is something to pop.
        """
        check(self._wake is None, "a mailbox has one consumer")
        check(not self.mask, "a consumer waits only for an empty mailbox")
        self._wake = wake

    @property
    def is_attended(self) -> bool:
        """True while somebody waits for an arrival."""
        return self._wake is not None

    def interrupt(self) -> None:
        """Make the consumer's next pop an `INTERRUPT`, ahead of everything that waits."""
        if not self._is_interrupted():
            self._system.appendleft((None, INTERRUPT, None, 0))
            self._arrived(0)

    def calm(self) -> None:
        """Take back an interrupt that nobody has popped."""
        if self._is_interrupted():
            self._system.popleft()
            self._mend_mask()

    def recall(self) -> list[Envelope]:
        """Take out every message that somebody waits for, and leave the others in their order.

        That is also a question whose asker still waits for room: he is not to wait for the next incarnation either.
        """
        recalled = []
        for level, queue in enumerate(self._queues):
            waited_for = [envelope for envelope in queue if envelope[2] is not None]
            if waited_for:
                kept = [envelope for envelope in queue if envelope[2] is None]
                queue.clear()
                queue.extend(kept)
                recalled += waited_for
            for sender in [each for each in self._waiting[level] if each.envelope[2] is not None]:
                self._waiting[level].remove(sender)
                self._blocked -= 1
                recalled.append(sender.envelope)
                sender.settle(Delivery.OK)
            self._admit(level)
        self._mend_mask()
        return recalled

    def close(self) -> list[Envelope]:
        """Refuse everything from here on; returns what still waited, the most urgent first."""
        check(not self._is_closed, "a mailbox is closed once")
        self.calm()
        self._is_closed = True
        self._room = [0] * _LEVELS
        left = [envelope for queue in self._queues for envelope in queue]
        for queue, waiting in zip(self._queues, self._waiting, strict=True):
            queue.clear()
            for sender in waiting:
                sender.settle(Delivery.DEAD)
            waiting.clear()
        self.mask = self._blocked = 0
        return left

    def would_block(self, level: int) -> bool:
        """True when the level is full and its policy is to wait for room."""
        return self._levels[level].overflow is Overflow.BLOCK and self._is_full(level)

    def depths(self) -> list[int]:
        """How many messages wait, by level."""
        return [len(queue) for queue in self._queues]

    def _leave(self, _: object) -> Abort:
        """Forget a consumer that is cancelled while it is parked."""
        self._wake = None
        return Abort.SUCCEEDED

    def _arrived(self, level: int) -> None:
        self.peak[level] = max(self.peak[level], len(self._queues[level]))
        self.mask |= 1 << level
        wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def _put_by_policy(self, level: int, envelope: Envelope) -> Delivery:
        if self._is_closed:
            return Delivery.DEAD
        queue = self._queues[level]
        if isinstance(queue, LatestQueue):
            return self._put_latest(level, queue, envelope)
        if self._levels[level].overflow is Overflow.DROP_OLDEST:
            self._drop_oldest(level)
            queue.append(envelope)
            self._arrived(level)
            return Delivery.DROPPED_OLDEST
        self.rejected[level] += 1
        return Delivery.REJECTED

    def _put_latest(self, level: int, queue: LatestQueue, envelope: Envelope) -> Delivery:
        is_replaced, error = caught_call(queue.put, envelope)
        if error is not None:  # a receiver's faulty key must not crash its sender
            self.rejected[level] += 1
            return Delivery.REJECTED
        if is_replaced:
            self.conflated[level] += 1
            return _CONFLATED
        delivery = _OK
        depth = len(queue)
        if depth > self._levels[level].capacity:
            self._drop_oldest(level)
            delivery, depth = Delivery.DROPPED_OLDEST, depth - 1
        if depth == 1:
            self._arrived(level)
        elif depth > self.peak[level]:  # then the consumer knows of this level already
            self.peak[level] = depth
        return delivery

    def _drop_oldest(self, level: int) -> None:
        message, _, receipt, _ = self._queues[level].popleft()
        self.dropped[level] += 1
        if receipt is not None:
            receipt.failed(MailboxFull(f"{message!r} was dropped for a newer message"))

    def _take_turn(self, mask: int, first: int) -> int:
        """Pass over the most urgent level once: the next in rotation of the others that hold something."""
        self._since_turn = 0
        turn = self._turn
        while True:
            turn = turn % (_LEVELS - 1) + 1
            if turn != first and mask >> turn & 1:
                self._turn = turn
                return turn

    def _admit(self, level: int) -> None:
        """Let waiting senders in while there is room: the message goes in here, so nobody can take the place."""
        waiting = self._waiting[level]
        while waiting and not self._is_full(level):
            sender = waiting.popleft()
            self._blocked -= 1
            self._queues[level].append(sender.envelope)
            sender.settle(Delivery.OK)

    def _is_full(self, level: int) -> bool:
        return len(self._queues[level]) >= self._levels[level].capacity

    def _is_interrupted(self) -> bool:
        return bool(self._system) and self._system[0][1] is INTERRUPT

    def _mend_mask(self) -> None:
        self.mask = sum(1 << level for level, queue in enumerate(self._queues) if queue)


class _Sender:
    """A task that waits for room, and the message it waits with."""

    __slots__ = ("delivery", "envelope", "task")

    def __init__(self, envelope: Envelope, task: Task) -> None:
        self.envelope = envelope
        self.task = task
        self.delivery = Delivery.REJECTED

    def settle(self, delivery: Delivery) -> None:
        """Wake it with what became of its message."""
        self.delivery = delivery
        reschedule(self.task)


def _queue_for(level: Level) -> deque[Envelope] | LatestQueue:
    return deque() if level.key is None else LatestQueue(level.key)
