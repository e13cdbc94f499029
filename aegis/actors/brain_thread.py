"""The Brain's thread: where the compiled loop runs, and the rings between it and the Brain's actor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from aegis.actors.brain_loop import BATCH, Wire, think
from aegis.actors.ear import Ear
from aegis.kernel.cores import elsewhere
from aegis.market.analysis import Analysis
from aegis.market.closings import CLOSING
from aegis.market.commands import COMMAND, nothing
from aegis.market.conflate import CONFLATED, Conflation
from aegis.market.records import TICK
from aegis.market.signals import SIGNAL
from aegis.shm import Policy, Ring
from aegis.shm.entry_points import prepare
from aegis.shm.layout import signed
from aegis.shm.reader import Reader
from aegis.shm.wakeup import RUNG
from aegis.shm.writer import Writer

__all__ = ["BrainThread"]

_COMMANDS: Final = 1024
_FOUND: Final = 64
"""Signals that are taken in one go; then somebody else has a turn."""
_PAUSE_S: Final = 0.001
_OUTPUTS: Final = 4096
"""Signals, closed bars or updates that may wait for the loop; what comes then is counted as lost."""

# Before anything runs: compiling takes seconds.
prepare(TICK, one_by_one=True)  # as the feed's worker writes them
for _records in (COMMAND, SIGNAL, CLOSING, CONFLATED):
    prepare(_records)


class BrainThread:
    """One long call of compiled code on a thread of its own.

    What goes in and comes out goes through rings, so that the thread never needs the GIL while it works: a handler that
    holds it for milliseconds delays what is done with a signal, and not the reading of ticks.

    Args:
        reader: of the ring of ticks. From `run` on the thread alone reads with it.
        analysis: from `run` on the thread alone writes to it.
        conflation: the windows, if somebody may listen to updates.
    """

    def __init__(self, reader: Reader, analysis: Analysis, conflation: Conflation) -> None:
        self._reader: Final = reader
        self._analysis: Final = analysis
        self._conflation: Final = conflation
        self._opened: Final = ExitStack()
        commands, self._commands_in = self._ring(COMMAND, _COMMANDS)
        self._commands: Final = commands
        signals_out, self._signals = self._ring(SIGNAL, _OUTPUTS)
        self._closings_out, self.closings = self._ring(CLOSING, _OUTPUTS)
        updates_out, self.updates = self._ring(CONFLATED, _OUTPUTS)
        self._wire: Final[npt.NDArray[np.int64]] = np.zeros(len(Wire), np.int64)
        for word, value in {
            Wire.TICKS: reader.handle,
            Wire.BELL: reader.bell_fd,
            Wire.COMMANDS: self._commands_in.handle,
            Wire.SIGNALS: signals_out.handle,
            Wire.CLOSINGS: self._closings_out.handle,
            Wire.UPDATES: updates_out.handle,
            Wire.WINDOW_NS: conflation.length_ns,
        }.items():
            self._wire[word] = value
        self.thread_id = 0
        """Native id of the thread, once it runs."""

    def _ring(self, dtype: np.dtype[np.void], capacity: int) -> tuple[Writer, Reader]:
        ring = self._opened.enter_context(Ring.create(dtype, capacity))
        return ring.writer(), ring.reader("brain", policy=Policy.GATE, waiting=RUNG)

    async def run(self, take: Callable[[npt.NDArray[np.void]], None]) -> None:
        """Think until cancelled; the thread then ends within a batch, and the rings with it.

        Args:
            take: what is done with signals, in the loop. If it raises, that ends the thread too.
        """
        # One array for all: to make one takes 50 us after a rest.
        ear = Ear(self._signals, np.empty(_FOUND, SIGNAL), take)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ear.listen)  # which ends before its ring
                nursery.start_soon(self._stop_when_cancelled)
                # Elsewhere, because it wakes the loop with every signal.
                thinking = elsewhere(self._think)
                await trio.to_thread.run_sync(thinking, limiter=trio.CapacityLimiter(1))
                nursery.cancel_scope.cancel()
        finally:
            self._opened.close()

    async def _stop_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._wire[Wire.STOP] = 1
            self._reader.wake()

    def _think(self) -> None:
        self.thread_id = threading.get_native_id()
        analysis, conflation = self._analysis, self._conflation
        think(
            self._wire,
            np.empty(BATCH, TICK),
            np.empty(1, COMMAND),
            analysis.state,
            analysis.parameter_record,
            analysis.outbox,
            conflation.windows,
            np.empty(max(BATCH, len(conflation.windows)), CONFLATED),
        )

    async def obey(self, commands: npt.NDArray[np.void]) -> None:
        """Have commands obeyed, in order, each between two batches of ticks."""
        await self._commands.write_all(commands)
        self._reader.wake()

    async def pass_by(self) -> None:
        """Wait until the thread has come to the end of what it is at, and has handed on what came of it."""
        await self.obey(nothing())
        await _until_read(self._commands_in, self._commands.position)

    async def digest(self, commands: npt.NDArray[np.void]) -> None:
        """Have commands obeyed, and wait until the bars that they closed were taken, give or take the last one.

        To be used by one task. Unlike `obey` it does not wait at the ring, where only one may.
        """
        while len(commands):
            commands = commands[self._commands.write_batch(commands) :]
            self._reader.wake()
            await _until_read(self._commands_in, self._commands.position)
        await _until_read(self.closings, self._closings_out.position)

    def hear_updates(self, wanted: bool) -> None:  # a switch
        """Whether windows are conflated and handed on: nobody listens most of the time."""
        self._wire[Wire.HEARD] = wanted

    @property
    def lost(self) -> int:
        """Signals, closed bars and updates that found no room on their way to the actor."""
        lost = (Wire.SIGNALS_LOST, Wire.CLOSINGS_LOST, Wire.UPDATES_LOST)
        return sum(int(self._wire[word]) for word in lost)

    @property
    def signals_lost(self) -> int:
        """Of these, signals."""
        return int(self._wire[Wire.SIGNALS_LOST])

    @property
    def closings_lost(self) -> int:
        """Of these, closed bars."""
        return int(self._wire[Wire.CLOSINGS_LOST])


async def _until_read(reader: Reader, position: int) -> None:
    """Wait until a reader has come to a position: it has no bell for those who wait for it to come so far."""
    while signed(reader.position - position) < 0:
        await trio.sleep(_PAUSE_S)
