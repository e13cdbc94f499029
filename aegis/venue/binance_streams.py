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

__all__ = [
    "Route",
    "by_route",
    "depth_streams",
    "kind_of",
    "market_url",
    "private_url",
    "subscribe_frames",
    "tick_streams",
]

_NAMES_PER_FRAME: Final = 200
_STREAM: Final = re.compile(
    r"[^@!]+@(?P<kind>[a-zA-Z]+)(\d+|_\w+)?(@\w+)?"  # a symbol; a number of levels or an interval; a speed
    r"|!(?P<all>[a-zA-Z]+)(@arr)?(@\w+)?"  # of all symbols
    r"|(?P<alone>tradingSession)"
)


class Route(Enum):
    """The three routes, mandatory since 2026-04-23."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


_ROUTES: Final = dict.fromkeys(("bookTicker", "depth", "rpiDepth"), Route.PUBLIC) | dict.fromkeys(
    (
        "aggTrade",
        "assetIndex",
        "compositeIndex",
        "continuousKline",
        "contractInfo",
        "forceOrder",
        "kline",
        "markPrice",
        "miniTicker",
        "ticker",
        "trade",  # undocumented for futures; recordings of 2024 hold it
        "tradingSession",
    ),
    Route.MARKET,
)


def kind_of(stream: str) -> str:
    """The kind of a stream such as `btcusdt@aggTrade` or `!ticker@arr`.

    Raises:
        Refused: there is no such stream.
    """
    named = _STREAM.fullmatch(stream)
    kind = (named["kind"] or named["all"] or named["alone"]) if named else None
    if kind not in _ROUTES:
        raise Refused(f"no route is known for the stream {stream!r}")
    return kind


def tick_streams(symbols: Iterable[str], trade_stream: str) -> list[str]:
    """The streams that make ticks: the best quotes, the trades and the mark prices of every symbol."""
    kinds = ("bookTicker", trade_stream, "markPrice@1s")
    return [f"{symbol.lower()}@{kind}" for symbol in symbols for kind in kinds]


def depth_streams(symbols: Iterable[str], speed: str) -> list[str]:
    """The streams that tell of changes in the order books of the symbols; 250 ms is what goes without saying."""
    suffix = "" if speed == "250ms" else f"@{speed}"
    return [f"{symbol.lower()}@depth{suffix}" for symbol in symbols]


def by_route(streams: Iterable[str]) -> dict[Route, list[str]]:
    """The streams of each route.

    Raises:
        Refused: a stream has no route.
    """
    routes: dict[Route, list[str]] = {}
    for stream in streams:
        routes.setdefault(_ROUTES[kind_of(stream)], []).append(stream)
    return routes


def market_url(base: str, route: Route) -> str:
    """The combined-stream address of a route; the streams are asked for by `subscribe_frames`."""
    return f"{base}/{route.value}/stream"


def private_url(base: str, listen_key: str) -> str:
    """The address of a user stream."""
    return f"{base}/{Route.PRIVATE.value}/ws/{listen_key}"


def subscribe_frames(streams: Sequence[str], first_id: int = 1) -> list[bytes]:
    """The SUBSCRIBE frames for the streams, their ids counted up; few, as ten a second are all one may send."""
    starts = range(0, len(streams), _NAMES_PER_FRAME)
    return [
        msgspec.json.encode(
            {
                "method": "SUBSCRIBE",
                "params": streams[start : start + _NAMES_PER_FRAME],
                "id": number,
            }
        )
        for number, start in enumerate(starts, first_id)
    ]
