"""One market connection's life: opened, subscribed, read until it ends or is told to leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio
import trio_websocket

from aegis.actors.tick_sink import TickSink
from aegis.errors import Unavailable
from aegis.kernel.clock import Clock
from aegis.market.records import received_us
from aegis.venue.binance_market import Message, Reply, ServerShutdown
from aegis.venue.binance_streams import market_url, subscribe_frames
from aegis.venue.fastlane import Lane, Role
from aegis.venue.idle_reads import IdleReads
from aegis.venue.pace import Pace
from aegis.venue.shards import Shard
from aegis.venue.websocket import open_socket

__all__ = ["MarketSocket"]

QUEUE: Final = 65_536
"""Frames that may wait for us before the library stops reading, and so stops answering pings."""
_BETWEEN_FRAMES_S: Final = 0.15
"""Of ours: the exchange takes ten a second as they arrive, which may be closer together, and counts pongs as well."""


class MarketSocket:
    """A connection for the streams of one shard.

    Its ticks go into the ring, by the lane or by the sink; everything else that can be told about it is told by its
    attributes.

    Args:
        url: base of the stream routes.
        shard: what to subscribe to.
        lane: for this connection alone until it has ended.
        sink: takes every other frame.
        clock: for the receive stamps.
        idle: shared by the connections of this process.
        notice: called when everything is subscribed to.
    """

    def __init__(
        self,
        url: str,
        shard: Shard,
        lane: Lane,
        sink: TickSink,
        clock: Clock,
        idle: IdleReads,
        notice: Callable[[], None],
    ) -> None:
        self.lane: Final = lane
        self.messages: Final[Counter[str]] = Counter()
        """Of each stream, how many messages did not go through the lane."""
        self.ended: Final = trio.Event()
        self.shutdown_announced: Final = trio.Event()
        self.subscribed_s = self.ended_s = math.inf
        """When both happened, on Trio's clock."""
        self.refused = 0
        """Requests that the exchange said no to."""
        self._url: Final = market_url(url, shard.route)
        self._shard: Final = shard
        self._sink: Final = sink
        self._clock: Final = clock
        self._idle_reads: Final = idle
        self._notice: Final = notice
        self._pace: Final = Pace(1, _BETWEEN_FRAMES_S)
        self._requests = 0
        self._unacknowledged = len(subscribe_frames(shard.streams))
        self._heard_before = lane.heard
        self._idle = trio.CancelScope()
        self._is_leaving = False
        self._talk: tuple[trio_websocket.WebSocketConnection, trio.Nursery] | None = None

    @property
    def is_subscribed(self) -> bool:
        """Whether every request was acknowledged."""
        return self._unacknowledged <= 0

    @property
    def heard(self) -> int:
        """How many events came, by either way."""
        return self.lane.heard - self._heard_before + self.messages.total()

    async def run(
        self,
        role: Role,
        prepare: Callable[[], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Live.

        Args:
            role: of the connection, to begin with.
            prepare: awaited before anything is subscribed to.
            task_status: told once the connection stands.

        Raises:
            Unavailable: it never stood.
        """
        has_stood = False
        try:
            async with open_socket(
                self._url, queue=QUEUE, lane=self.lane, idle=self._idle_reads
            ) as websocket:
                self.lane.role = role
                has_stood = True
                await prepare()
                task_status.started()
                await self._converse(websocket)
        except* Unavailable:
            if not has_stood:
                raise
        finally:
            self.ended_s = trio.current_time()
            self.ended.set()

    def leave(self) -> None:
        """Close the connection in order; `ended` follows within about a second."""
        self._is_leaving = True
        self._idle.cancel()

    def resubscribe(self, streams: tuple[str, ...]) -> None:
        """Ask for streams once more."""
        if self._talk is not None:
            websocket, nursery = self._talk
            nursery.start_soon(self._subscribe, websocket, streams)

    async def _converse(self, websocket: trio_websocket.WebSocketConnection) -> None:
        async with trio.open_nursery() as nursery:
            self._talk = websocket, nursery
            self.resubscribe(self._shard.streams)
            try:
                await self._read(websocket)
            finally:
                self._talk = None
            nursery.cancel_scope.cancel()

    async def _subscribe(
        self, websocket: trio_websocket.WebSocketConnection, streams: tuple[str, ...]
    ) -> None:
        """Ask for streams, at the pace that a connection may."""
        frames = subscribe_frames(streams, self._requests + 1)
        self._requests += len(frames)
        for frame in frames:
            await trio.sleep(self._pace.take(trio.current_time()))
            await websocket.send_message(frame.decode())  # control frames are text

    async def _read(self, websocket: trio_websocket.WebSocketConnection) -> None:
        """Take every frame that the lane has left. Only the wait for one is cancelled, never what is made of it."""
        while True:
            with trio.CancelScope() as self._idle:
                if self._is_leaving:
                    return
                frame = await websocket.get_message()
            if self._idle.cancelled_caught:
                return
            recv_us = received_us(self._clock.monotonic_ns())
            is_newcomer = self.lane.role is Role.NEWCOMER
            said = await self._sink.take(frame, recv_us, is_newcomer=is_newcomer)
            if isinstance(said, Reply):
                self._take_reply(said)
            elif isinstance(said, Message):
                self.messages[said.stream] += 1
                if any(isinstance(event, ServerShutdown) for event in said.events):
                    self.shutdown_announced.set()

    def _take_reply(self, reply: Reply) -> None:
        if not reply.is_acknowledgement:
            self.refused += 1
            return
        self._unacknowledged -= 1
        if self._unacknowledged == 0:
            self.subscribed_s = trio.current_time()
            self._notice()
