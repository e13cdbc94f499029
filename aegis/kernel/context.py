"""The context: what an actor can ask of the kernel from inside its handlers."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import trio

from aegis.errors import Refused
from aegis.kernel.clock import Clock, is_virtual
from aegis.kernel.cores import elsewhere
from aegis.kernel.mailbox import Delivery
from aegis.kernel.ref import ActorRef, Terminated
from aegis.kernel.timers import Beat, Timer

if TYPE_CHECKING:
    from aegis.kernel.cell import Cell
    from aegis.kernel.realm import Realm

__all__ = ["Context"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Context:
    """One incarnation's view of the kernel; it is an actor's `ctx`."""

    def __init__(
        self, cell: Cell, start_soon: Callable[..., None], timers: dict[Hashable, Timer]
    ) -> None:
        self._cell = cell
        self._start_soon = start_soon
        self._timers = timers

    @property
    def ref(self) -> ActorRef:
        """The actor's own reference."""
        return self._cell.ref

    @property
    def system(self) -> Realm:
        """The system it lives in."""
        return self._cell.system

    @property
    def clock(self) -> Clock:
        """The system's clock."""
        return self._cell.clock

    @property
    def random(self) -> random.Random:
        """A random source of this actor's own, from the system's seed and the actor's name."""
        return self._cell.chance

    def every(
        self, key: Hashable, seconds: float, message: object, *, fixed_delay: bool = False
    ) -> None:
        """Tell this actor a message again and again; replaces the timer with this key.

        A tick is left out while the one before it has not been handled, so a slow actor is never flooded.

        Args:
            key: names the timer within this incarnation.
            seconds: the period. The first tick comes after one.
            message: what to tell.
            fixed_delay: count the period from the end of the last tick's handling, instead of on a fixed grid.
        """
        self._arm(key, seconds, message, Beat.FIXED_DELAY if fixed_delay else Beat.FIXED_RATE)

    def after(self, key: Hashable, seconds: float, message: object) -> None:
        """Tell this actor a message once, after a time; replaces the timer with this key.

        A tick that finds no room in the mailbox, or is dropped from it, is told again until it is handled.
        """
        self._arm(key, seconds, message, Beat.ONCE)

    def cancel_timer(self, key: Hashable) -> None:
        """Cancel a timer if there is one; a tick that is in the mailbox already is not handled."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def watch(self, ref: ActorRef) -> None:
        """Have `Terminated(ref, reason)` told to this actor when another ends for good, or now if it has.

        It stays watched when this actor is restarted, and the notice waits like any message. One that watches again in
        its next life, while the notice of the last waits, is told twice.

        Raises:
            Refused: when this actor has no handler for `Terminated`, and would never learn of it.
        """
        if Terminated not in self._cell.handlers:
            raise Refused(f"{self.ref!r} watches {ref!r} but has no handler for Terminated")
        self._cell.watch(ref.cell)

    async def offload(self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        """Run a blocking or long function in a thread; inline, and at once, where time is virtual.

        It pays above some 0.3 ms of work that releases the GIL: the way to a thread and back costs 50 to 130 us. A
        thread cannot be stopped, so cancellation waits for its end.
        """
        if is_virtual(self.clock):
            return function(*args)
        return await trio.to_thread.run_sync(elsewhere(function), *args)

    def start_soon(
        self, function: Callable[[*Ts], Coroutine[Any, Any, object]], *args: *Ts
    ) -> None:
        """Run a task that ends with this incarnation at the latest; if it fails, the incarnation fails."""
        self._start_soon(self._cell.system.driver.wrap(function), *args)

    def stop(self, reason: object = "stopped") -> None:
        """End this actor in order once the handler has returned, ahead of all messages that wait."""
        self._cell.request_stop(reason)

    def _arm(self, key: Hashable, seconds: float, message: object, beat: Beat) -> None:
        cell = self._cell
        handler = cell.handlers.get(type(message))
        if handler is None:
            raise Refused(f"{self.ref!r} has no handler for its timer's {message!r}")

        def deliver(timer: Timer) -> Delivery:
            now_ns = cell.clock.monotonic_ns()
            return cell.mailbox.put(handler.level, (message, handler, timer, now_ns))

        self.cancel_timer(key)
        timer = Timer(self.system.timers, beat, seconds, deliver, lambda: self._timers.pop(key))
        self._timers[key] = timer
