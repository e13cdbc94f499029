"""Handing over what must not be lost."""

from __future__ import annotations

from aegis.errors import check
from aegis.kernel import ActorRef, Delivery

__all__ = ["deliver"]


def deliver(ref: ActorRef, message: object) -> None:
    """Tell, where a full box would be a bug: the number of such messages is bounded by the design.

    A dead receiver is no bug: the engine is stopping, and the journal knows what was under way.

    Raises:
        Broken: the box was full.
    """
    taken = ref.tell(message)
    check(
        taken in {Delivery.OK, Delivery.CONFLATED, Delivery.DEAD},
        f"{ref.name} has room for a {type(message).__name__}",
    )
