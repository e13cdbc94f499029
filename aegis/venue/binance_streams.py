"""Which stream travels on which route, and the frames that ask for it (protocol §1-3).

A subscription on the wrong route is acknowledged and then silent for ever, so a stream's route is looked up, never
guessed, and a stream without one is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

import msgspec

from aegis.errors import Refused

__all__ = ["Route", "by_route", "market_url", "private_url", "subscribe_frames", "tick_streams"]

STREAMS_PER_SOCKET_MAX: Final = 1024
_NAMES_PER_FRAME: Final = 200
_STREAM: Final = re.compile(r"[^@]+@(?P<kind>[a-zA-Z]+)(\d+|_\w+)?(@\w+)?")
"""A symbol, the kind, a number of levels or an interval, an update speed."""


class Route(Enum):
    """The three routes, mandatory since 2026-04-23."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


_ROUTES: Final = {
    "bookTicker": Route.PUBLIC,
    "depth": Route.PUBLIC,
    "aggTrade": Route.MARKET,
    "trade": Route.MARKET,  # undocumented for futures; recordings of 2024 hold it
    "markPrice": Route.MARKET,
    "kline": Route.MARKET,
}


def route_of(stream: str) -> Route:
    """The route of a stream such as `btcusdt@aggTrade`.

    Raises:
        Refused: there is no such stream.
    """
    named = _STREAM.fullmatch(stream)
    if named is None or named["kind"] not in _ROUTES:
        raise Refused(f"no route is known for the stream {stream!r}")
    return _ROUTES[named["kind"]]


def tick_streams(symbols: Iterable[str], trade_stream: str) -> list[str]:
    """The streams that make ticks: the best quotes and the trades of every symbol."""
    return [
        f"{symbol.lower()}@{kind}" for symbol in symbols for kind in ("bookTicker", trade_stream)
    ]


def by_route(streams: Iterable[str]) -> dict[Route, list[str]]:
    """The streams of each route.

    Raises:
        Refused: a stream has no route, or there are more than one socket carries.
    """
    routes: dict[Route, list[str]] = {}
    for stream in streams:
        routes.setdefault(route_of(stream), []).append(stream)
    for route, names in routes.items():
        if len(names) > STREAMS_PER_SOCKET_MAX:
            raise Refused(f"{len(names)} streams of /{route.value} do not fit one socket")
    return routes


def market_url(base: str, route: Route) -> str:
    """The combined-stream address of a route; the streams are asked for by `subscribe_frames`."""
    return f"{base}/{route.value}/stream"


def private_url(base: str, listen_key: str) -> str:
    """The address of a user stream."""
    return f"{base}/{Route.PRIVATE.value}/ws/{listen_key}"


def subscribe_frames(streams: Sequence[str]) -> list[bytes]:
    """The SUBSCRIBE frames for the streams, their ids 1, 2, …; few, as ten a second are all one may send."""
    starts = range(0, len(streams), _NAMES_PER_FRAME)
    return [
        msgspec.json.encode(
            {
                "method": "SUBSCRIBE",
                "params": streams[start : start + _NAMES_PER_FRAME],
                "id": number,
            }
        )
        for number, start in enumerate(starts, 1)
    ]
