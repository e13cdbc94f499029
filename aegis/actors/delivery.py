"""Handing over what must not be lost."""

from __future__ import annotations

from typing import Any

import trio

from aegis.errors import ActorRestarting, check
from aegis.kernel import ActorRef, Delivery

__all__ = ["ask_again", "deliver"]


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


async def ask_again(ref: ActorRef, question: object, timeout: float) -> Any:
    """Ask an actor that may be restarted while the question waits: then the next incarnation is asked the same.

    Args:
        ref: whom.
        question: what; to be asked twice must do no harm.
        timeout: seconds for all of it.

    Raises:
        trio.TooSlowError: there was no answer in time.
        Unavailable: the actor has ended.
    """
    with trio.fail_after(timeout):
        while True:
            try:
                return await ref.ask(question, timeout=timeout)
            except ActorRestarting:
                continue
