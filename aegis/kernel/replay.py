"""The third driver: handlers called directly, with no loop, on a clock that is moved by hand.

A replay of a million messages does not need a scheduler: nothing in it waits for the outside. Here a `tell` queues as
everywhere, and `run` calls the handlers one after the other until no message is left. The same actors run unchanged as
long as they wait only for each other: `send`, `ask`, `spawn` and `offload` work, a timer fires when the clock is moved
past it, and a handler that waits for anything else is an error. A failure is never retried: it comes out of `run`.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Hashable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aegis.errors import ActorRestarting, HandlerBlocked, check
from aegis.kernel.actor import Actor
from aegis.kernel.cell import Cell, State
from aegis.kernel.clock import ManualClock
from aegis.kernel.context import Context
from aegis.kernel.driver import Driver
from aegis.kernel.mailbox import INTERRUPT, Delivery
from aegis.kernel.realm import Realm
from aegis.kernel.receipt import Reply
from aegis.kernel.ref import ActorRef
from aegis.kernel.supervisor import ESCALATE, Policy
from aegis.kernel.timers import Timer

__all__ = ["Replay"]

T = TypeVar("T")

_DONE: Final = object()


class Replay(Realm):
    """A system without a loop; use it as a context manager, which ends the actors in order, the last first.

    with Replay() as replay:
        brain = replay.call(replay.spawn(Brain, name="brain"))
        for tick in ticks:
            replay.advance_to(tick.event_ns)
            replay.feed(brain, tick)
    """

    def __init__(self, name: str = "replay", *, seed: int = 0, start_ns: int = 0) -> None:
        self._manual = ManualClock(start_ns)
        super().__init__(name, self._manual, seed, 0.0, Driver())
        self._due = self.timers.heap
        self._ready: deque[_Player] = deque()
        self._tasks: deque[Coroutine[Any, Any, object]] = deque()
        self._players: dict[ActorRef, _Player] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        reason = f"{self.name} is closed" if error is None else error
        # Each has its turn, from the last to the first, also after one that has failed.
        with ExitStack() as ends:
            ends.callback(self._close_tasks)
            for cell in self.living():
                ends.callback(self._end, cell, reason)

    def _end(self, cell: Cell, reason: object) -> None:
        cell.request_stop(reason)
        self.run()

    def _close_tasks(self) -> None:
        while self._tasks:
            self._tasks.popleft().close()

    async def spawn(
        self,
        kind: type[Actor],
        *args: Any,
        name: str | None = None,
        policy: Policy = ESCALATE,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor and call its `started`; the policy is not used, since nothing is retried here."""
        cell = Cell(self, name or kind.__name__.lower(), kind, args, kwargs, policy)
        cell.ref = _ReplayRef(cell, self)
        self.enter(cell)
        try:
            player = self._players[cell.ref] = _Player(self, cell, self._ready)
            await player.start()
        finally:
            if cell.state is State.STARTING:
                cell.bury()
                self.leave(cell)
        return cell.ref

    def leave(self, cell: Cell) -> None:
        """Forget an actor that has ended, but not its figures."""
        super().leave(cell)
        self._players.pop(cell.ref, None)

    def feed(self, ref: ActorRef, message: object) -> None:
        """Tell a message and run: the same as the two calls, and faster where nothing else waits."""
        ready, tasks = self._ready, self._tasks
        player = self._players.get(ref)
        if ready or tasks or player is None or not player.take(message):
            ref.tell(message)
        if ready or tasks:
            self.run()

    def run(self) -> None:
        """Call handlers until no message is left.

        Raises:
            HandlerBlocked: when a handler waits for what nothing here can bring about.
            Exception: what a handler raised.
        """
        while self._ready or self._tasks:
            self.call(self._step(None))

    def advance_to(self, now_ns: int) -> None:
        """Move the clock, and on the way fire each timer at its time, with all that follows from it."""
        if self._ready or self._tasks:
            self.run()
        timers = self._due
        while timers and timers[0][0] <= now_ns:
            self._manual.move_to(max(timers[0][0], self._manual.monotonic_ns()))
            self.timers.fire_due()
            self.run()
        self._manual.move_to(now_ns)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Drive a coroutine to its end; it may use the replay's actors.

        Raises:
            HandlerBlocked: when it waits for anything else.
        """
        try:
            coroutine.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
        raise _blocked(coroutine)

    async def until(self, holds: Callable[[], bool]) -> bool:
        """Call handlers until something holds, or no message is left; returns whether it holds."""
        while not holds():
            if not self._ready and not self._tasks:
                return False
            await self._step(holds)
        return True

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Call handlers until something holds.

        Raises:
            HandlerBlocked: when no message is left and it does not.
        """
        if not await self.until(holds):
            raise HandlerBlocked(
                f"{what} will never come: no message is left, or its actor waits itself"
            )

    def _step(self, holds: Callable[[], bool] | None) -> Coroutine[Any, Any, object]:
        return self._tasks.popleft() if self._tasks else self._ready.popleft().play(holds)

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> None:
        """Run a task when the handler at work has returned."""
        self._tasks.append(function(*args))


