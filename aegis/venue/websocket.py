"""One WebSocket connection as a block: opened within its time, closed within its time, no socket left behind.

trio-websocket speaks the protocol. It is given a stream that belongs to us, so that whatever happens to its tasks,
in the middle of a handshake too, the socket is closed with the block.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import trio
import trio_websocket

from aegis.errors import Unavailable

if TYPE_CHECKING:  # compiled code, half a second of it, which a socket without a lane does not need
    from aegis.venue.fastlane import Lane
    from aegis.venue.idle_reads import IdleReads

__all__ = ["open_socket"]

CONNECT_S: Final = 5.0
DISCONNECT_S: Final = 1.0
"""For the closing handshake: a server that went silent would let us wait while ticks are missed."""
RECEIVE_BYTES: Final = 1 << 16
FRAME_BYTES_MAX: Final = 4 << 20


@asynccontextmanager
async def open_socket(
    url: str, *, queue: int, lane: Lane | None = None, idle: IdleReads | None = None
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Connect, and disconnect with the block.

    Args:
        url: `ws://` or `wss://`, with path and query.
        queue: frames that may wait for the reader before the library stops reading, and so stops answering pings.
        lane: takes the ticks out of what is received; the connection then shows all other frames.
        idle: reads the connections that have a lane while the loop is idle.

    Raises:
        Unavailable: it could not be connected, or the connection ended inside the block.
    """
    try:
        async with _connect(url, lane, idle) as stream, trio.open_nursery() as nursery:
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


@asynccontextmanager
async def _connect(
    url: str, lane: Lane | None, idle: IdleReads | None
) -> AsyncIterator[trio.abc.Stream]:
    """A TCP stream to the host of an address, with TLS where the scheme asks for it."""
    parts = urlsplit(url)
    host, is_secret = parts.hostname or "", parts.scheme == "wss"
    with trio.fail_after(CONNECT_S):
        tcp = await trio.open_tcp_stream(host, parts.port or (443 if is_secret else 80))
    async with tcp:
        if lane is None:
            yield (
                trio.SSLStream(
                    tcp,
                    ssl.create_default_context(),
                    server_hostname=host,
                    https_compatible=True,
                )
                if is_secret
                else tcp
            )
            return
        from aegis.venue.fastlane_transport import TcpTransport, TlsTransport  # noqa: PLC0415  # as above
        from aegis.venue.lane_stream import LaneStream  # noqa: PLC0415

        if not is_secret:
            yield LaneStream(TcpTransport(tcp, idle), lane)
            return
        context = ssl.create_default_context()
        transport = TlsTransport(TcpTransport(tcp, idle), context, host)
        with trio.fail_after(CONNECT_S):
            await transport.do_handshake()
        yield LaneStream(transport, lane)
