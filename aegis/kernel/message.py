"""Messages: frozen attrs classes whose type says how urgent they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar, dataclass_transform

import attrs

from aegis.errors import Refused

__all__ = ["Priority", "is_message", "message"]

T = TypeVar("T")


class Priority(IntEnum):
    """How urgent a message is; the same five levels everywhere, 0 first."""

    SYSTEM = 0  # errors, stop, death notices: unbounded, never dropped
    EXECUTION = 1
    ANALYSIS = 2
    INGEST = 3
    BACKGROUND = 4


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def message(priority: Priority, *, ttl: float | None = None) -> Callable[[type[T]], type[T]]:
    """Make a class a message: frozen, slotted, compared by value, with its priority on the type.

    The priority belongs to the type and not to the sender, so that reading a message's definition tells how it
    travels. It is found again as `PRIORITY` on the class, the time to live as `TTL_S`.

    Args:
        priority: the level of every mailbox it lands in.
        ttl: seconds after which a message that still waits in a mailbox is dropped and counted as expired.

    Raises:
        Refused: when the time to live is not positive, not finite, or given to a SYSTEM message, which is never dropped.
    """
    if ttl is not None and priority == Priority.SYSTEM:
        raise Refused("a SYSTEM message is never dropped, so it has no ttl")
    if ttl is not None and not 0 < ttl * 1e9 < math.inf:
        raise Refused(f"a message's ttl is a positive number of seconds, not {ttl!r}")

    def decorate(cls: type[T]) -> type[T]:
        # Set before attrs makes its slotted copy of the class, without annotation so that they are no fields.
        cls.PRIORITY = Priority(priority)  # type: ignore[attr-defined]
        cls.TTL_S = ttl  # type: ignore[attr-defined]
        return attrs.frozen(cls, slots=True)

    return decorate


def is_message(kind: object) -> bool:
    """Tell whether a class was made by `message`."""
    return isinstance(kind, type) and isinstance(getattr(kind, "PRIORITY", None), Priority)
