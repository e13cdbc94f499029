"""Levels: how much one priority of a mailbox holds, and what happens when it is full."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from enum import Enum
from typing import Any

import attrs

from aegis.errors import Refused

__all__ = ["DEFAULT_LEVEL", "Level", "Overflow"]


class Overflow(Enum):
    """What a full level does with one more message."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"
    LATEST = "latest"
    REJECT = "reject"


@attrs.frozen
class Level:
    """The capacity and the policy of one level; made by `block`, `drop_oldest`, `latest` or `reject`."""

    overflow: Overflow
    capacity: int
    key: Callable[[Any], Hashable] | None = None  # with LATEST, and only there

    def __attrs_post_init__(self) -> None:
        if self.capacity < 1:
            raise Refused(f"a level holds at least one message, not {self.capacity}")
        if (self.key is not None) is not (self.overflow is Overflow.LATEST):
            raise Refused("a level has a key if it keeps the latest of each, and only then")

    @classmethod
    def block(cls, capacity: int) -> Level:
        """Full means: `tell` is rejected, `send` and `ask` wait for room, first come first served."""
        return cls(Overflow.BLOCK, capacity)

    @classmethod
    def drop_oldest(cls, capacity: int) -> Level:
        """Full means: the oldest message of this level makes room for the new one."""
        return cls(Overflow.DROP_OLDEST, capacity)

    @classmethod
    def latest(cls, key: Callable[[Any], Hashable], *, capacity: int = 4096) -> Level:
        """A new message takes the place of the waiting one with the same key, keeping its turn.

        Right for the best bid and offer or for settings, where only the newest value counts. Wrong for trades, bars,
        volume or fills: it thins out history. When `capacity` different keys wait, the oldest makes room.
        """
        return cls(Overflow.LATEST, capacity, key)

    @classmethod
    def reject(cls, capacity: int) -> Level:
        """Full means: the message is rejected, also for `send`, and an `ask` fails with `MailboxFull`."""
        return cls(Overflow.REJECT, capacity)


# Never lose silently: a level that an actor does not describe holds this much, and says when it is full.
DEFAULT_LEVEL = Level.block(1024)
