"""Intents on their way to the disk."""

from __future__ import annotations

from typing import Final

from aegis.actors.delivery import deliver
from aegis.kernel import ActorRef
from aegis.messages import Approved, Durable, RecordNow
from aegis.store import recovery

__all__ = ["Intents"]


class Intents:
    """What the Executor has taken on and may not send yet.

    Args:
        scribe: writes them, those together that come together.
    """

    def __init__(self, scribe: ActorRef) -> None:
        self._scribe: Final = scribe
        self._unsent: dict[str, bool] = {}
        """What is on its way, by client id: whether it was recalled."""

    def add(self, approved: Approved, executor: ActorRef) -> None:
        """Have one written; the Executor is told `Durable` when it is."""
        self._unsent[approved.client_id] = False
        entries = (recovery.intended(approved.client_id, approved.ticket),)
        deliver(self._scribe, RecordNow(entries, executor, Durable(approved)))

    def recall(self) -> frozenset[str]:
        """Have nothing sent of what is on its way; returns the client ids. The journal keeps both: meant, not sent."""
        self._unsent = dict.fromkeys(self._unsent, True)
        return frozenset(self._unsent)

    def __contains__(self, client_id: str) -> bool:
        """Whether it is on its way still, so that the exchange cannot know it."""
        return client_id in self._unsent

    def settle(self, client_id: str) -> bool:
        """Take one off its way, as its `Durable` has come; True if it was recalled."""
        return self._unsent.pop(client_id)
