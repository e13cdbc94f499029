"""One WebSocket connection of a client: its subscriptions, its outbox, its three tasks (protocol §2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import attrs
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from aegis.sim.control import answer
from aegis.sim.frames import text_frame
from aegis.sim.hub import Hub
from aegis.sim.misbehaviour import Manner
from aegis.sim.outbox import Outbox
from aegis.sim.routes import Route, Target
from aegis.sim.shared_stream import SharedStream

__all__ = ["Connection", "SocketTerms"]

_MESSAGES_A_SECOND = 10
_LAST_WORDS_S = 5.0  # how long a closing handshake may take
_POLICY_VIOLATION = 1008


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
        self._farewell: str | None = None  # why the client is sent away
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
        """Queue a frame; a client too slow for its outbox is cut off."""
        if not self._outbox.put(frame):
            self._leave("Slow consumer")

    async def drained(self, size: int) -> None:
        """Wait until no more than so many bytes are queued, or the connection is going."""
        await self._outbox.at_most(size)

    def drop(self) -> None:
        """End the connection at once, without a closing handshake."""
        self._scope.cancel()

    def send_away(self, why: str) -> None:
        """Close the connection in order, with a reason."""
        self._leave(why)

    def behave(self, manner: Manner) -> None:
        """Treat the client in this manner from now on."""
        self._stream.manner = manner

    async def serve(self) -> None:
        """Serve until the client goes, is sent away, or 24 hours are over."""
        self._scope.deadline = trio.current_time() + self._terms.lifetime_s
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    nursery.start_soon(self._ping)
        finally:
            self._outbox.close()
            self.unsubscribe(self.streams)

    async def _read(self) -> None:
        """Carry out control frames, at most ten a second."""
        arrivals: deque[float] = deque(maxlen=_MESSAGES_A_SECOND)
        while self._farewell is None:
            try:
                message = await self._websocket.get_message()
            except ConnectionClosed:
                self._scope.cancel()
                return
            now = trio.current_time()
            if len(arrivals) == _MESSAGES_A_SECOND and now - arrivals[0] < 1.0:
                self._leave("Too many requests")
                return
            arrivals.append(now)
            reply, last = answer(message, self)
            self.send(text_frame(reply))
            if last:
                self._leave("Invalid request")

    async def _write(self) -> None:
        """Send what waits, all of it in one piece; at the end say why the connection is closed."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await self._outbox.take():
                await self._stream.send_all(data)
            await self._websocket.aclose(_POLICY_VIOLATION, self._farewell)
        self._scope.cancel()

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
                self._leave("Pong timeout")
                return

    def _leave(self, why: str) -> None:
        """Close after what waits now, and soon: a client that does not listen is cut off without a word."""
        self._farewell = self._farewell or why
        self._outbox.close()
        deadline = trio.current_time() + _LAST_WORDS_S
        self._scope.deadline = min(self._scope.deadline, deadline)
