"""References: the only handle on an actor that others hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import checkpoint_if_cancelled, current_task

from aegis.errors import ActorDead, MailboxFull, Refused, Unhandled
from aegis.kernel.actor import Handler
from aegis.kernel.mailbox import Delivery, Door
from aegis.kernel.message import Priority, message
from aegis.kernel.receipt import Reply
from aegis.kernel.stats import ActorStats

if TYPE_CHECKING:
    from aegis.kernel.cell import Cell

__all__ = ["ActorRef", "Terminated"]

_OK = Delivery.OK  # reading an enum's member costs as much as appending to a queue


class ActorRef:
    """A reference to one actor through all its incarnations; made by `spawn`, compared by identity."""

    __slots__ = ("__weakref__", "_doors", "_handlers", "_now_ns", "_peak", "_put", "cell")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell  # the kernel's side of it, for the kernel
        self._handlers = cell.handlers
        # Bound once: a tell is short enough to feel each lookup.
        self._doors: dict[type, Door] = {}  # of the types that were told so far
        self._peak = cell.mailbox.peak
        self._put = cell.mailbox.put
        self._now_ns = cell.clock.monotonic_ns

    def __repr__(self) -> str:
        return f"<actor {self.cell.name}>"

    @property
    def name(self) -> str:
        """The name, unique among the living actors of its system."""
        return self.cell.name

    @property
    def alive(self) -> bool:
        """False once the actor has ended for good; true while it waits to be restarted."""
        return not self.cell.is_ended

    def tell(self, message: object) -> Delivery:
        """Leave a message without waiting; never raises, and says what became of it.

        A message for which the actor has no handler is REJECTED and counted as unhandled.
        """
        try:
            handler, level, queue, room = self._doors[type(message)]
        except KeyError:
            return self._tell_first(message)
        # The usual case of `Mailbox.put` in place, because its call is a fifth of a tell.
        depth = len(queue)
        if 0 < depth < room:
            queue.append((message, handler, None, self._now_ns()))
            if depth >= self._peak[level]:
                self._peak[level] = depth + 1
            return _OK
        return self._put(level, (message, handler, None, self._now_ns()))

    def close_doors(self) -> None:
        """Let nothing in any more: the actor has ended, and what is told to it goes the slow way to `refuse`."""
        self._doors.clear()
        self._handlers.clear()

    async def send(self, message: object) -> Delivery:
        """Leave a message, waiting for room where the level blocks; otherwise like `tell`.

        It can be cancelled, but gives way to other tasks only when it has to wait.
        """
        await checkpoint_if_cancelled()
        try:
            handler = self._handlers[type(message)]
        except KeyError:
            return self.cell.refuse()
        envelope = (message, handler, None, self._now_ns())
        return await self.cell.mailbox.put_when_room(handler.level, envelope)

    async def ask(self, message: object, *, timeout: float) -> Any:
        """Leave a message and wait for what its handler returns.

        Args:
            message: the question.
            timeout: seconds for everything: room in the mailbox, the queue, the handler. A question whose time is over
                before it is handled is dropped.

        Raises:
            trio.TooSlowError: when the timeout is over.
            ActorDead: when the actor has ended, or ends before it answers.
            ActorRestarting: when the actor crashes before it answers.
            MailboxFull: when the level rejects it, or drops it for a newer message.
            Unhandled: when the actor has no handler for it.
            Refused: when an actor asks itself.
        """
        if self.cell.task is current_task():
            raise Refused(f"{self!r} asks itself and would wait for ever")
        handler = self._handler_of_question(message)
        reply = Reply()
        envelope = (message, handler, reply, self._now_ns())
        try:
            with trio.fail_after(timeout):
                delivery = await self.cell.mailbox.put_when_room(handler.level, envelope)
                self._check_accepted(delivery, message)
                return await reply.wait()
        finally:
            reply.void = True

    async def stop(self, reason: object = "stopped", *, grace_s: float | None = None) -> None:
        """End the actor in order and wait until it has ended.

        The stop overtakes every message that waits; these become dead letters.

        Args:
            reason: what `stopping` and those who watch are told.
            grace_s: seconds for the message in hand, then it is cancelled; the system's setting by default.

        Raises:
            Refused: when called by the actor itself, which uses `ctx.stop`.
        """
        if self.cell.task is current_task():
            raise Refused(f"{self!r} cannot wait for its own end: use ctx.stop")
        self.cell.request_stop(reason)
        await self.cell.stop_within(grace_s)

    async def wait_stopped(self) -> object:
        """Wait until the actor has ended for good; returns the reason."""
        await self.cell.stopped.wait()
        return self.cell.reason

    def stats(self) -> ActorStats:
        """The actor's figures, as of now."""
        return self.cell.stats()

    def put_question(self, message: object, reply: Reply) -> None:
        """Leave an ask without waiting, for drivers that do not park tasks; raises as `ask` does."""
        handler = self._handler_of_question(message)
        delivery = self._put(handler.level, (message, handler, reply, self._now_ns()))
        self._check_accepted(delivery, message)

    def _tell_first(self, message: object) -> Delivery:
        """Tell a message of a type that was not told before, or one that nothing handles."""
        try:
            handler = self._handlers[type(message)]
        except KeyError:
            return self.cell.refuse()
        self._doors[type(message)] = self.cell.mailbox.door(handler)
        return self._put(handler.level, (message, handler, None, self._now_ns()))

    def _handler_of_question(self, message: object) -> Handler:
        try:
            return self._handlers[type(message)]
        except KeyError:
            pass
        if self.cell.refuse() is Delivery.DEAD:
            raise ActorDead(f"{self!r} has ended", message)
        raise Unhandled(f"{self!r} has no handler for {type(message).__qualname__}")

    def _check_accepted(self, delivery: Delivery, message: object) -> None:
        if delivery is Delivery.DEAD:
            raise ActorDead(f"{self!r} has ended", message)
        if delivery is Delivery.REJECTED:
            raise MailboxFull(f"{self!r} has no room for {message!r}")


@message(Priority.SYSTEM)
class Terminated:
    """A watched actor has ended for good."""

    ref: ActorRef
    reason: object  # what it was stopped with, or the exception that ended it
