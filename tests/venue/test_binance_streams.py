from __future__ import annotations

import msgspec
import pytest

from aegis.errors import Refused
from aegis.venue.binance_streams import Route, by_route, subscribe_frames, tick_streams


def test_streams_travel_on_their_own_route() -> None:
    """Quotes go by /public and trades by /market: the wrong one would be acknowledged and silent."""
    assert by_route(tick_streams(["BTCUSDT"], "aggTrade")) == {
        Route.PUBLIC: ["btcusdt@bookTicker"],
        Route.MARKET: ["btcusdt@aggTrade", "btcusdt@markPrice@1s"],
    }


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("btcusdt@depth@100ms", Route.PUBLIC),
        ("btcusdt@depth20@100ms", Route.PUBLIC),
        ("btcusdt@kline_15m", Route.MARKET),
        ("btcusdt@markPrice@1s", Route.MARKET),
        ("btcusdt@rpiDepth@500ms", Route.PUBLIC),
        ("!bookTicker", Route.PUBLIC),
        ("!markPrice@arr@1s", Route.MARKET),
        ("!forceOrder@arr", Route.MARKET),
        ("!contractInfo", Route.MARKET),
        ("btcusdt_perpetual@continuousKline_1m", Route.MARKET),
        ("defiusdt@compositeIndex", Route.MARKET),
        ("tradingSession", Route.MARKET),
    ],
)
def test_streams_with_parameters_have_a_route(stream: str, route: Route) -> None:
    """A speed or an interval in the name changes nothing."""
    assert list(by_route([stream])) == [route]


@pytest.mark.parametrize("stream", ["btcusdt", "btcusdt@nothing", "", "aggTrade", "@aggTrade"])
def test_streams_without_a_route_are_refused(stream: str) -> None:
    """A stream that is not in the table is never sent anywhere."""
    with pytest.raises(Refused, match="no route"):
        by_route([stream])


def test_subscribe_frames_are_few_and_numbered() -> None:
    """Ten control messages a second are all that a client may send, so names travel in bulk."""
    frames = [
        msgspec.json.decode(f) for f in subscribe_frames([f"s{n}@aggTrade" for n in range(401)])
    ]
    assert [frame["id"] for frame in frames] == [1, 2, 3]
    assert sum(len(frame["params"]) for frame in frames) == 401
