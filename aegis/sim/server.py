"""The running venue: one port for REST and streams, the market that drives it, and the clock's work."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count
from typing import Protocol

import trio
from trio_websocket import ConnectionClosed, wrap_server_stream

from aegis.errors import Refused
from aegis.kernel.clock import seeded_random
from aegis.sim import user_events
from aegis.sim.catalogue import contract
from aegis.sim.connection import Connection
from aegis.sim.credentials import Credentials
from aegis.sim.endpoint import Desk
from aegis.sim.exchange import Exchange
from aegis.sim.faults import Faults, spoilt
from aegis.sim.funding import next_funding_ms
from aegis.sim.http1 import HttpReply, HttpRequest, serve_http
from aegis.sim.hub import Hub
from aegis.sim.listen_keys import ListenKeys
from aegis.sim.load import Load
from aegis.sim.options import ExchangeOptions
from aegis.sim.order import Trade
from aegis.sim.recording import Recording, survey
from aegis.sim.replay import Replay
from aegis.sim.request_limits import RequestLimits
from aegis.sim.rest import Rest
from aegis.sim.routes import Route, read_target
from aegis.sim.shared_stream import SharedStream
from aegis.sim.synthetic import Synthetic
from aegis.sim.tape import mark_price

__all__ = ["Server", "serve_exchange"]

WallMs = Callable[[], int]
_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_HEAD_BYTES = 16 * 1024
_HANDSHAKE_S = 10.0
_HOUSEKEEPING_S = 0.01  # how often the venue looks at its countdowns (§11.7)


class _Market(Protocol):
    """What drives the venue: a synthetic market, an even one, or a replay."""

    async def run(self, wall_ms: WallMs) -> None:
        """Make quotes and trades happen."""

    def printed(self, trade: Trade) -> None:
        """Take a fill of an own order."""


class Server:
    """One venue on one port. Tests read `exchange`, and spoil things by `faults`."""

    def __init__(self, options: ExchangeOptions, wall_ms: WallMs) -> None:
        """Build the venue; nothing listens yet.

        Raises:
            Refused: for a recording or a symbol name that cannot be used.
        """
        self.options = options
        self.hub = Hub()
        self.listen_keys = ListenKeys(seeded_random(f"listen keys {options.seed}"))
        self.faults = Faults(self._connections_of, self._expire_listen_key, self.hub)
        self._wall_ms = wall_ms
        self._connections: set[Connection] = set()
        self.broken_connections = 0
        recordings = [Recording(each) for each in options.recordings]
        found = survey(recordings)
        contracts = found.contracts if recordings else [contract(each) for each in options.symbols]
        self.exchange = Exchange(contracts, options.starting_balance, self)
        self.replay: Replay | None = None
        self._market: _Market
        if recordings:
            self._market = self.replay = Replay(
                recordings, found.driving, self.exchange, self.hub, options.speed
            )
        elif options.load:
            self._market = Load(self.exchange, self.hub, options.seed, options.load)
            self._market.open(wall_ms())
        else:
            self._market = Synthetic(self.exchange, self.hub, options.seed, options.rate)
            self._market.open(wall_ms())
        self._rest = Rest(
            Desk(self.exchange, self.listen_keys),
            Credentials(options.api_key, options.api_secret),
            RequestLimits(options.weight_a_minute),
        )
        self.port = options.port

    @property
    def rest_url(self) -> str:
        """The base of REST paths."""
        return f"http://{self.options.host}:{self.port}"

    @property
    def streams_url(self) -> str:
        """The base of stream routes."""
        return f"ws://{self.options.host}:{self.port}"

    async def run(self, *, task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled.

        Raises:
            Refused: when the address cannot be listened on.
        """
        listeners = await self._listen()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._market.run, self._wall_ms)
            nursery.start_soon(self._keep_house)
            nursery.start_soon(self._publish_marks)
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            task_status.started(self)

    # What the exchange tells

    def told(self, event: str, payload: bytes) -> None:
        """Send a user-data event to the stream of the active listen key."""
        if self.listen_keys.active is not None:
            self.hub.tell(self.listen_keys.active, event, payload)

    def printed(self, trade: Trade) -> None:
        """Show a fill to the public, if the market is one that it can be part of."""
        self._market.printed(trade)

    # Connections

    async def _listen(self) -> list[trio.SocketListener]:
        host, port = self.options.host, self.options.port
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except OSError as error:
            raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self.port = listeners[0].socket.getsockname()[1]
        return listeners

    async def _serve(self, socket: trio.SocketStream) -> None:
        """Serve one connection: a WebSocket if its first request asks for one, else REST."""
        stream = SharedStream(socket)
        try:
            if _UPGRADE.search(await stream.read_head(_HEAD_BYTES)):
                await self._serve_websocket(stream)
            else:
                await serve_http(stream, self._respond)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            self.broken_connections += 1  # the client went away in the middle of something
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_websocket(self, stream: SharedStream) -> None:
        async with trio.open_nursery() as nursery:
            connection = None
            with trio.move_on_after(_HANDSHAKE_S):
                connection = await self._shake_hands(nursery, stream)
            if connection is not None:
                self._connections.add(connection)
                try:
                    await connection.serve()
                finally:
                    self._connections.discard(connection)
            nursery.cancel_scope.cancel()

    async def _shake_hands(self, nursery: trio.Nursery, stream: SharedStream) -> Connection | None:
        """Accept a WebSocket on a path that the venue serves; answer 404 on any other."""
        request = await wrap_server_stream(nursery, stream)
        target = read_target(request.path)
        if target is None:
            await request.reject(404)
            return None
        websocket = await request.accept()
        return Connection(websocket, stream, target, self.hub, self.options.sockets)

    async def _respond(self, request: HttpRequest) -> HttpReply | None:
        reply = self._rest.answer(request, self._wall_ms())
        places = (request.method, request.path) == ("POST", "/fapi/v1/order")
        fault = self.faults.take_order_fault() if places and reply.status == 200 else None
        return reply if fault is None else await spoilt(reply, fault)

    # The clock's work

    async def _keep_house(self) -> None:
        """Look every 10 ms at what has come due."""
        while True:
            await trio.sleep(_HOUSEKEEPING_S)
            now_ms = self._wall_ms()
            self.exchange.tick(now_ms)
            if self.replay is None:  # whose market is of another time
                self.exchange.fund(now_ms)
            self._tell_expired(self.listen_keys.expire(now_ms))

    async def _publish_marks(self) -> None:
        """Publish every mark price each second, and each third time on the slower stream too."""
        for seconds in count():
            now_ms = self._wall_ms()
            for symbol, listing in self.exchange.listings.items():
                payload = mark_price(symbol, listing.mark, next_funding_ms(now_ms), now_ms)
                self.hub.publish(f"{symbol.lower()}@markPrice@1s", payload)
                if seconds % 3 == 0:
                    self.hub.publish(f"{symbol.lower()}@markPrice", payload)
            await trio.sleep(1.0)

    # Faults

    def _connections_of(self, route: Route) -> list[Connection]:
        return [connection for connection in self._connections if connection.route is route]

    def _expire_listen_key(self) -> None:
        self._tell_expired(self.listen_keys.expire_now())

    def _tell_expired(self, key: str | None) -> None:
        if key is not None:
            event = user_events.listen_key_expired(key, self._wall_ms())
            self.hub.tell(key, "listenKeyExpired", event)


async def serve_exchange(
    options: ExchangeOptions,
    *,
    wall_ms: WallMs,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a venue until cancelled; `await nursery.start(...)` returns its `Server` once it listens.

    Raises:
        Refused: for options that cannot be served: a recording, a symbol name, an address.
    """
    await Server(options, wall_ms).run(task_status=task_status)
