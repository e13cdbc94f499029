"""The Feed: the one who keeps the worker process alive."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import attrs
import msgspec
import structlog

from aegis.actors.feed_protocol import (
    LINE_BYTES_MAX,
    BookFigures,
    ShardStatus,
    WorkerOrders,
    WorkerStatus,
    decode_status,
    encode_line,
)
from aegis.errors import Unavailable
from aegis.kernel import Actor, Level, Priority, on
from aegis.kernel.process import Child
from aegis.messages import Report, WorkerLine

__all__ = ["Feed", "FeedRecord", "FeedReport", "start_worker"]

STOP_GRACE_S: Final = 1.0
_SUMMED: Final = (
    "ticks",
    "dropped",
    "malformed",
    "future",
    "outliers",
    "strangers",
    "duplicates",
    "late",
    "holes",
    "gaps",
    "connects",
)
"""The figures that are added up over all workers of the run."""

_log = structlog.get_logger(__name__)


def start_worker(pass_fds: Iterable[int]) -> Child:
    """Start a worker process; it waits for its orders. Call it in the thread of the loop."""
    return Child(
        [sys.executable, "-m", "aegis.actors.feed_process"],
        pass_fds=pass_fds,
        line_length_max=LINE_BYTES_MAX,
    )


@attrs.define
class FeedRecord:
    """What outlives an incarnation of the Feed: the workers so far, and what the dead ones had done."""

    spare: Child | None = None
    """A worker that was started ahead, while the rest was still loading: the first one to be used."""
    pids: list[int] = attrs.Factory(list)
    earlier: list[WorkerStatus] = attrs.Factory(list)
    """The last word of each worker that is gone."""


@attrs.frozen
class FeedReport:
    """The worker's figures, over all workers of the run."""

    worker_pid: int = 0
    restarts: int = 0
    ticks: int = 0
    dropped: int = 0
    malformed: int = 0
    future: int = 0
    outliers: int = 0
    strangers: int = 0
    duplicates: int = 0
    late: int = 0
    holes: int = 0
    gaps: int = 0
    connects: int = 0
    subscribed: bool = False
    quarantine: tuple[str, ...] = ()
    shards: tuple[ShardStatus, ...] = ()
    """Of the worker that lives."""
    books: BookFigures = attrs.Factory(BookFigures)
    """Of the worker that lives."""


class Feed(Actor):
    """Starts the worker process, tells it what to subscribe to, and watches it.

    Receives: the worker's lines.
    Sends: nothing; the worker's ticks go straight into the ring.
    Owns: the worker process.
    When it dies: the worker goes with it, and both are started again; each symbol's ticks then begin with a GAP.
    """

    mailbox: ClassVar[Mapping[Priority, Level]] = {
        Priority.INGEST: Level.latest(key=type),  # a newer status replaces an older one
        Priority.BACKGROUND: Level.block(64),
    }

    def __init__(self, orders: WorkerOrders, record: FeedRecord) -> None:
        self._orders = orders
        self._record = record
        self._child: Child | None = None
        self._status: WorkerStatus | None = None

    async def started(self) -> None:
        """Start the worker."""
        orders = msgspec.structs.replace(self._orders, broken_before=bool(self._record.pids))
        spare, self._record.spare = self._record.spare, None
        self._child = child = spare or start_worker(orders.pass_fds)
        self._record.pids.append(child.pid)
        _log.info("worker_started", pid=child.pid)
        await child.send_line(encode_line(orders))
        self.ctx.start_soon(self._read, child)
        self.ctx.start_soon(self._watch, child)

    async def stopping(self, reason: object) -> None:
        """End the worker: first by closing its input, then by signals."""
        if self._child is not None:
            await self._child.stop(STOP_GRACE_S)
        if self._status is not None:
            self._record.earlier.append(self._status)

    async def _read(self, child: Child) -> None:
        async for line in child.lines:
            self.ctx.ref.tell(WorkerLine(line))

    async def _watch(self, child: Child) -> None:
        code = await child.wait()
        raise Unavailable(f"the feed worker {child.pid} ended with code {code}")

    @on(WorkerLine)
    async def take_status(self, said: WorkerLine) -> None:
        """Keep the worker's latest figures."""
        self._status = decode_status(said.line)

    @on(Report)
    async def report(self, _: Report) -> FeedReport:
        """The figures over all workers of the run."""
        now = [] if self._status is None else [self._status]
        every = [*self._record.earlier, *now]
        return FeedReport(
            worker_pid=self._child.pid if self._child is not None else 0,
            restarts=len(self._record.pids) - 1,
            **{name: sum(getattr(status, name) for status in every) for name in _SUMMED},
            subscribed=self._status is not None and self._status.subscribed,
            quarantine=now[0].quarantine if now else (),
            shards=now[0].shards if now else (),
            books=now[0].books if now else BookFigures(),
        )
