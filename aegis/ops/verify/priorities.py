"""Whether orders overtake what waits: in the dispatcher, and in an actor's mailbox."""

from __future__ import annotations

from typing import Final

import trio

from aegis.kernel import Actor, Priority, message, on, open_system
from aegis.kernel.dispatcher import Dispatcher
from aegis.ops.verify.facts import Orders

__all__ = ["Listener", "measure_dispatcher", "measure_mailbox"]

_EACH: Final = 5
_WITHIN_S: Final = 5.0


async def measure_dispatcher(dispatcher: Dispatcher) -> Orders:
    """Queue jobs of all priorities behind one that holds the only worker, the least urgent first.

    Args:
        dispatcher: one with a single worker, of which nobody else makes use.

    Raises:
        trio.TooSlowError: it did not run them.
    """
    ran: list[Priority] = []
    release = trio.Event()

    async def note(priority: Priority) -> None:
        ran.append(priority)

    submitted = 0
    with trio.fail_after(_WITHIN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dispatcher.submit, Priority.BACKGROUND, release.wait)
            while dispatcher.running == 0:
                await trio.lowlevel.checkpoint()
            for priority in sorted(Priority, reverse=True):
                for _ in range(_EACH):
                    nursery.start_soon(dispatcher.submit, priority, note, priority)
                    submitted += 1
            while dispatcher.queued < submitted:
                await trio.lowlevel.checkpoint()
            release.set()
    return Orders(submitted, tuple(ran))


@message(Priority.SYSTEM)
class _System:
    pass


@message(Priority.EXECUTION)
class _Order:
    pass


@message(Priority.ANALYSIS)
class _Signal:
    pass


@message(Priority.INGEST)
class _Tick:
    pass


@message(Priority.BACKGROUND)
class _Chore:
    pass


@message(Priority.SYSTEM)
class _Hold:
    """Keep the actor busy until everything else waits."""


_LEAST_URGENT_FIRST: Final = (_Chore, _Tick, _Signal, _Order, _System)


class Listener(Actor):
    """Notes what it handles, in order.

    Receives: a message of each priority.
    Sends: nothing.
    Owns: its notes.
    When it dies: the measurement fails.
    """

    def __init__(self, ran: list[Priority], held: trio.Event, release: trio.Event) -> None:
        self._ran = ran
        self._held = held
        self._release = release

    @on(_Hold)
    async def hold(self, _: _Hold) -> None:
        """Be busy."""
        self._held.set()
        await self._release.wait()

    @on(_System)
    @on(_Order)
    @on(_Signal)
    @on(_Tick)
    @on(_Chore)
    def note(self, said: _Chore) -> None:
        """Write down how urgent it was."""
        self._ran.append(type(said).PRIORITY)  # type: ignore[attr-defined]


async def measure_mailbox(kind: type[Listener] = Listener) -> Orders:
    """Tell a busy actor messages of all priorities, the least urgent first.

    Raises:
        trio.TooSlowError: it did not handle them.
    """
    ran: list[Priority] = []
    held, release = trio.Event(), trio.Event()
    submitted = 0
    with trio.fail_after(_WITHIN_S):
        async with open_system("priorities") as system:
            listener = await system.spawn(kind, ran, held, release)
            listener.tell(_Hold())
            await held.wait()
            for each in _LEAST_URGENT_FIRST:
                for _ in range(_EACH):
                    listener.tell(each())
                    submitted += 1
            release.set()
            while len(ran) < submitted:
                await trio.lowlevel.checkpoint()
    return Orders(submitted, tuple(ran))
