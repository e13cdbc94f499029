"""Reading in place of sleeping: what a lane's socket brings is taken where Trio's loop would wait for it.

A turn of Trio's loop costs more than all that a lone tick needs: the poll, the schedule, the steps of a task and the
socket's place in the poll again. Trio tells its instruments before it sleeps. This one then waits in its place, on
the sockets of the lanes and on whatever the loop itself waits for, and reads the sockets; the loop has its turn as
soon as anything else has happened, a deadline has come, or a socket has brought something that is not the lane's.

    loop, nothing to run ──▶ wait ──▶ a lane's socket ──▶ read, scan, ring ──▶ wait …
                              └─────▶ all else, or a frame for the library ──▶ loop
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import attrs
import outcome
import trio

from aegis.venue.idle_table import NO_LANE, NO_ROW, SOCKETS_MAX, IdleTable

__all__ = ["IdleReads", "Reader", "read_while_idle"]


class Reader(Protocol):
    """What takes what comes from a socket."""

    def read(self) -> bool:
        """Take what is there; True if that left nothing for its task."""

    def attend(self, came: int) -> bool:
        """The same after its lane has received, as `Lane.receive_now` says it."""


@attrs.define(eq=False)
class _Wait:
    """A task that waits for its socket."""

    fd: int
    lane: int
    reader: Reader
    scope: trio.CancelScope
    raised: outcome.Error | None = None


@contextmanager
def read_while_idle() -> Iterator[IdleReads]:
    """Idle reads for the time of a block, in this run of Trio."""
    idle = IdleReads()
    trio.lowlevel.add_instrument(idle)
    try:
        yield idle
    finally:
        trio.lowlevel.remove_instrument(idle)


class IdleReads(trio.abc.Instrument):
    """Reads the sockets that are waited for while nothing else is to be done.

    It only makes things faster: a socket that it does not get to is read by its task, in the loop.
    """

    def __init__(self) -> None:
        self._token: Final = trio.lowlevel.current_trio_token()
        self._waits: Final[list[_Wait]] = []
        """Those of the table, in the order of its rows, whose first is the loop's."""
        self._table: IdleTable | None = None
        self._has_searched = False

    async def wait(self, fd: int, reader: Reader, lane: int = NO_LANE) -> None:
        """Wait until there is something for the caller: in the socket, or with the reader, which has read.

        Args:
            fd: of the socket.
            reader: takes what is in the socket, if the loop is idle when it comes.
            lane: the handle of its lane, where the socket's bytes are the lane's.

        Raises:
            trio.ClosedResourceError: the socket was closed here.
        """
        with trio.CancelScope() as scope:
            wait = _Wait(fd, lane, reader, scope)
            self._waits.append(wait)
            self._write(len(self._waits) - 1)
            try:
                await trio.lowlevel.wait_readable(fd)
            finally:
                self._remove(wait)
        if wait.raised is not None:
            wait.raised.unwrap()

    def before_io_wait(self, timeout: float) -> None:
        """Trio is about to sleep for so many seconds, unless something happens: read until something has."""
        if timeout <= 0.0 or not self._waits or (table := self._known_table()) is None:
            return
        row = table.serve(math.ceil(timeout * 1000))
        while row != NO_ROW and self._attend(self._waits[row - 1], table.came):
            row = table.go_on()
        if row == NO_ROW and table.is_other:
            return
        # How long the loop means to sleep was settled before all this.
        self._token.run_sync_soon(_nothing, idempotent=True)

    def _attend(self, wait: _Wait, came: int) -> bool:
        """See to a socket that is not its lane's alone; True if that left nothing for its task, which is woken otherwise."""
        if wait.lane == NO_LANE:
            done = outcome.capture(wait.reader.read)
        else:
            done = outcome.capture(wait.reader.attend, came)
        if isinstance(done, outcome.Error):
            wait.raised = done
        elif done.value:
            return True
        self._remove(wait)
        self._token.run_sync_soon(wait.scope.cancel)
        return False

    def _write(self, index: int) -> None:
        """Write a wait into the table."""
        if self._table is not None and index < SOCKETS_MAX:
            wait = self._waits[index]
            self._table.set(index + 1, wait.fd, wait.lane)
            self._table.rows = min(len(self._waits), SOCKETS_MAX) + 1

    def _remove(self, wait: _Wait) -> None:
        """Let the last wait take the place of one that is over."""
        if wait not in self._waits:
            return
        index, last = self._waits.index(wait), self._waits.pop()
        if last is not wait:
            self._waits[index] = last
            self._write(index)
        if self._table is not None:
            self._table.rows = min(len(self._waits), SOCKETS_MAX) + 1

    def _known_table(self) -> IdleTable | None:
        """The table, once it is known what the loop itself waits with: the poll that watches the sockets too."""
        if not self._has_searched:
            self._has_searched = True
            polls = _polls_watching(self._waits[0].fd)
            if len(polls) == 1:  # of two, nobody can say which is the loop's
                self._table = IdleTable(polls[0])
                for index in range(len(self._waits)):
                    self._write(index)
        return self._table


def _polls_watching(fd: int) -> list[int]:
    """The epoll descriptors of this process that watch a descriptor, as proc(5) shows them."""
    found = []
    for entry in Path("/proc/self/fdinfo").iterdir():
        try:
            text = entry.read_text(encoding="ascii")
        except OSError:  # the one that listed them
            continue
        if any(line.split()[:2] == ["tfd:", str(fd)] for line in text.splitlines()):
            found.append(int(entry.name))
    return found


def _nothing() -> None:
    pass
