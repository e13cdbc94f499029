"""The even market: its pace, its frames, its books."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import pytest

from aegis.sim.catalogue import contract
from aegis.sim.exchange import Exchange
from aegis.sim.hub import Hub
from aegis.sim.load import Load
from aegis.sim.order import Trade
from aegis.sim.routes import Route
from aegis.venue.binance_market import AggTrade, BookTicker, Message, decode_market

NOW_MS = 1_700_000_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "COIN13USDT")


class Nobody:
    """Hears of nothing that the account does."""

    def told(self, event: str, payload: bytes) -> None:
        raise AssertionError(event)

    def printed(self, trade: Trade) -> None:
        raise AssertionError(trade)


class Client:
    """A subscriber that takes frames apart."""

    events: frozenset[str] | None = None

    def __init__(self, route: Route, *, combined: bool) -> None:
        self.route = route
        self.combined = combined
        self.pieces: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.pieces.append(frame)

    async def drained(self, size: int) -> None:
        """Nothing ever waits."""

    def payloads(self) -> list[bytes]:
        data, found = b"".join(self.pieces), []
        while data:
            assert data[0] == 0x81
            size, at = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4]), 4)
            found.append(data[at : at + size])
            data = data[at + size :]
        return found


class Scene:
    """A venue with an even market and two clients, one a route."""

    def __init__(self) -> None:
        hub = Hub()
        self.exchange = Exchange([contract(each) for each in SYMBOLS], Decimal(10_000), Nobody())
        self.load = Load(self.exchange, hub, 7, 100_000)
        self.load.open(NOW_MS)
        self.quotes = Client(Route.PUBLIC, combined=True)
        self.trades = Client(Route.MARKET, combined=False)
        hub.subscribe(self.quotes, [f"{each.lower()}@bookTicker" for each in SYMBOLS])
        hub.subscribe(self.trades, [f"{each.lower()}@aggTrade" for each in SYMBOLS])


@pytest.fixture
def scene() -> Scene:
    return Scene()


def events(frames: list[bytes]) -> Counter[tuple[str, str]]:
    """How many events of each kind and symbol the engine's own codec reads in them."""
    found: Counter[tuple[str, str]] = Counter()
    for frame in frames:
        message = decode_market(frame)
        assert isinstance(message, Message)
        for event in message.events:
            assert isinstance(event, BookTicker | AggTrade)
            found[type(event).__name__, event.s] += 1
    return found


def test_every_symbol_quotes_and_trades_in_turn(scene: Scene) -> None:
    """So many ticks were asked for, so many come, the same number of each symbol and half of them trades."""
    for _ in range(40):
        scene.load.send(len(SYMBOLS), NOW_MS)
    read = events(scene.quotes.payloads()) + events(scene.trades.payloads())
    kinds = ("BookTicker", "AggTrade")
    assert read == {(kind, symbol): 20 for kind in kinds for symbol in SYMBOLS}


def test_trade_ids_have_no_holes(scene: Scene) -> None:
    """However the ticks are cut into pieces, a symbol's trades follow each other: a hole would be a loss."""
    for count in (1, 2, 3, 1, 5, 2, 4, 3, 3, 3, 1, 1, 1, 3):
        scene.load.send(count, NOW_MS)
    bodies = [json.loads(each) for each in scene.trades.payloads()]
    for symbol in SYMBOLS:
        ids = [each["a"] for each in bodies if each["s"] == symbol]
        assert len(ids) > 3
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert all(each["f"] == each["l"] == each["a"] for each in bodies)


def test_frames_carry_the_time_and_ids_that_grow(scene: Scene) -> None:
    """What the prepared frames leave open is filled in: the time of the send, and ids in order."""
    for step in range(6):
        scene.load.send(len(SYMBOLS), NOW_MS + step)
    bodies = [json.loads(each)["data"] for each in scene.quotes.payloads()]
    mine = [each for each in bodies if each["s"] == "BTCUSDT"]
    assert all(NOW_MS <= each["E"] == each["T"] < NOW_MS + 6 for each in bodies)
    assert [each["u"] for each in mine] == sorted({each["u"] for each in mine})


def test_prices_walk_and_the_book_follows(scene: Scene) -> None:
    """Within a minute the price goes through many levels, and an order finds the book at the tape's price."""
    seen = set()
    for second in range(60):
        now_ms = NOW_MS + second * 1000
        scene.load.open(now_ms)
        scene.load.send(len(SYMBOLS), now_ms)
        scene.load.send(len(SYMBOLS), now_ms)
        bodies = [json.loads(each)["data"] for each in scene.quotes.payloads()]
        last = [each for each in bodies if each["s"] == "ETHUSDT"][-1]
        quote = scene.exchange.listings["ETHUSDT"].quote
        assert (quote.bid, quote.ask) == (Decimal(last["b"]), Decimal(last["a"]))
        seen.add(quote.bid)
    assert len(seen) > 10


def test_same_seed_gives_the_same_tape() -> None:
    """Two venues with one seed say the same, byte for byte."""
    one, other = Scene(), Scene()
    for scene in (one, other):
        for step in range(20):
            scene.load.send(len(SYMBOLS), NOW_MS + 37 * step)
    assert one.quotes.pieces == other.quotes.pieces
    assert one.trades.pieces == other.trades.pieces


def test_nobody_who_did_not_ask_hears_anything(scene: Scene) -> None:
    """Only what was subscribed to is sent, and on its own route."""
    assert {json.loads(each)["stream"].partition("@")[2] for each in scene.quotes.payloads()} <= {
        "bookTicker"
    }
    scene.load.send(len(SYMBOLS), NOW_MS)
    assert all(json.loads(each)["e"] == "aggTrade" for each in scene.trades.payloads())
