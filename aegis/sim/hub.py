"""Who hears what: the connections by stream, and the sending to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import msgspec
import trio

from aegis.sim.frames import combined, text_frame
from aegis.sim.routes import Route, route_of

__all__ = ["Hub", "Spoken", "Subscriber"]


class Subscriber(Protocol):
    """A connection as the hub sees it."""

    route: Route
    combined: bool
    events: frozenset[str] | None

    def send(self, frame: bytes) -> None:
        """Queue a finished WebSocket frame."""

    async def drained(self, size: int) -> None:
        """Wait until no more than so many bytes are queued, or the connection is gone."""


class Spoken(NamedTuple):
    """A finished frame of a stream, in both of its forms."""

    name: str
    combined: bytes
    alone: bytes


class Hub:
    """The subscriptions of all connections.

    A name on the wrong route is remembered nowhere: the client was acknowledged, and hears nothing.
    """

    def __init__(self) -> None:
        self._subscribers: dict[str, dict[Subscriber, None]] = {}
        self._changed = trio.Event()
        self.silent: set[str] = set()
        self.losing: set[str] = set()
        """Streams whose next frame is lost on its way."""
        self.deaf: set[str] = set()
        """Streams that cannot be subscribed to, though it is acknowledged."""

    def subscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Let a connection hear streams, or on the private route a listen key."""
        for name in names:
            if name in self.deaf:
                continue
            is_market = "@" in name or name.startswith("!")
            speaks = route_of(name) if is_market else Route.PRIVATE  # a listen key
            if speaks is subscriber.route:
                self._subscribers.setdefault(name, {})[subscriber] = None
        self._changed.set()

    def unsubscribe(self, subscriber: Subscriber, names: Iterable[str]) -> None:
        """Let a connection hear streams no more."""
        for name in names:
            others = self._subscribers.get(name, {})
            others.pop(subscriber, None)
            if not others:
                self._subscribers.pop(name, None)

    def heard(self, name: str) -> bool:
        """Return whether anybody hears a stream."""
        return name in self._subscribers

    async def until_heard(self, names: Iterable[str]) -> None:
        """Wait until each of these streams has a subscriber."""
        names = list(names)
        while not all(map(self.heard, names)):
            self._changed = trio.Event()
            await self._changed.wait()

    def publish(self, name: str, payload: bytes) -> None:
        """Send a payload to everyone who hears a stream, in the form that each asked for."""
        for each in self._hearers(name):
            each.send(text_frame(combined(name, payload) if each.combined else payload))

    def publish_together(self, frames: Iterable[Spoken], filled: Callable[[bytes], bytes]) -> None:
        """Send many frames at once: to each connection those that it hears, in one piece.

        Args:
            frames: in order.
            filled: gives a piece what its frames leave open.
        """
        pieces: dict[Subscriber, list[bytes]] = {}
        for name, combined_frame, alone in frames:
            if name not in self.silent:
                for each in self._subscribers.get(name, ()):
                    frame = combined_frame if each.combined else alone
                    pieces.setdefault(each, []).append(frame)
        for subscriber, piece in pieces.items():
            subscriber.send(filled(b"".join(piece)))

    def publish_recorded(self, name: str, frame: bytes, payload: msgspec.Raw) -> None:
        """Send a recorded combined frame as it was recorded; its payload alone to those who asked for that."""
        for each in self._hearers(name):
            each.send(text_frame(frame if each.combined else bytes(payload)))

    def _hearers(self, name: str) -> Iterable[Subscriber]:
        """Everyone who is to get a stream's next frame."""
        hearers = self._subscribers.get(name, ())
        if name in self.silent:
            return ()
        if hearers and name in self.losing:
            self.losing.discard(name)
            return ()
        return hearers

    def tell(self, listen_key: str, event: str, payload: bytes) -> None:
        """Send a user-data event to those who hear the listen key and want that event; its end concerns all."""
        for each in self._subscribers.get(listen_key, ()):
            if each.events is None or event in each.events or event == "listenKeyExpired":
                each.send(text_frame(combined(listen_key, payload) if each.combined else payload))

    async def drained(self, size: int) -> None:
        """Wait until no connection has more than so many bytes queued."""
        for each in {each: None for some in self._subscribers.values() for each in some}:
            await each.drained(size)
