"""Intents on their way to the disk: those that come while one group is written make the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aegis.kernel import ActorRef
from aegis.messages import Approved, Durable, RecordNow
from aegis.store import recovery

__all__ = ["Intents"]

INTENT_TIMEOUT_S: Final = 5.0


class Intents:
    """What the Executor has taken on and may not send yet.

    A bar that closes brings orders of many symbols at once. One commit each would make the last of them wait for all
    the others' disk; so whoever comes while a commit is under way shares the next.

    Args:
        scribe: writes them.
        tell: takes each `Durable`.
    """

    def __init__(self, scribe: ActorRef, tell: Callable[[object], None]) -> None:
        self._scribe = scribe
        self._tell = tell
        self._waiting: list[Approved] = []
        self._unsent: dict[str, bool] = {}
        """What is on its way, by client id: whether it was recalled."""
        self._is_writing = False

    def add(self, approved: Approved) -> bool:
        """Take one; True where nobody writes, and `write` has to be started."""
        self._waiting.append(approved)
        self._unsent[approved.client_id] = False
        begins, self._is_writing = not self._is_writing, True
        return begins

    def recall(self) -> frozenset[str]:
        """Have nothing sent of what is on its way; returns the client ids. The journal keeps both: meant, not sent."""
        self._unsent = dict.fromkeys(self._unsent, True)
        return frozenset(self._unsent)

    def settle(self, client_id: str) -> bool:
        """Take one off its way, as its `Durable` has come; True if it was recalled."""
        return self._unsent.pop(client_id)

    async def write(self) -> None:
        """Write group after group until none waits."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            entries = tuple(recovery.intended(each.client_id, each.ticket) for each in group)
            await self._scribe.ask(RecordNow(entries), timeout=INTENT_TIMEOUT_S)
            self._tell(Durable(tuple(group)))
        self._is_writing = False
