"""The intake: how candles of before the start come to whoever steps, no faster than those who follow can look at them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
import trio

from aegis.kernel import ActorRef, Priority
from aegis.kernel.receipt import Reply

__all__ = ["PIECE", "WAITING_MAX", "Intake"]

PIECE: Final = 256
"""Commands that are obeyed together: what they close is a small part of what may wait for the Brain's actor."""
WAITING_MAX: Final = 512
"""A follower with more closed bars than that before it is waited for. With a piece on top it has room for a live one in a box of
the kernel's usual size."""
_PAUSE_S: Final = 0.001


@attrs.frozen
class _Load:
    """Commands that belong together."""

    commands: npt.NDArray[np.void]
    followers: Sequence[ActorRef]
    taken: Reply | None


class Intake:
    """Commands that may be many, in a line of their own, so that the order's news needs not wait behind them.

    Bars of the live market are told without waiting, and none is behind these: what is ahead of a follower is never more than
    it has room for.

    Args:
        digest: has a piece of commands obeyed, and returns once what they closed has been told.
    """

    def __init__(self, digest: Callable[[npt.NDArray[np.void]], Awaitable[None]]) -> None:
        self._digest: Final = digest
        self._in, self._out = trio.open_memory_channel[_Load](math.inf)

    def take(
        self,
        commands: npt.NDArray[np.void],
        followers: Sequence[ActorRef] = (),
        taken: Reply | None = None,
    ) -> None:
        """Have commands obeyed after those that were taken before.

        Args:
            commands: COMMAND records.
            followers: who will be told of the bars among them.
            taken: is answered once these were told.
        """
        self._in.send_nowait(_Load(commands, followers, taken))

    async def run(self) -> None:
        """Work until cancelled."""
        async for load in self._out:
            for first in range(0, len(load.commands), PIECE):
                await _have_room(load.followers)
                await self._digest(load.commands[first : first + PIECE])
            if load.taken is not None:
                load.taken.done(None)


async def _have_room(followers: Sequence[ActorRef]) -> None:
    """Wait until each of them has looked at most of what it was told; one that has ended is told in vain."""
    for ref in followers:
        while ref.stats().depth[Priority.ANALYSIS] > WAITING_MAX:
            await trio.sleep(_PAUSE_S)
