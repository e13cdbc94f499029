"""One WebSocket connection of a client: its subscriptions, its outbox, its three tasks (protocol §2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from aegis.sim.control import answer
from aegis.sim.frames import text_frame
from aegis.sim.hub import Hub
from aegis.sim.outbox import Outbox
from aegis.sim.routes import Route, Target
from aegis.sim.shared_stream import SharedStream

__all__ = ["Connection", "SocketTerms"]

_MESSAGES_A_SECOND = 10
_LAST_WORDS_S = 5.0  # how long a closing handshake may take
_POLICY_VIOLATION = 1008
_GOING_AWAY = 1001


@attrs.frozen
class SocketTerms:
    """How long connections live and how much may wait for them."""

    ping_every_s: float = 180.0
    pong_within_s: float = 600.0
    lifetime_s: float = 86_400.0
    outbox_bytes: int = 16 * 1024 * 1024


class Connection:
    """Serves one accepted WebSocket.

    The library answers pings and does the closing handshake. Data frames are written past it, all that wait in one
    piece, which is what makes a burst cheap.
    """

    def __init__(
        self,
        websocket: WebSocketConnection,
        stream: SharedStream,
        target: Target,
        hub: Hub,
        terms: SocketTerms,
    ) -> None:
        self.route = target.route
        self.combined = target.combined
        self.events = target.events
        self._websocket = websocket
        self._stream = stream
        self._hub = hub
        self._terms = terms
        self._names: dict[str, None] = {}
        # User-data events are never dropped: a client that does not read them falls to the ping rule.
        limit = None if target.route is Route.PRIVATE else terms.outbox_bytes
        self._outbox = Outbox(limit)
        self._scope = trio.CancelScope()
        self.subscribe(target.streams)

    @property
    def streams(self) -> list[str]:
        """The names subscribed to."""
        return list(self._names)

    def subscribe(self, names: Iterable[str]) -> None:
        """Add streams."""
        names = list(names)
        self._names |= dict.fromkeys(names)
        self._hub.subscribe(self, names)

    def unsubscribe(self, names: Iterable[str]) -> None:
        """Remove streams."""
        for name in names:
            self._names.pop(name, None)
            self._hub.unsubscribe(self, [name])

    def send(self, frame: bytes) -> None:
        """Queue a frame; a client too slow for its outbox gets a little time to hear why it is cut off."""
        if not self._outbox.put(frame):
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + _LAST_WORDS_S)

    async def drained(self, size: int) -> None:
        """Wait until no more than so many bytes are queued."""
        await self._outbox.at_most(size)

    def drop(self) -> None:
        """End the connection at once, without a closing handshake."""
        self._scope.cancel()

    async def serve(self) -> None:
        """Serve until the client goes, is sent away, or 24 hours are over."""
        self._scope.deadline = trio.current_time() + self._terms.lifetime_s
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._ping)
                await self._read()
                nursery.cancel_scope.cancel()
        self._outbox.close()
        self.unsubscribe(self.streams)

    async def _read(self) -> None:
        """Carry out control frames, at most ten a second."""
        arrivals: deque[float] = deque(maxlen=_MESSAGES_A_SECOND)
        while True:
            try:
                message = await self._websocket.get_message()
            except ConnectionClosed:
                return None
            now = trio.current_time()
            if len(arrivals) == _MESSAGES_A_SECOND and now - arrivals[0] < 1.0:
                return await self._close(_POLICY_VIOLATION, "Too many requests")
            arrivals.append(now)
            reply, last = answer(message, self)
            self.send(text_frame(reply))
            if last:
                await self._outbox.at_most(0)
                return await self._close(_POLICY_VIOLATION, "Invalid request")

    async def _write(self) -> None:
        while data := await self._outbox.take():
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
        await self._close(_POLICY_VIOLATION, "Slow consumer")

    async def _ping(self) -> None:
        """Ask for a sign of life; without one for ten minutes the connection ends."""
        while True:
            await trio.sleep(self._terms.ping_every_s)
            with trio.move_on_after(self._terms.pong_within_s) as patience:
                try:
                    await self._websocket.ping(b"%d" % int(trio.current_time() * 1000))
                except ConnectionClosed:
                    return
            if patience.cancelled_caught:
                await self._close(_POLICY_VIOLATION, "Pong timeout")

    async def _close(self, code: int, reason: str) -> None:
        with trio.move_on_after(_LAST_WORDS_S):
            await self._websocket.aclose(code, reason)
        self._scope.cancel()
