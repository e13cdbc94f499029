"""Probes: a reference that a test holds the other end of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeVar

from aegis.errors import Broken
from aegis.kernel.actor import Actor, Handler
from aegis.kernel.cell import Cell
from aegis.kernel.level import Level
from aegis.kernel.mailbox import Envelope
from aegis.kernel.message import Priority, is_message
from aegis.kernel.receipt import Receipt
from aegis.kernel.ref import ActorRef

if TYPE_CHECKING:
    from aegis.kernel.realm import Realm

__all__ = ["Probe"]

M = TypeVar("M")


class Probe:
    """Takes any message and keeps it until the test asks for it, the most urgent first."""

    def __init__(self, system: Realm, name: str) -> None:
        self._cell = _ProbeCell(system, name, _Anything)
        self._cell.handlers = _AnyMessage()
        self._cell.ref = ActorRef(self._cell)
        self._receipt: Receipt | None = None
        system.enter(self._cell)

    @property
    def ref(self) -> ActorRef:
        """What to give to the actors under test."""
        return self._cell.ref

    def expect(self, kind: type[M]) -> M:
        """Take the next message, which has to be of this type.

        Raises:
            AssertionError: when there is none, or one of another type.
        """
        box = self._cell.mailbox
        box.calm()  # it is no actor that would stop
        if not box.mask:
            raise AssertionError(f"{self.ref!r} has no message, expected {kind.__qualname__}")
        envelope = box.pop()
        message, _, self._receipt, _ = envelope
        if self._receipt is not None:
            self._cell.asked.append(envelope)
        if type(message) is not kind:
            raise AssertionError(f"{self.ref!r} got {message!r}, expected {kind.__qualname__}")
        return message

    def expect_none(self) -> None:
        """Make sure that no message waits.

        Raises:
            AssertionError: when there is one.
        """
        box = self._cell.mailbox
        box.calm()
        if box.mask:
            raise AssertionError(f"{self.ref!r} got {box.pop()[0]!r}, expected none")

    def reply(self, value: object) -> None:
        """Answer the ask that was last expected.

        Raises:
            Broken: when that message was no ask, or is answered already.
        """
        receipt, self._receipt = self._receipt, None
        if receipt is None:
            raise Broken(f"{self.ref!r} has no ask to answer")
        self._cell.asked.remove(next(each for each in self._cell.asked if each[2] is receipt))
        receipt.done(value)

    def watch(self, ref: ActorRef) -> None:
        """Have `Terminated` told to the probe when an actor ends."""
        self._cell.watch(ref.cell)

    def end(self, reason: object = "stopped") -> None:
        """End the probe as an actor ends: its asks fail, its watchers are told, what comes later is DEAD.

        The asks that were expected, and not answered, fail as well.
        """
        self._cell.reason = reason
        self._cell.bury()


class _ProbeCell(Cell):
    """A cell without a task, which would have to end by itself."""

    def __init__(self, system: Realm, name: str, kind: type[Actor]) -> None:
        super().__init__(system, name, kind)
        self.asked: list[Envelope] = []
        """The asks that the test has taken, and not answered."""

    def let_go(self, loss: Callable[[str, object], Exception]) -> None:
        """Tell everybody whose ask is in hand: the test may have taken several."""
        for envelope in self.asked:
            self._fail(envelope, loss)
        self.asked.clear()

    def cancel(self, reason: object) -> None:
        """End: whoever stops a probe waits for its grace, as for an actor that is busy."""
        self.bury()

    def bury(self) -> None:
        """End, and give the name back."""
        super().bury()
        self.system.leave(self)


class _AnyMessage(dict[type, Handler]):
    """A table of handlers that has a row for every message type."""

    def __missing__(self, kind: type) -> Handler:
        if not is_message(kind):
            raise KeyError(kind)
        handler = self[kind] = Handler.of(_not_handled, kind)
        return handler


def _not_handled(_actor: object, _message: object) -> None:
    raise Broken("a probe's messages are taken by the test")


class _Anything(Actor):
    mailbox: ClassVar[Mapping[Priority, Level]] = {
        level: Level.block(1_000_000) for level in list(Priority)[1:]
    }
