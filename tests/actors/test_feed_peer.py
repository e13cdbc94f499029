"""The feed against a server that none of us wrote: the one of the `websockets` package."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from aegis.actors.feed_protocol import SocketTerms
from aegis.market.records import TickKind

pytestmark = pytest.mark.processes

SYMBOLS = ("BTCUSDT",)
Order = Callable[[ServerConnection], object]
PATIENT = SocketTerms(silence_ms=60_000, deadlines_ms={})
STREAMS = ("btcusdt@bookTicker", "btcusdt@aggTrade")


def trade(number: int) -> str:
    event = {"e": "aggTrade", "E": 1_700_000_000_000, "a": number, "s": "BTCUSDT", "p": "58665.00"}
    event |= {"q": f"{number}.5", "f": number, "l": number, "T": 1_700_000_000_000, "m": False}
    return json.dumps({"stream": STREAMS[1], "data": event}, separators=(",", ":"))


def quote(number: int) -> str:
    event = {"e": "bookTicker", "u": number, "s": "BTCUSDT", "b": "58665.00", "B": f"{number}"}
    event |= {"a": "58665.10", "A": "2", "T": 1_700_000_000_000, "E": 1_700_000_000_000}
    return json.dumps({"stream": STREAMS[0], "data": event}, separators=(",", ":"))


class Peer:
    """Acknowledges every request, and sends what the test has put in."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.orders: dict[str, queue.Queue[Order | None]] = {
            route: queue.Queue() for route in ("public", "market")
        }

    def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        orders = self.orders[connection.request.path.split("/")[1]]
        with suppress(ConnectionClosed):
            request = json.loads(connection.recv())
            self.heard.append(request)
            connection.send(json.dumps({"result": None, "id": request["id"]}))
            while connection.close_code is None and (order := orders.get()) is not None:
                order(connection)

    def do(self, route: str, *orders: Order) -> None:
        for order in orders:
            self.orders[route].put(order)


@contextmanager
def peer() -> Iterator[tuple[Peer, str]]:
    """The server in threads of its own."""
    served = Peer()
    with serve(served.serve, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield served, f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            for orders in served.orders.values():
                for _ in range(8):
                    orders.put(None)
            server.shutdown()
            thread.join()


def trades(watch: Any) -> list[float]:
    watch.take()
    return [tick[-1] for tick in watch.written if tick[2] == TickKind.TRADE]


async def test_feed_speaks_with_a_server_of_others(watching: Any) -> None:
    """Handshake, requests, plain and fragmented messages, pings and the close are understood by both sides."""
    with peer() as (served, url):
        async with watching(url, SYMBOLS, STREAMS, PATIENT) as watch:
            await watch.until(lambda status: status.subscribed)
            text = trade(3)
            pongs: list[bool] = []
            served.do("public", lambda connection: connection.send(quote(1)))
            served.do(
                "market",
                lambda connection: connection.send(trade(1)),
                lambda connection: connection.send([trade(2)[:50], trade(2)[50:]]),
                lambda connection: pongs.append(connection.ping(b"there?").wait(10)),
                lambda connection: connection.send([text[:9], text[9:80], text[80:]]),
                lambda connection: connection.send(trade(4)),
            )
            await watch.until(lambda status: status.ticks == 5)
            assert sorted(trades(watch)) == [1.5, 2.5, 3.5, 4.5]
            assert pongs == [True]
            assert sorted(name for request in served.heard for name in request["params"]) == sorted(
                STREAMS
            )


async def test_feed_comes_back_to_a_server_of_others(watching: Any) -> None:
    """After its going away the feed connects again, says that something is missing, and takes nothing twice."""
    with peer() as (served, url):
        async with watching(url, SYMBOLS, STREAMS, PATIENT) as watch:
            await watch.until(lambda status: status.subscribed)
            served.do("public", lambda connection: connection.send(quote(1)))
            served.do(
                "market",
                lambda connection: connection.send(trade(1)),
                lambda connection: connection.send(trade(2)),
                lambda connection: connection.close(1001, "going away"),
                lambda connection: connection.send(trade(9)),
                lambda connection: connection.send(trade(2)),
                lambda connection: connection.send(trade(10)),
            )
            await watch.until(lambda status: status.duplicates == 1)
            await watch.until(lambda status: status.ticks >= 5)
            assert trades(watch) == [1.5, 2.5, 9.5, 10.5]
            kinds = [tick[2] for tick in watch.written if tick[2] != TickKind.QUOTE]
            assert kinds == [TickKind.TRADE] * 2 + [TickKind.GAP] + [TickKind.TRADE] * 2
