"""Waiting on sockets and reading those of lanes, in one compiled call that holds no GIL and makes no object.

It works on a table in plain memory: what is waited on, as poll(2) wants it, and beside each socket the lane that takes
what comes. Whatever is not simply ticks ends the call, and is Python's.
"""

from __future__ import annotations

import select
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from aegis.compiled import compiled, entry_point
from aegis.memory import set_word, word
from aegis.moment import MOMENT_BYTES, monotonic_ns
from aegis.venue.fastlane_scan import ATTEND, receive_and_show, wake_readers

__all__ = ["NO_LANE", "NO_ROW", "SOCKETS_MAX", "IdleTable"]

SOCKETS_MAX: Final = 16
NO_LANE: Final = 0
NO_ROW: Final = 0
_HOLD_NS: Final = 2_000_000
"""So long after the first tick it is over, however steadily they come."""
_GO_ON: Final = -1
_NOBODY: Final = -1

# The table's words by index.
_ROWS: Final = 0  # how many there are, the loop's included
_CAME: Final = 1  # what the socket brought that ended the call, as `receive_and_scan` says it
_IS_OTHER: Final = 2  # 1 if something ended it that is neither a socket nor the time
_UNTIL_NS: Final = 3  # when the loop wants its turn,
_FIRST_NS: Final = 4  # and when the first tick came since it had it; 0: none yet
_MOMENT: Final = 5
_POLLED: Final = _MOMENT + MOMENT_BYTES // 8  # a row's struct pollfd: fd, events, revents
_LANE: Final = _POLLED + SOCKETS_MAX + 1  # a row's lane
_WORDS: Final = _LANE + SOCKETS_MAX + 1

_POLLIN: Final = int(select.POLLIN)
_HALF: Final = 0xFFFF_FFFF
_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000

_poll = types.ExternalFunction("poll", types.int32(types.intp, types.uintp, types.int32))


@compiled("int64(int64, int64, int64)", late=True)
def _read_rows(table: int, rows: int, now_ns: int) -> int:
    """Read what can be read; the row of a socket that has something for Python, `NO_ROW`, or `_NOBODY` if none had anything."""
    found = _NOBODY
    for row in range(1, rows):
        asked = word(table + 8 * (_POLLED + row))
        if asked >> 48 == 0:
            continue
        lane, came = word(table + 8 * (_LANE + row)), ATTEND
        if lane != NO_LANE:
            came = receive_and_show(lane, asked & _HALF, (now_ns // _NS_PER_US) & _HALF)
        if came <= 0 or came >= ATTEND:
            set_word(table + 8 * _CAME, came)
            found = row
            break
        found = NO_ROW
    for row in range(1, rows):
        lane = word(table + 8 * (_LANE + row))
        if lane != NO_LANE and word(table + 8 * (_POLLED + row)) >> 48 != 0:
            wake_readers(lane)
    return found


@entry_point
@compiled("int64(int64, int64)", nogil=True)
def _serve(table: int, timeout_ms: int) -> int:
    """Wait and read until there is something for Python; the row of the socket that has it, 0 for anything else."""
    moment, rows = table + 8 * _MOMENT, word(table + 8 * _ROWS)
    now_ns = monotonic_ns(moment)
    set_word(table + 8 * _IS_OTHER, 0)
    if timeout_ms != _GO_ON:
        set_word(table + 8 * _UNTIL_NS, now_ns + timeout_ms * _NS_PER_MS)
        set_word(table + 8 * _FIRST_NS, 0)
    elif now_ns - word(table + 8 * _FIRST_NS) > _HOLD_NS:
        return NO_ROW
    while True:
        left_ms = (word(table + 8 * _UNTIL_NS) - now_ns + _NS_PER_MS - 1) // _NS_PER_MS
        polled = table + 8 * _POLLED
        if left_ms < 0 or _poll(polled, types.uintp(rows), types.int32(left_ms)) <= 0:
            return NO_ROW  # the time is over, or there was a signal
        now_ns = monotonic_ns(moment)
        row = _read_rows(table, rows, now_ns)
        if row == _NOBODY:
            set_word(table + 8 * _IS_OTHER, 1)
            return NO_ROW
        # To poll for no longer than this would set a short timer, which costs more than a turn of the loop.
        first_ns = word(table + 8 * _FIRST_NS)
        if first_ns == 0:
            set_word(table + 8 * _FIRST_NS, now_ns)
        if row != NO_ROW or (first_ns > 0 and now_ns - first_ns > _HOLD_NS):
            return row


class IdleTable:
    """What is waited on: the loop, in row 0, and some sockets."""

    def __init__(self, loop_fd: int) -> None:
        self._memory: Final[npt.NDArray[np.int64]] = np.zeros(_WORDS, np.int64)
        self._words: Final = self._memory.data
        self._address: Final = int(self._memory.ctypes.data)
        self.set(0, loop_fd, NO_LANE)
        self.rows = 1

    @property
    def rows(self) -> int:
        """How many are waited on."""
        return self._words[_ROWS]

    @rows.setter
    def rows(self, rows: int) -> None:
        self._words[_ROWS] = rows

    def set(self, row: int, fd: int, lane: int) -> None:
        """Write a row: a descriptor, and the handle of the lane that takes what comes there, or `NO_LANE`."""
        self._words[_POLLED + row] = fd | _POLLIN << 32
        self._words[_LANE + row] = lane

    def serve(self, timeout_ms: int) -> int:
        """Wait, and have the lanes take what comes, for at most so long.

        Returns:
            The row of a socket that has something for Python, or `NO_ROW`.
        """
        return _serve(self._address, timeout_ms)

    def go_on(self) -> int:
        """Go on after a row was seen to: the time is still that of the last `serve`."""
        return _serve(self._address, _GO_ON)

    @property
    def came(self) -> int:
        """What the lane of that row has received, as `Lane.receive_now` says it; without a lane, nothing was received yet."""
        return self._words[_CAME]

    @property
    def is_other(self) -> bool:
        """Whether the last call ended because the loop has something to do."""
        return self._words[_IS_OTHER] > 0
