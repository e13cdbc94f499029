"""The Brain's loop in compiled code: it waits on the ring, steps, and hands on what comes out, without the GIL.

    ticks ──ring──▶ walk ▶ step ──▶ signals, closed bars ──rings──▶ the Brain's actor
                     ▲
    commands ──ring──┘ between two batches, so that nobody else writes to a row

It touches no Python object, so the garbage collector, the loop and a long handler in it do not hold it up.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import numba

from aegis.compiled import compiled, entry_point
from aegis.market.bars import FLAG_BROKEN
from aegis.market.commands import COMMAND, obey
from aegis.market.conflate import CONFLATED, WINDOW, conflate, flush_windows
from aegis.market.kernel import array_of, constant
from aegis.market.records import TICK
from aegis.market.signals import OUTBOX
from aegis.market.state import PARAMETERS, ROW
from aegis.market.step import step
from aegis.shm.atomics import load_acquire
from aegis.shm.block import LOST_SO_FAR
from aegis.shm.reading import arm, ready, spin, walk
from aegis.shm.slumber import listen, silence
from aegis.shm.writing import put_many

__all__ = ["BATCH", "Wire", "think"]

BATCH: Final = 4096
"""Ticks that are stepped together at most: some 30 us, which a command may have to wait."""


_FEW: Final = 512
_PIECE: Final = 16
"""Of a batch of no more than a few, signals are handed on after so many ticks: whoever waits for them wakes up while the rest is
stepped. More than a few is what came while this thread had no core, and is taken as fast as it can be."""


class Wire(IntEnum):
    """The words that join the loop to the rest: the index of each in one array of int64."""

    STOP = 0
    """1: return. Ring the reader's bell after setting it."""
    TICKS = 1
    """Handle of the reader of ticks."""
    BELL = 2
    """Its eventfd, or -1."""
    COMMANDS = 3
    """Handle of the reader of commands."""
    SIGNALS = 4
    """Handle of the writer of signals."""
    CLOSINGS = 5
    """Handle of the writer of closed bars."""
    UPDATES = 6
    """Handle of the writer of conflated windows."""
    HEARD = 7
    """1 while somebody listens to those. May be set by another thread."""
    WINDOW_NS = 8
    SCRATCH = 9
    SIGNALS_LOST = 10
    """Signals for which the actor had left no room; in the next words closings and updates."""
    CLOSINGS_LOST = 11
    UPDATES_LOST = 12
    FLUSH_NS = 13
    """Exchange time of the next look for windows of quiet symbols."""


_STOP: Final = constant(Wire.STOP)
_TICKS: Final = constant(Wire.TICKS)
_BELL: Final = constant(Wire.BELL)
_COMMANDS: Final = constant(Wire.COMMANDS)
_SIGNALS: Final = constant(Wire.SIGNALS)
_CLOSINGS: Final = constant(Wire.CLOSINGS)
_UPDATES: Final = constant(Wire.UPDATES)
_HEARD: Final = constant(Wire.HEARD)
_WINDOW_NS: Final = constant(Wire.WINDOW_NS)
_SCRATCH: Final = constant(Wire.SCRATCH)
_SIGNALS_LOST: Final = constant(Wire.SIGNALS_LOST)
_CLOSINGS_LOST: Final = constant(Wire.CLOSINGS_LOST)
_UPDATES_LOST: Final = constant(Wire.UPDATES_LOST)
_FLUSH_NS: Final = constant(Wire.FLUSH_NS)

_LOST_SO_FAR: Final = constant(LOST_SO_FAR)
_WORD: Final = 8
_SPINS: Final = 1_000
"""Looks of 10 to 60 ns each before it sleeps, while that pays."""
_LONGEST_REST: Final = 1024
_NAP_MS: Final = 20
"""The longest sleep: a writer may be killed after it published, and before it woke anybody."""


# Each half of the ring's protocol is pasted into whatever uses it: here once, for all uses below.


@compiled("int64(int64, int64, int64)", late=True)
def _take(reader: int, destination: int, limit: int) -> int:
    return walk(reader, destination, limit)


@compiled("int64(int64, int64, int64)", late=True)
def _give(writer: int, source: int, count: int) -> int:
    """Write records; return how many found no room."""
    return count - put_many(writer, source, count)


@compiled(numba.types.void(numba.types.int64[::1], array_of(OUTBOX)), late=True)
def _hand_on(wire: Any, outbox: Any) -> None:
    """Put what a step wrote into the rings; what finds no room is counted."""
    box = outbox[0]
    if box.written > 0:
        wire[_SIGNALS_LOST] += _give(wire[_SIGNALS], box.signals.ctypes.data, box.written)
    if box.closed > 0:
        wire[_CLOSINGS_LOST] += _give(wire[_CLOSINGS], box.closings.ctypes.data, box.closed)


