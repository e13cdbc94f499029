"""Intents on their way to the disk."""

from __future__ import annotations

__all__ = ["Intents"]


class Intents:
    """What the Executor has taken on and may not send yet."""

    def __init__(self) -> None:
        self._unsent: dict[str, bool] = {}
        """What is on its way, by client id: whether it was recalled."""

    def add(self, client_id: str) -> None:
        """One more is on its way."""
        self._unsent[client_id] = False

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
