"""The cell: what stays of an actor while its incarnations come and go, and the loop that feeds one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import checkpoint

from aegis.errors import ActorDead, ActorRestarting, Unavailable, check
from aegis.kernel.actor import Actor
from aegis.kernel.clock import is_virtual
from aegis.kernel.mailbox import INTERRUPT, Delivery, Envelope, Mailbox
from aegis.kernel.ref import ActorRef, Terminated
from aegis.kernel.stats import BUCKETS, ActorStats, Latency
from aegis.kernel.supervisor import ESCALATE, Budget, Policy

if TYPE_CHECKING:
    from aegis.kernel.realm import Realm

__all__ = ["Cell", "State"]

# An actor gives way to the others after this much work; that bounds what a SYSTEM message of another waits. Where time
# is virtual, and stands still in a turn, it gives way after each message.
_TURN_NS = 100_000


class State(Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  # for its next incarnation
    ENDED = "ended"


class Cell:
    """One actor seen from inside the kernel: its mailbox, its figures, and what it was made from."""

    def __init__(
        self,
        system: Realm,
        name: str,
        kind: type[Actor],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        policy: Policy = ESCALATE,
    ) -> None:
        self.system = system
        self.name = name
        self.kind = kind
        self.policy = policy
        self.clock = system.clock
        self.chance = system.chance(name)
        self.budget = Budget(policy, self.clock, self.chance)
        self.mailbox = Mailbox(kind.mailbox)
        # Shared with the reference, which empties it at the end.
        self.handlers = system.driver.handlers(name, kind)
        self.ref = ActorRef(self)
        self._args = args
        self._kwargs = kwargs or {}
        self._turn_ns = 0 if is_virtual(self.clock) else _TURN_NS

        self.state = State.STARTING
        self.task: trio.lowlevel.Task | None = None
        # What `cancel` cancels: the incarnation, or the wait for the next.
        self.scope: trio.CancelScope | None = None
        # The message at work, kept only when somebody waits for its outcome.
        self.in_hand: Envelope | None = None
        # Sets that keep their order, which decides who is told first.
        self.watchers: dict[Cell, None] = {}
        self.watching: dict[Cell, None] = {}
        self.is_stopping = False
        self.reason: object = "cancelled"
        self.stopped = trio.Event()
        # For a group whose actors begin again together: open while the next incarnation may begin; set while there is
        # none; true since a sibling's failure has taken this one along.
        self.gate = trio.Event()
        self.gate.set()
        self.paused = trio.Event()
        self.is_swept = False

        self.failed = self.expired = self.recalled = self.unhandled = 0
        self.restarts = 0
        self.queue_counts = [0] * BUCKETS
        self.handler_counts = [0] * BUCKETS

    @property
    def is_ended(self) -> bool:
        """True once the actor has ended for good."""
        return self.state is State.ENDED

    def make(self) -> Actor:
        """Construct an incarnation's actor, each time from the same arguments."""
        return self.kind(*self._args, **self._kwargs)

    async def serve(self, actor: Actor) -> None:
        """Hand the mailbox's messages to the actor, one at a time, until interrupted."""
        mailbox = self.mailbox
        while await self._take_turn(actor):
            if mailbox.mask:
                await checkpoint()
            else:
                await mailbox.wait()

    async def _take_turn(self, actor: Actor) -> bool:
        """Handle messages until there are none or the turn is over; False when interrupted.

        The clock is read once a message: the end of one handler is the start of the next, and the same reading bounds
        the turn by time. A bound by count would let 64 slow handlers hold everybody up for milliseconds.
        """
        mailbox = self.mailbox
        now_ns = self.clock.monotonic_ns
        queue_counts, handler_counts = self.queue_counts, self.handler_counts
        start_ns = now_ns()
        end_of_turn_ns = start_ns + self._turn_ns
        in_handler = 0
        try:
            while mailbox.mask:
                envelope = mailbox.pop()
                message, handler, receipt, sent_ns = envelope
                if receipt is not None or handler.ttl_ns:
                    if handler is INTERRUPT:
                        return False
                    if not self.is_wanted(envelope, start_ns):
                        continue
                    self.in_hand = envelope
                in_handler = 1
                result = handler.function(actor, message)
                if handler.is_async:
                    result = await result
                in_handler = 0
                if receipt is not None:
                    self.in_hand = None
                    receipt.done(result)
                end_ns = now_ns()
                queue_counts[(start_ns - sent_ns).bit_length()] += 1
                handler_counts[(end_ns - start_ns).bit_length()] += 1
                if end_ns >= end_of_turn_ns:
                    break
                start_ns = end_ns
        finally:
            self.failed += in_handler
        return True

    def is_wanted(self, envelope: Envelope, now_ns: int) -> bool:
        """Drop a message that has outlived its time, or the wait of the one who sent it."""
        message, handler, receipt, sent_ns = envelope
        is_late = 0 < handler.ttl_ns < now_ns - sent_ns
        if not is_late and (receipt is None or not receipt.void):
            return True
        self.expired += 1
        if receipt is not None:
            receipt.failed(Unavailable(f"{message!r} waited too long for {self.ref!r}"))
        return False

    def refuse(self) -> Delivery:
        """Count a message that nothing handles, because of its type or because the actor has ended."""
        if self.is_ended:
            self.system.dead_letters += 1
            return Delivery.DEAD
        self.unhandled += 1
        return Delivery.REJECTED

    def request_stop(self, reason: object) -> None:
        """End the actor after the message in hand, ahead of all that wait."""
        if self.is_stopping or self.is_ended:
            return
        self.is_stopping = True
        self.reason = reason
        self.mailbox.interrupt()
        if self.state is State.WAITING:
            self.cancel(reason)

    def cancel(self, reason: object) -> None:
        """End this incarnation, or the wait for the next, now."""
        if self.scope is not None:
            self.scope.cancel(str(reason))

    async def stop_within(self, grace_s: float | None) -> None:
        """Wait for the end that was requested; what is in hand after the grace is cancelled."""
        with trio.move_on_after(self.system.grace_s if grace_s is None else grace_s):
            await self.stopped.wait()
        if not self.is_ended:
            self.cancel("the grace is over")
            await self.stopped.wait()

    def sweep(self) -> None:
        """Mark it as taken along by a sibling's failure: it begins again when its gate is opened."""
        self.is_swept = True
        if self.gate.is_set():  # otherwise it waits at the gate already
            self.gate = trio.Event()

    async def pause(self, reason: object) -> None:
        """End this incarnation in order, not the actor: the next begins when the gate is opened."""
        if self.state in (State.WAITING, State.ENDED):
            return
        if not self.is_stopping:
            self.reason = reason
        check(not self.gate.is_set(), "a paused actor finds its gate closed")
        self.paused = trio.Event()
        self.mailbox.interrupt()
        with trio.move_on_after(self.system.grace_s):
            await self.paused.wait()
        if not self.paused.is_set():
            self.cancel("the grace is over")
            await self.paused.wait()

    def end_incarnation(self, *, is_last: bool) -> None:
        """Settle what an incarnation leaves: whoever waits for an answer hears of it, the rest stays queued."""
        loss = ActorDead if is_last else ActorRestarting
        self.let_go(loss)
        recalled = self.mailbox.recall()
        self.recalled += len(recalled)
        for envelope in recalled:
            self._fail(envelope, loss)

    def let_go(self, loss: Callable[[str, object], Exception]) -> None:
        """Tell whoever waits for the message at work that it was not handled to its end."""
        envelope, self.in_hand = self.in_hand, None
        if envelope is not None:
            self._fail(envelope, loss)

    def _fail(self, envelope: Envelope, loss: Callable[[str, object], Exception]) -> None:
        message, _, receipt, _ = envelope
        if receipt is not None:
            receipt.failed(loss(f"{self.ref!r}: {self.reason}", message))

    def bury(self) -> None:
        """End for good: refuse what comes from now on, and tell those who wait and those who watch."""
        check(not self.is_ended, "an actor ends once")
        self.state = State.ENDED
        self.end_incarnation(is_last=True)
        self.ref.close_doors()
        self.system.dead_letters += len(self.mailbox.close())
        for watched in self.watching:
            watched.watchers.pop(self, None)
        for watcher in self.watchers:
            watcher.watching.pop(self, None)
            watcher.ref.tell(Terminated(self.ref, self.reason))
        self.paused.set()
        self.stopped.set()

    def watch(self, other: Cell) -> None:
        """Have `Terminated` told to this actor when the other ends, or now if it has."""
        if other.is_ended:
            self.ref.tell(Terminated(other.ref, other.reason))
        else:
            other.watchers[self] = None
            self.watching[other] = None

    def stats(self) -> ActorStats:
        """The figures as of now."""
        mailbox = self.mailbox
        return ActorStats(
            name=self.name,
            state=self.state.value,
            depth=tuple(mailbox.depths()),
            peak=tuple(mailbox.peak),
            conflated=tuple(mailbox.conflated),
            dropped=tuple(mailbox.dropped),
            rejected=tuple(mailbox.rejected),
            handled=sum(self.handler_counts),
            failed=self.failed,
            expired=self.expired,
            recalled=self.recalled,
            unhandled=self.unhandled,
            restarts=self.restarts,
            queue=Latency.of(self.queue_counts),
            handler=Latency.of(self.handler_counts),
        )
