"""The wire formats of the market streams, against what was recorded of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.venue import binance_market as market
from aegis.venue.binance_market import Message, Reply, decode_market

DATA = Path(__file__).parents[2].parent / "shared" / "data"

BOOK = b'{"e":"bookTicker","u":5123107838717,"s":"ETHUSDT","b":"2681.62","B":"1.165","a":"2681.63","A":"73.077","T":1723161256310,"E":1723161256311}'
AGG = b'{"e":"aggTrade","E":1616202009196,"a":389551486,"s":"BTCUSDT","p":"58665.00","q":"0.043","f":621622993,"l":621622993,"T":1616202009188,"m":false}'
TRADE = b'{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":true}'
MARK = b'{"e":"markPriceUpdate","E":1654858692000,"s":"BTCUSDT","p":"29968.93335956","P":"29948.78869641","i":"29980.66509373","r":"-0.00010000","T":1654876800000}'
SHUTDOWN = b'{"e":"serverShutdown","E":1770123456789}'
NOT_MARKET = {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE", "MARGIN_CALL"}


def combined(payload: bytes) -> bytes:
    return b'{"stream":"x@y","data":' + payload + b"}"


def raw(payload: bytes) -> bytes:
    return payload


@pytest.mark.parametrize(("form", "stream"), [(raw, ""), (combined, "x@y")])
def test_market_frames_say_the_same_raw_and_combined(form: Any, stream: str) -> None:
    """Both forms hold the same events; a combined one names its stream."""
    expected: list[tuple[bytes, market.MarketEvent]] = [
        (
            BOOK,
            market.BookTicker(
                s="ETHUSDT",
                b=2681.62,
                B=1.165,
                a=2681.63,
                A=73.077,
                E=1723161256311,
                u=5123107838717,
            ),
        ),
        (
            AGG,
            market.AggTrade(s="BTCUSDT", p=58665.0, q=0.043, T=1616202009188, m=False, a=389551486),
        ),
        (
            TRADE,
            market.MarketTrade(
                s="BTCUSDT", p=61800.3, q=0.006, T=1723161256322, m=True, t=5266583935
            ),
        ),
        (
            MARK,
            market.MarkPrice(
                s="BTCUSDT",
                p=29968.93335956,
                i=29980.66509373,
                r=-0.0001,
                T=1654876800000,
                E=1654858692000,
            ),
        ),
    ]
    for payload, event in expected:
        assert decode_market(form(payload)) == Message(stream, [event])


@pytest.mark.parametrize("form", [raw, combined, lambda payload: b'{"event":' + payload + b"}"])
def test_market_frames_announce_a_shutdown(form: Any) -> None:
    """The event has had several wrappings, and is read in each."""
    said = decode_market(form(SHUTDOWN))
    assert isinstance(said, Message)
    assert said.events == [market.ServerShutdown(E=1770123456789)]


def test_market_arrays_hold_an_event_each() -> None:
    """A stream of all symbols brings arrays; those margined in a coin are no business of ours."""
    coin = MARK.replace(b"BTCUSDT", b"BTCUSD_PERP")[:-1] + b',"st":2}'
    said = decode_market(combined(b"[" + MARK + b"," + coin + b"," + MARK[:-1] + b',"st":1}]'))
    assert isinstance(said, Message)
    assert [event.s for event in said.events if isinstance(event, market.MarkPrice)] == [
        "BTCUSDT",
        "BTCUSDT",
    ]
    assert decode_market(coin) == Message("", [])


def test_market_reads_the_mark_of_a_contract_without_funding() -> None:
    """A delivery contract has an empty rate and no time."""
    bare = MARK.replace(b'"-0.00010000"', b'""').replace(b"1654876800000", b"0")
    said = decode_market(bare)
    assert isinstance(said, Message)
    (event,) = said.events
    assert isinstance(event, market.MarkPrice)
    assert (event.r, event.T) == ("", 0)


@pytest.mark.parametrize(
    ("frame", "acknowledges"),
    [
        (b'{"result":null,"id":2}', True),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":2}', False),
        (b'{"code":0,"msg":"Unknown property"}', False),
    ],
)
def test_market_tells_replies_from_events(frame: bytes, acknowledges: bool) -> None:
    """A control reply is no event, and an error is no acknowledgement."""
    reply = decode_market(frame)
    assert isinstance(reply, Reply)
    assert reply.is_acknowledgement is acknowledges


@given(st.binary(max_size=200))
def test_market_refuses_what_it_cannot_read(noise: bytes) -> None:
    """Noise is refused by the one error that the feed counts, never by another."""
    with suppress(Refused):
        assert isinstance(decode_market(noise), Message | Reply)


@pytest.mark.parametrize("opening", [b"[", b'{"x":'])
def test_market_refuses_what_is_nested_beyond_reason(opening: bytes) -> None:
    """Depth is an attack or an accident, never an answer: it is refused like all that cannot be read."""
    deep = opening * 100_000
    for frame in (AGG[:-1] + b',"y":' + deep, deep):
        with pytest.raises(Refused):
            decode_market(frame)


@given(st.sampled_from([BOOK, AGG, TRADE, MARK]), st.data())
def test_market_survives_a_flipped_byte(payload: bytes, data: st.DataObject) -> None:
    """A damaged frame is read or refused, nothing else."""
    at, byte = data.draw(st.integers(0, len(payload) - 1)), data.draw(st.integers(0, 255))
    damaged = payload[:at] + bytes([byte]) + payload[at + 1 :]
    with suppress(Refused):
        assert isinstance(decode_market(damaged), Message | Reply)


def recorded_frames() -> Iterator[bytes]:
    """The recorded frames of market streams, and the documentation's examples of them."""
    folders = ("LUCIT-Systems-and-Development+unicorn-fy", "crypto-crawler+crypto-msg-parser")
    paths = [path for name in folders for path in (DATA / "payloads" / name).rglob("*.json")]
    examples = DATA / "payloads" / "binance+binance-connector-python" / "websocket_streams"
    for path in sorted([*paths, *examples.rglob("*.json")]):
        frame = path.read_bytes()
        document = json.loads(frame)
        body = document.get("data", document) if isinstance(document, dict) else document
        first = body[0] if isinstance(body, list) else body
        if "e" in first and first["e"] not in NOT_MARKET:
            yield frame


def test_market_reads_every_recorded_stream() -> None:
    """Whatever was ever recorded of a market stream is read, and each of its values has a type."""
    frames = list(recorded_frames())
    if not frames:
        pytest.skip("the recorded payloads are not beside the project")
    kinds = set()
    for frame in frames:
        said = decode_market(frame)
        assert isinstance(said, Message)
        assert said.events
        kinds |= {type(event) for event in said.events}
        again = decode_market(msgspec.json.encode(said.events[0]))
        assert isinstance(again, Message)
        assert again.events[:1] == said.events[:1]
    assert kinds >= {
        market.AggTrade,
        market.AssetIndex,
        market.BookTicker,
        market.CompositeIndex,
        market.ContinuousKline,
        market.ContractInfo,
        market.DepthUpdate,
        market.ForceOrder,
        market.Kline,
        market.MarkPrice,
        market.MiniTicker,
        market.Ticker,
        market.TradingSession,
    }