@compiled(
    numba.types.void(
        numba.types.int64[::1],
        array_of(TICK),
        numba.types.int64,
        array_of(WINDOW),
        array_of(CONFLATED),
    ),
    late=True,
)
def _update(wire: Any, ticks: Any, count: int, windows: Any, conflated: Any) -> None:
    """Put the windows that the ticks close into the ring, and those of quiet symbols a window later."""
    length_ns = wire[_WINDOW_NS]
    over = conflate(ticks, count, windows, length_ns, conflated)
    wire[_UPDATES_LOST] += _give(wire[_UPDATES], conflated.ctypes.data, over)
    newest_ns = ticks[count - 1].event_ns
    if length_ns > 0 and newest_ns >= wire[_FLUSH_NS]:
        over = flush_windows(windows, newest_ns - length_ns, conflated)
        wire[_UPDATES_LOST] += _give(wire[_UPDATES], conflated.ctypes.data, over)
        wire[_FLUSH_NS] = newest_ns + length_ns


@compiled(numba.types.void(array_of(ROW), array_of(WINDOW)), late=True)
def _break_all(state: Any, windows: Any) -> None:
    """Ticks are lost, and nobody knows whose: whatever forms, or forms next, may miss some."""
    for index in range(state.shape[0]):
        row = state[index]
        row.gap = FLAG_BROKEN
        row.forming.flags |= FLAG_BROKEN
    for index in range(windows.shape[0]):
        window = windows[index]
        window.gap = FLAG_BROKEN
        window.forming.trades.flags |= FLAG_BROKEN


@entry_point
@compiled(
    numba.types.void(
        numba.types.int64[::1],
        array_of(TICK),
        array_of(COMMAND),
        array_of(ROW),
        array_of(PARAMETERS, readonly=True),
        array_of(OUTBOX),
        array_of(WINDOW),
        array_of(CONFLATED),
    ),
    nogil=True,
)
def think(
    wire: Any,
    ticks: Any,
    command: Any,
    state: Any,
    parameters: Any,
    outbox: Any,
    windows: Any,
    conflated: Any,
) -> None:
    """Step until told to stop.

    Args:
        wire: `Wire` words; `STOP` may be set by another thread, the counts may be read by one.
        ticks: a TICK array of length BATCH, to work in.
        command: a COMMAND array of length 1, to work in.
        state: see `aegis.market.step.step`, as all that follow.
        parameters: a PARAMETERS array of length 1.
        outbox: an OUTBOX array of length 1.
        windows: see `aegis.market.conflate.conflate`.
        conflated: a CONFLATED array of length BATCH, or a record a symbol if that is more, to work in.
    """
    stop_at = wire.ctypes.data + _STOP * _WORD
    heard_at = wire.ctypes.data + _HEARD * _WORD
    scratch = wire.ctypes.data + _SCRATCH * _WORD
    reader, commands, bell = wire[_TICKS], wire[_COMMANDS], wire[_BELL]
    lost_at = reader + _LOST_SO_FAR
    lost = load_acquire(lost_at)
    spins, resting, rest = _SPINS, 0, 1
    while load_acquire(stop_at) == 0:
        while _take(commands, command.ctypes.data, 1) > 0:
            obey(command, 1, state, parameters, outbox)
            _hand_on(wire, outbox)
        count = _take(reader, ticks.ctypes.data, BATCH)
        if count > 0:
            if load_acquire(lost_at) != lost:  # it was overtaken, before what it has taken now
                lost = load_acquire(lost_at)
                _break_all(state, windows)
            piece = _PIECE if count <= _FEW else count
            for first in range(0, count, piece):
                part = ticks[first : min(first + piece, count)]
                step(part, part.shape[0], state, parameters, outbox)
                _hand_on(wire, outbox)
            if load_acquire(heard_at) != 0:
                _update(wire, ticks, count, windows, conflated)
            continue
        # As `shm.wakeup.SpinBudget` has it: after a spin in vain it rests for ever more sleeps, until one pays.
        if spins > 0:
            if spin(reader, spins) > 0:
                rest = 1
                continue
            spins, resting, rest = 0, rest, min(2 * rest, _LONGEST_REST)
        else:
            resting -= 1
            spins = _SPINS if resting <= 0 else 0
        silence(bell, scratch)
        if arm(reader) <= 0 and ready(commands) == 0 and load_acquire(stop_at) == 0:
            listen(bell, scratch, _NAP_MS if bell >= 0 else 1)
