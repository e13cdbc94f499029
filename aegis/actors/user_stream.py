"""The user stream: what happened to our orders, as the exchange tells it on `/private`.

Connect, read, and connect again. Whatever passed while nobody listened has to be asked for, so every connection
begins with a `StreamBack`. An expired listen key leaves the socket open and silent: the event that says so ends
the connection here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio
import trio_websocket

from aegis.errors import Refused, Unavailable
from aegis.messages import StreamBack, Updated
from aegis.venue import binance_user
from aegis.venue.backoff import Backoff
from aegis.venue.binance_streams import private_url
from aegis.venue.port import OrderUpdate
from aegis.venue.websocket import open_socket

__all__ = ["listen_to_account"]

KEEPALIVE_S: Final = 1800.0
PROBE_S: Final = 30.0
PROBE_TIMEOUT_S: Final = 5.0
QUEUE: Final = 4096
"""Events that may wait for us before the library stops answering pings."""

_log = structlog.get_logger(__name__)


async def listen_to_account(
    base_url: str,
    open_listen_key: Callable[[], Awaitable[str]],
    backoff: Backoff,
    hear: Callable[[object], None],
) -> None:
    """Hand every event of the account to `hear`, for ever.

    Args:
        base_url: of the streams, without a route.
        open_listen_key: gives the key of the stream, and extends it when asked again.
        backoff: how long to wait between attempts.
        hear: takes `StreamBack` at each connection and `Updated` for each order event.
    """
    while True:
        try:
            key = await open_listen_key()
            async with open_socket(private_url(base_url, key), queue=QUEUE) as socket:
                hear(StreamBack())
                await _read(socket, key, open_listen_key, backoff, hear)
        except* (Unavailable, Refused) as group:
            _log.warning("user_stream_lost", why=str(group.exceptions[0]))
        await trio.sleep(backoff.next_s())


async def _read(
    socket: trio_websocket.WebSocketConnection,
    key: str,
    open_listen_key: Callable[[], Awaitable[str]],
    backoff: Backoff,
    hear: Callable[[object], None],
) -> None:
    """Read until the key expires or the connection ends."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_alive, key, open_listen_key, nursery.cancel_scope)
        nursery.start_soon(_probe, socket, backoff, nursery.cancel_scope)
        while await _take(socket, hear):
            pass
        nursery.cancel_scope.cancel()


async def _take(socket: trio_websocket.WebSocketConnection, hear: Callable[[object], None]) -> bool:
    """Read one frame; False once the key has expired."""
    frame = await socket.get_message()
    try:
        event = binance_user.decode_user(frame)
    except Refused as why:
        # A fill that cannot be read is still found: every order is asked for that stays open too long.
        _log.error("user_event_unreadable", why=str(why))
        return True
    if isinstance(event, OrderUpdate):
        hear(Updated(event))
    return not isinstance(event, binance_user.ListenKeyExpired)


async def _keep_alive(
    key: str, open_listen_key: Callable[[], Awaitable[str]], reading: trio.CancelScope
) -> None:
    """Extend the key twice an hour; where that fails, or gives another key, the connection is over."""
    while True:
        await trio.sleep(KEEPALIVE_S)
        try:
            if await open_listen_key() != key:
                reading.cancel()
        except (Unavailable, Refused):
            reading.cancel()


async def _probe(
    socket: trio_websocket.WebSocketConnection, backoff: Backoff, reading: trio.CancelScope
) -> None:
    """An account may be quiet for hours, so silence says nothing: a ping that is not answered does."""
    while True:
        await trio.sleep(PROBE_S)
        with trio.move_on_after(PROBE_TIMEOUT_S) as waiting:
            await socket.ping()
            backoff.succeeded()  # not at the handshake: a server may accept only to close
        if waiting.cancelled_caught:
            reading.cancel()
