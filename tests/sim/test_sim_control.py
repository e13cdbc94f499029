from __future__ import annotations

import attrs
import msgspec
import pytest

from aegis.sim.control import answer
from aegis.sim.routes import Route, read_target, route_of


@attrs.define
class Session:
    """A connection that only remembers."""

    combined: bool = False
    streams: list[str] = attrs.field(factory=list)

    def subscribe(self, names: list[str]) -> None:
        self.streams += names

    def unsubscribe(self, names: list[str]) -> None:
        self.streams = [each for each in self.streams if each not in names]


def test_control_frames_work_in_turn() -> None:
    """Subscribing, listing, unsubscribing and the combined property answer as documented."""
    session = Session()
    conversation = [
        ('{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}', '{"result":null,"id":1}'),
        ('{"method":"UNSUBSCRIBE","params":["a@trade"],"id":2}', '{"result":null,"id":2}'),
        ('{"method":"LIST_SUBSCRIPTIONS","id":3}', '{"result":["b@trade"],"id":3}'),
        ('{"method":"GET_PROPERTY","params":["combined"],"id":4}', '{"result":false,"id":4}'),
        ('{"method":"SET_PROPERTY","params":["combined",true],"id":5}', '{"result":null,"id":5}'),
        ('{"method":"GET_PROPERTY","params":["combined"],"id":0}', '{"result":true,"id":0}'),
    ]
    for request, reply in conversation:
        assert answer(request, session) == (reply.encode(), False)


@pytest.mark.parametrize(
    ("request_text", "code", "start"),
    [
        ('{"method":"SET_PROPERTY","params":["x",true],"id":1}', 0, "Unknown property"),
        ('{"method":"GET_PROPERTY","params":["x"],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "Invalid value type"),
        ('{"method":"SET_PROPERTY","params":[1,true],"id":1}', 2, "Invalid request: property name"),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2, "Invalid request: property name"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":"1"}', 2, "Invalid request: request ID"),
        ('{"method":"SUBSCRIBE","params":["a"],"id":-1}', 2, "Invalid request: request ID"),
        ('{"method":"SUBSCRIBE","params":["a"]}', 2, "Invalid request: request ID"),
        ('{"method":"LISTEN","params":["a"],"id":1}', 2, "Invalid request: unknown variant LISTEN"),
        ('{"method":["a"],"id":1}', 2, "Invalid request: unknown variant"),
        ('{"method":"SUBSCRIBE","params":[],"id":1e40}', 2, "Invalid request: request ID"),
        ('{"method":"X","id":99999999999999999999999}', 2, "Invalid request: unknown variant"),
        ('{"id":1}', 2, "Invalid request: missing field `method`"),
        ("[1]", 2, "Invalid request: missing field `method`"),
        (
            '{"method":"GET_PROPERTY","params":["combined",1],"id":1}',
            2,
            "Invalid request: too many parameters",
        ),
    ],
)
def test_control_frame_errors(request_text: str, code: int, start: str) -> None:
    """What a client gets wrong is answered with the documented code and text; the connection stays."""
    reply, last = answer(request_text, Session())
    error = msgspec.json.decode(reply)["error"]
    assert error["code"] == code
    assert error["msg"].startswith(start)
    assert not last


def test_broken_json_ends_the_connection() -> None:
    """Text that is no JSON is answered with code 3, and that was the last."""
    reply, last = answer("{", Session())
    assert msgspec.json.decode(reply)["error"]["code"] == 3
    assert last


def test_stream_cap_is_1024() -> None:
    """The 1025th stream of a connection is refused."""
    session = Session(streams=[f"s{each}@trade" for each in range(1024)])
    reply, _ = answer('{"method":"SUBSCRIBE","params":["x@trade"],"id":1}', session)
    assert b"error" in reply
    assert len(session.streams) == 1024


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("btcusdt@bookTicker", Route.PUBLIC),
        ("!bookTicker", Route.PUBLIC),
        ("btcusdt@depth@0ms", Route.PUBLIC),
        ("btcusdt@depth20@100ms", Route.PUBLIC),
        ("btcusdt@aggTrade", Route.MARKET),
        ("btcusdt@trade", Route.MARKET),
        ("btcusdt@markPrice@1s", Route.MARKET),
        ("btcusdt@kline_1m", Route.MARKET),
    ],
)
def test_each_stream_has_its_route(stream: str, route: Route) -> None:
    """Quotes and books speak on /public, all else on /market."""
    assert route_of(stream) is route


@pytest.mark.parametrize(
    ("path", "route", "combined", "streams"),
    [
        ("/public/ws", Route.PUBLIC, False, ()),
        ("/public/ws/a@bookTicker/b@depth", Route.PUBLIC, False, ("a@bookTicker", "b@depth")),
        ("/market/stream", Route.MARKET, True, ()),
        ("/market/stream?streams=a@trade/b@trade", Route.MARKET, True, ("a@trade", "b@trade")),
        ("/private/ws/KEY", Route.PRIVATE, False, ("KEY",)),
        ("/private/ws?listenKey=KEY", Route.PRIVATE, False, ("KEY",)),
        ("/private/stream?listenKey=K1&listenKey=K2", Route.PRIVATE, True, ("K1", "K2")),
    ],
)
def test_target_is_read_from_the_url(
    path: str, route: Route, combined: bool, streams: tuple[str, ...]
) -> None:
    """Raw, combined, empty and private forms are understood."""
    target = read_target(path)
    assert target is not None
    assert (target.route, target.combined, target.streams) == (route, combined, streams)


def test_target_keeps_the_wanted_events() -> None:
    """The events filter of a private URL is kept."""
    target = read_target("/private/ws?listenKey=K&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE")
    assert target is not None
    assert target.events == frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/ws",
        "/ws/a@trade",
        "/stream?streams=a@trade",
        "/public",
        "/public/ws/",
        "/market/sse",
        "//[x",
    ],
)
def test_unserved_paths_have_no_target(path: str) -> None:
    """Unrouted legacy paths, trailing slashes and unknown forms are not served."""
    assert read_target(path) is None


def test_a_frame_that_is_nested_beyond_reason_is_no_json() -> None:
    """It costs the connection that sent it, and no other one."""
    reply, last = answer("[" * 5000 + "]" * 5000, Session())
    assert msgspec.json.decode(reply)["error"]["code"] == 3
    assert last