def _blocked(coroutine: Coroutine[Any, Any, object]) -> HandlerBlocked:
    coroutine.close()  # it has yielded to a loop that is not there
    return HandlerBlocked("a handler waits for something outside of the replay")


@types.coroutine
def _relay() -> Generator[object, Coroutine[Any, Any, object], None]:
    """Drive one handler after the other to its end, without an exception at each of them: that is half of what it costs.

    `send` it a handler's coroutine: what comes out is `_DONE`, or whatever the handler waits for.
    """
    while True:
        yield from (yield _DONE)


def _new_relay() -> Callable[[Coroutine[Any, Any, object]], object]:
    relay = _relay()
    next(relay)
    return relay.send


class _Player:
    """One actor of a replay. It is among the ready ones while it has messages and no handler at work."""

    def __init__(self, replay: Replay, cell: Cell, ready: deque[_Player]) -> None:
        self._replay = replay
        self._cell = cell
        self._mailbox = cell.mailbox
        self._handlers = cell.handlers
        self._counts = cell.handler_counts
        self._ready = ready
        self._is_busy = True
        self._relay = _new_relay()
        self._was_woken = False  # since it was last asked to take a message
        self._timers: dict[Hashable, Timer] = {}
        self._actor = cell.make()
        self._actor.ctx = Context(cell, replay.start_soon, self._timers)

    async def start(self) -> None:
        """Call `started`, and be ready for messages from then on."""
        await self._actor.started()
        self._cell.state = State.RUNNING
        self._rest()

    def take(self, message: object) -> bool:
        """Handle a message at once, past the mailbox; False when it has to queue up like any other."""
        handler = self._handlers.get(type(message))
        if handler is None or self._is_busy or self._mailbox.mask:
            return False
        self._is_busy, self._was_woken = True, False
        is_handled = False
        try:
            result = handler.function(self._actor, message)
            if handler.is_async and self._relay(result) is not _DONE:
                raise _blocked(result)
            is_handled = True
        finally:
            self._is_busy = False
            if is_handled:
                self._counts[0] += 1
            else:
                self._cell.failed += 1
                self._relay = _new_relay()
            if self._was_woken:
                self._rest()
        return True

    async def play(self, holds: Callable[[], bool] | None) -> None:
        """Call the actor's handlers until its mailbox is empty, or something holds."""
        check(not self._is_busy, "an actor handles one message at a time")
        cell = self._cell
        actor, mailbox = self._actor, cell.mailbox
        self._is_busy = True
        in_handler = 0
        try:
            while mailbox.mask and (holds is None or not holds()):
                envelope = mailbox.pop()
                message, handler, receipt, _ = envelope
                if receipt is not None or handler.ttl_ns:
                    if handler is INTERRUPT:
                        await self._end()
                        return
                    if not cell.is_wanted(envelope, cell.clock.monotonic_ns()):
                        continue
                    cell.in_hand = envelope
                in_handler = 1
                result = handler.function(actor, message)
                if handler.is_async:
                    result = await result
                in_handler = 0
                cell.handler_counts[0] += 1  # virtual time does not pass in a handler
                if receipt is not None:
                    cell.in_hand = None
                    receipt.done(result)
        finally:
            cell.failed += in_handler
            cell.let_go(ActorRestarting)
            self._rest()

    def _rest(self) -> None:
        self._is_busy = False
        mailbox = self._mailbox
        if mailbox.mask:
            self._ready.append(self)
        elif not mailbox.is_attended:
            mailbox.on_arrival(self._arrive)

    def _arrive(self) -> None:
        self._was_woken = True
        if not self._is_busy:
            self._ready.append(self)

    async def _end(self) -> None:
        self._cancel_timers()
        try:
            await self._actor.stopping(self._cell.reason)
        finally:
            self._cancel_timers()  # those that it has armed meanwhile
            self._cell.bury()
            self._replay.leave(self._cell)

    def _cancel_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()


class _ReplayRef(ActorRef):
    """A reference whose waiting is done by calling the handlers that are waited for."""

    __slots__ = ("_replay",)

    def __init__(self, cell: Cell, replay: Replay) -> None:
        super().__init__(cell)
        self._replay = replay

    async def send(self, message: object) -> Delivery:
        await self._make_room(message)
        return self.tell(message)

    async def ask(self, message: object, *, timeout: float) -> Any:
        del timeout  # virtual time does not pass while handlers are called
        await self._make_room(message)
        reply = Reply()
        self.put_question(message, reply)
        await self._replay.wait_until(lambda: reply.is_set, f"the answer of {self!r}")
        return reply.result()

    async def stop(self, reason: object = "stopped", *, grace_s: float | None = None) -> None:
        del grace_s
        self.cell.request_stop(reason)
        await self.wait_stopped()

    async def wait_stopped(self) -> object:
        await self._replay.wait_until(lambda: self.cell.is_ended, f"the end of {self!r}")
        return self.cell.reason

    async def _make_room(self, message: object) -> None:
        handler = self.cell.handlers.get(type(message))
        mailbox = self.cell.mailbox
        if handler is not None and mailbox.would_block(handler.level):
            await self._replay.wait_until(
                lambda: not mailbox.would_block(handler.level), f"room for {message!r}"
            )
