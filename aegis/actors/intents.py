"""Intents on their way to the disk."""

from __future__ import annotations

from typing import Final

from aegis.actors.delivery import deliver
from aegis.kernel import ActorRef
from aegis.kernel.receipt import Reply
from aegis.messages import Approved, RecordNow
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

    def add(self, approved: Approved) -> Reply:
        """Have one written; what is returned can be waited for, until it is on disk."""
        self._unsent[approved.client_id] = False
        entries, on_disk = (recovery.intended(approved.client_id, approved.ticket),), Reply()
        deliver(self._scribe, RecordNow(entries, on_disk))
        return on_disk

    def recall(self) -> frozenset[str]:
        """Have nothing sent of what is on its way; returns the client ids. The journal keeps both: meant, not sent."""
        self._unsent = dict.fromkeys(self._unsent, True)
        return frozenset(self._unsent)

    def __contains__(self, client_id: str) -> bool:
        """Whether it is on its way still, so that the exchange cannot know it."""
        return client_id in self._unsent

    def settle(self, client_id: str) -> bool:
        """Take one off its way, as it is on disk; True if it was recalled."""
        return self._unsent.pop(client_id)
