"""The queue of a level that keeps the latest message of each key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aegis.kernel.mailbox import Envelope

__all__ = ["LatestQueue"]


class LatestQueue:
    """Envelopes in the order in which their keys first came; as much of `deque` as a mailbox needs."""

    __slots__ = ("_by_key", "_key")

    def __init__(self, key: Callable[[Any], Hashable]) -> None:
        self._key = key
        self._by_key: OrderedDict[Hashable, Envelope] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Envelope]:
        return iter(self._by_key.values())

    def put(self, envelope: Envelope) -> bool:
        """Add at the end (False), or put in the place of the waiting one that has the same key (True).

        Whoever waits for an answer is never replaced. It raises what the key's function raises, and for a key that has no
        hash; then nothing has changed.
        """
        message, _, receipt, _ = envelope
        key = self._key(message) if receipt is None else id(receipt)
        by_key = self._by_key
        is_replaced = key in by_key
        by_key[key] = envelope
        return is_replaced

    def append(self, envelope: Envelope) -> None:
        """Put, whatever was there."""
        self.put(envelope)

    def extend(self, envelopes: Iterable[Envelope]) -> None:
        """Append each."""
        for envelope in envelopes:
            self.append(envelope)

    def popleft(self) -> Envelope:
        """Take the oldest."""
        return self._by_key.popitem(last=False)[1]

    def clear(self) -> None:
        """Take all."""
        self._by_key.clear()
