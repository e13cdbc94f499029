"""Hearing what a thread has found as soon as the loop has a hand free, and not when a task for it has its turn.

A turn of the loop is a step of each task that is due. In a burst that is a millisecond of judging, signing and writing, and a
signal that came meanwhile waited until all of it was done, then for the poll, and then for those in front of its task. Trio
tells its instruments of the end of each step and of each poll. This one then looks into the ring, which takes a fraction of a
microsecond; the task behind it sees to it that the loop wakes up at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import outcome
import trio

from aegis.shm.reader import Reader

__all__ = ["Ear"]

GIVEN_TURNS: Final = 3
"""Those who were told go first: to lie down to sleep takes as long as a verdict. With the first of them it has a step, too, at
whose end it looks, whatever woke it."""


class Ear(trio.abc.Instrument):
    """Takes records out of a ring between the steps of whatever the loop does.

    Args:
        reader: of the ring; nobody else reads with it.
        records: where they are read into, and so how many are taken in one go.
        take: what is done with them, without waiting for anything.
    """

    def __init__(
        self,
        reader: Reader,
        records: npt.NDArray[np.void],
        take: Callable[[npt.NDArray[np.void]], None],
    ) -> None:
        self._reader: Final = reader
        self._poll: Final = reader.poll
        self._records: Final = records
        self._take: Final = take
        self._scope: Final = trio.CancelScope()
        self._raised: outcome.Error | None = None

    async def listen(self) -> None:
        """Listen until cancelled, or until the writer has finished and all is taken.

        Raises:
            Exception: what `take` has raised; nothing is taken after that.
        """
        trio.lowlevel.add_instrument(self)
        try:
            with self._scope:
                while await self._reader.wait_for_bell() >= 0:
                    for _ in range(GIVEN_TURNS):
                        await trio.lowlevel.checkpoint()
        finally:
            trio.lowlevel.remove_instrument(self)  # whose reader may be closed now
            if self._raised is not None:  # in here, as it may be cancelled as well
                self._raised.unwrap()

    def after_io_wait(self, timeout: float) -> None:
        """The loop has polled."""
        if self._poll():
            self._hear()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task has had its step."""
        if self._poll():
            self._hear()

    def _hear(self) -> None:
        if self._raised is not None:
            return
        # Trio would log what an instrument raises, and go on without it.
        done = outcome.capture(self._take_new)
        if isinstance(done, outcome.Error):
            self._raised = done
            self._scope.cancel()

    def _take_new(self) -> None:
        self._take(self._records[: self._reader.read_into(self._records)])
