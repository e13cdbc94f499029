"""Misbehaviour that a test can ask of the running venue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum, auto

import attrs
import msgspec
import trio

from aegis.sim.connection import Connection
from aegis.sim.http1 import HttpReply
from aegis.sim.hub import Hub
from aegis.sim.misbehaviour import Manner
from aegis.sim.routes import Route

__all__ = ["Faults", "OrderFault", "OrderFaultKind", "spoilt"]


class OrderFaultKind(Enum):
    """How the reply to an order that was executed is spoilt."""

    TIMEOUT_1007 = auto()  # status 408: executed, and the client is told that nobody knows
    UNKNOWN_503 = auto()  # status 503 with the message that means the same
    DROP_CONNECTION = auto()  # executed, and the connection ends without a reply
    DELAY = auto()  # executed, and the reply comes late


@attrs.frozen
class OrderFault:
    """One spoilt reply."""

    kind: OrderFaultKind
    delay_s: float = 0.0


@attrs.define
class Faults:
    """What to do wrong. Everything takes effect at once and can be called from any task of the venue's Trio run."""

    _connections_of: Callable[[Route], Iterable[Connection]]
    _expire_listen_key: Callable[[], None]
    _hub: Hub
    _orders: deque[OrderFault] = attrs.field(factory=deque)

    def spoil_next_order(self, kind: OrderFaultKind, *, delay_s: float = 0.0) -> None:
        """Execute the next `POST /fapi/v1/order` that is accepted and spoil its reply; calls queue up."""
        self._orders.append(OrderFault(kind, delay_s))

    def take_order_fault(self) -> OrderFault | None:
        """Return the fault that the present order is to suffer."""
        return self._orders.popleft() if self._orders else None

    def silence(self, stream: str) -> None:
        """Publish nothing more on a stream such as `btcusdt@aggTrade`; its sockets stay open."""
        self._hub.silent.add(stream)

    def speak(self, stream: str) -> None:
        """End a silence."""
        self._hub.silent.discard(stream)

    def lose_next(self, stream: str) -> None:
        """Lose the next frame of a stream such as `btcusdt@depth@100ms` on its way to all who hear it."""
        self._hub.losing.add(stream)

    def drop_connections(self, route: Route) -> None:
        """End every WebSocket connection of a route without a closing handshake."""
        for connection in self._connections_of(route):
            connection.drop()

    def send_away(self, route: Route, why: str) -> None:
        """Close every WebSocket connection of a route in order, as after a ping that was not answered in time."""
        for connection in self._connections_of(route):
            connection.send_away(why)

    def misbehave(self, route: Route, manner: Manner) -> None:
        """Treat those who are connected to a route now in this manner; who comes later is treated well."""
        for connection in self._connections_of(route):
            connection.behave(manner)

    def inject(self, route: Route, data: bytes) -> None:
        """Send these bytes, whatever they are, between two frames of every connection of a route."""
        for connection in self._connections_of(route):
            connection.send(data)

    def flood(self, stream: str, payload: bytes, count: int) -> None:
        """Publish a payload many times at once."""
        for _ in range(count):
            self._hub.publish(stream, payload)

    def deafen(self, stream: str) -> None:
        """Acknowledge subscriptions to a stream, and publish nothing to those who made them."""
        self._hub.deaf.add(stream)

    def listen(self, stream: str) -> None:
        """End the deafness for those who subscribe from now on."""
        self._hub.deaf.discard(stream)

    def expire_listen_key(self) -> None:
        """Expire the listen key: its stream is told so and then stays silent, with the socket open."""
        self._expire_listen_key()


async def spoilt(reply: HttpReply, fault: OrderFault) -> HttpReply | None:
    """Return what the client gets instead of the reply to an executed order; None cuts the connection."""
    if fault.kind is OrderFaultKind.DELAY:
        await trio.sleep(fault.delay_s)
        return reply
    if fault.kind is OrderFaultKind.TIMEOUT_1007:
        return _error(
            408,
            -1007,
            "Timeout waiting for response from backend server."
            " Send status unknown; execution status unknown.",
        )
    if fault.kind is OrderFaultKind.UNKNOWN_503:
        return _error(503, -1000, "Unknown error, please check your request or try again later.")
    return None


def _error(status: int, code: int, text: str) -> HttpReply:
    return HttpReply(status, msgspec.json.encode({"code": code, "msg": text}))
