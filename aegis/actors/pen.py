"""The thread that commits to the journal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final

import attrs
import trio

from aegis.errors import check
from aegis.kernel.cores import beside_the_loop
from aegis.kernel.receipt import Reply
from aegis.store.journal import Entry, Journal

__all__ = ["Page", "Pen", "write_down"]

_GIL_S: Final = 0.0005
"""The longest that the loop keeps the GIL while the thread waits for it; 5 ms, if nobody said anything."""

_found_s: Final[list[float]] = []
"""The interval that was there before, once for each that is at work."""


@attrs.frozen
class Page:
    """Entries that belong together, and who waits for them to be durable."""

    entries: tuple[Entry, ...]
    wall_ns: int
    on_disk: Reply | None = None


class Pen:
    """Commits what it is given, in its order, on a thread of its own.

    A commit takes a flush of the disk. What comes meanwhile makes the next commit, and that begins when the disk is
    free, not when the loop has heard so and sent the next one: where orders come every 0.2 ms, as they do when the
    bars of many symbols close, the way to a thread and back took longer than the disk.

    Args:
        journal: which nobody else writes to until `run` is over.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal: Final = journal
        self._pages: Final[SimpleQueue[Page | None]] = SimpleQueue()
        self._is_ended = False
        self.is_cut_short = False
        """It ends because somebody has cancelled it, and takes nothing more."""
        self._over: Final = trio.Event()

    async def run(self) -> None:
        """Write until the end, or until cancelled; what was given before is written in both cases.

        Raises:
            Broken: the disk did not take it. Nobody is told of that commit, nor of any after it.
        """
        token = trio.lowlevel.current_trio_token()
        try:
            with _taking_turns():
                await self._write_all(token)
        finally:
            self._over.set()

    async def _write_all(self, token: trio.lowlevel.TrioToken) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_cancelled)
            with trio.CancelScope(shield=True):  # whatever was given before
                await trio.to_thread.run_sync(
                    beside_the_loop(self._work), token, limiter=trio.CapacityLimiter(1)
                )
            nursery.cancel_scope.cancel()

    def write(self, page: Page) -> None:
        """Have a page written; whoever waits for it is told when it is durable."""
        check(not self._is_ended, "nothing is written after the end")
        self._pages.put(page)

    async def end(self) -> None:
        """Wait until everything is written; nothing may follow."""
        self._put_end()
        await self._over.wait()

    def _put_end(self) -> None:
        if not self._is_ended:
            self._is_ended = True
            self._pages.put(None)

    async def _end_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.is_cut_short = not self._is_ended
            self._put_end()

    def _work(self, token: trio.lowlevel.TrioToken) -> None:
        """The thread: commit after commit, each of all that is there."""
        is_ended = False
        while not is_ended:
            pages = [self._pages.get()]
            while not self._pages.empty():
                pages.append(self._pages.get())
            is_ended = pages[-1] is None
            given = [page for page in pages if page is not None]
            if given:
                _commit(self._journal, given)
                token.run_sync_soon(_tell, given)


@contextmanager
def _taking_turns() -> Iterator[None]:
    """Let the thread have the GIL soon: it needs it again after each call into SQLite, and an order waits for that.

    It is one figure for the whole process: of several at once the last one puts back what the first has found.
    """
    _found_s.append(_found_s[0] if _found_s else sys.getswitchinterval())
    sys.setswitchinterval(min(_found_s[0], _GIL_S))
    try:
        yield
    finally:
        before_s = _found_s.pop()
        if not _found_s:
            sys.setswitchinterval(before_s)


def write_down(journal: Journal, pages: list[Page]) -> None:
    """Commit pages here and now, and tell whoever is to be told.

    Raises:
        Broken: the disk did not take them.
    """
    _commit(journal, pages)
    _tell(pages)


def _commit(journal: Journal, pages: list[Page]) -> None:
    entries = [entry for page in pages for entry in page.entries]
    before = journal.events
    journal.append(entries, pages[-1].wall_ns)
    check(journal.events == before + len(entries), "every entry that was taken is in the journal")


def _tell(pages: list[Page]) -> None:
    for page in pages:
        if page.on_disk is not None:
            page.on_disk.done(None)
