"""One WebSocket connection as a block: opened within its time, closed within its time, no socket left behind.

trio-websocket speaks the protocol. It is given a stream that belongs to us, so that whatever happens to its tasks,
in the middle of a handshake too, the socket is closed with the block.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import trio
import trio_websocket

from aegis.errors import Unavailable

__all__ = ["open_socket"]

CONNECT_S: Final = 5.0
DISCONNECT_S: Final = 1.0
"""For the closing handshake: a server that went silent would let us wait while ticks are missed."""
RECEIVE_BYTES: Final = 1 << 16
FRAME_BYTES_MAX: Final = 4 << 20


@asynccontextmanager
async def open_socket(url: str, *, queue: int) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Connect, and disconnect with the block.

    Args:
        url: `ws://` or `wss://`, with path and query.
        queue: frames that may wait for the reader before the library stops reading, and so stops answering pings.

    Raises:
        Unavailable: it could not be connected, or the connection ended inside the block.
    """
    try:
        async with await _connect(url) as stream, trio.open_nursery() as nursery:
            parts = urlsplit(url)
            with trio.fail_after(CONNECT_S):
                socket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    parts.netloc,
                    parts._replace(scheme="", netloc="").geturl(),
                    message_queue_size=queue,
                    max_message_size=FRAME_BYTES_MAX,
                    receive_buffer_size=RECEIVE_BYTES,
                )
            yield socket
            with trio.move_on_after(DISCONNECT_S):
                await socket.aclose()
            nursery.cancel_scope.cancel()
    except* (
        trio_websocket.HandshakeError,
        trio_websocket.ConnectionClosed,
        trio.BrokenResourceError,
        trio.TooSlowError,
        OSError,
    ) as group:
        place = urlsplit(url)
        raise Unavailable(f"{place.scheme}://{place.netloc}: {group.exceptions[0]!r}") from None


async def _connect(url: str) -> trio.abc.Stream:
    """A TCP stream to the host of an address, with TLS where the scheme asks for it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with trio.fail_after(CONNECT_S):
        if parts.scheme == "wss":
            return await trio.open_ssl_over_tcp_stream(
                host,
                parts.port or 443,
                https_compatible=True,
                ssl_context=ssl.create_default_context(),
            )
        return await trio.open_tcp_stream(host, parts.port or 80)
