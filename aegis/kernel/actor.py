"""Actors: a class, its handlers by message type, and the table made of them when the class is made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import attrs

from aegis.errors import Refused
from aegis.kernel.level import Level
from aegis.kernel.message import Priority, is_message

if TYPE_CHECKING:
    from aegis.kernel.context import Context

__all__ = ["Actor", "Handler", "on"]

A = TypeVar("A")
M = TypeVar("M")
R = TypeVar("R")


class Actor:
    """One thing that lives on its own: it owns its state, and everything reaches it as a message, one at a time.

    A subclass marks its handlers with `@on(Type)`. They are found by the exact type of a message. A handler may be
    `async def` or a plain `def`; what it returns answers an `ask`.
    """

    # What each level holds when it is not the default; SYSTEM cannot be bounded.
    mailbox: ClassVar[Mapping[Priority, Level]] = {}
    # How long `stopping` may take before it is cut off.
    stopping_timeout_s: ClassVar[float] = 5.0
    handlers: ClassVar[Mapping[type, Handler]] = {}
    # Set before `started` is called.
    ctx: Context

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Priority.SYSTEM in cls.mailbox:
            raise Refused(f"{_place_of_class(cls)}: the SYSTEM level is never bounded nor dropped")
        cls.handlers = _handler_table(cls)

    async def started(self) -> None:
        """Run first in every incarnation, before any message."""

    async def stopping(self, reason: object) -> None:
        """Run last in every incarnation that was constructed, also when `started` failed or the run is cancelled.

        It is shielded from cancellation, and cut off after `stopping_timeout_s` where it waits for something. The tasks of
        the incarnation are gone, none can be started, and a timer that is set here never ticks. What it raises is logged,
        and comes out only where the actor's policy escalates. A `Replay` has no bound, raises it, and leaves this out
        where `started` failed.

        Args:
            reason: what `stop` was given, the exception of a crash, that a sibling restarts with which it begins again,
                or "cancelled": also where it was stopped before it had begun.
        """


@attrs.frozen(eq=False)
class Handler:
    """One row of an actor class's table: what to call for a type, and how that type travels."""

    function: Callable[[Any, Any], Any]
    kind: type
    level: int
    ttl_ns: int  # 0: lives for ever
    is_async: bool

    @classmethod
    def of(cls, function: Callable[[Any, Any], Any], kind: type) -> Handler:
        """Read priority and time to live from the message type."""
        ttl: float | None = kind.TTL_S  # type: ignore[attr-defined]
        return cls(
            function=function,
            kind=kind,
            level=int(kind.PRIORITY),  # type: ignore[attr-defined]
            ttl_ns=0 if ttl is None else math.ceil(ttl * 1e9),
            is_async=inspect.iscoroutinefunction(function),
        )


def on(kind: type[M]) -> Callable[[Callable[[A, M], R]], Callable[[A, Any], R]]:
    """Mark a method as the handler of one message type; stack it for several.

    A type checker sees that the method takes the type; of stacked ones, the one next to the method.
    """

    def decorate(method: Callable[[A, M], R]) -> Callable[[A, Any], R]:
        kinds = getattr(method, "handles", ())
        method.handles = (kind, *kinds)  # type: ignore[attr-defined]
        return method

    return decorate


def _handler_table(cls: type[Actor]) -> dict[type, Handler]:
    """Collect the handlers of a class and its bases; the same method name overrides, as everywhere in Python.

    Raises:
        Refused: when a handler's type is no message, or two methods handle one type.
    """
    names = {name: None for base in reversed(cls.__mro__) for name in vars(base)}
    table: dict[type, Handler] = {}
    for name in names:
        # An abstract class names what it does not have yet.
        function: Any = getattr(cls, name, None)
        for kind in getattr(function, "handles", ()):
            if not is_message(kind):
                raise Refused(
                    f"{_place(function)}: {kind!r} is no message, decorate it with @message"
                )
            if kind in table:
                raise Refused(
                    f"two handlers for {kind.__qualname__}: "
                    f"{_place(table[kind].function)} and {_place(function)}"
                )
            table[kind] = Handler.of(function, kind)
    return table


def _place(function: Callable[..., Any]) -> str:
    code = inspect.unwrap(function).__code__
    return f"{function.__qualname__} ({code.co_filename}:{code.co_firstlineno})"


def _place_of_class(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
