"""What tests of the simulated exchange share: a venue without sockets, and one with."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from typing import Any

import attrs
import httpx
import msgspec
import pytest
import trio

from aegis.kernel.clock import SystemClock
from aegis.sim import ExchangeOptions, Server, serve_exchange
from aegis.sim.book import Quote
from aegis.sim.catalogue import contract
from aegis.sim.exchange import Exchange
from aegis.sim.invariants import check_venue
from aegis.sim.order import NewOrder, Order, OrderType, Side, TimeInForce, Trade

START_MS = 1_700_000_000_000


def _wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@attrs.define
class Venue:
    """An exchange for BTCUSDT and ETHUSDT whose clock a test moves, and what its owner was told."""

    told_events: list[tuple[str, dict[str, Any]]] = attrs.field(factory=list)
    now_ms: int = START_MS
    print_to: Callable[[Trade], None] | None = None
    exchange: Exchange = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        contracts = [contract("BTCUSDT"), contract("ETHUSDT")]
        self.exchange = Exchange(contracts, Decimal(10_000), self)

    def told(self, event: str, payload: bytes) -> None:
        self.told_events.append((event, msgspec.json.decode(payload)))

    def printed(self, trade: Trade) -> None:
        if self.print_to is not None:
            self.print_to(trade)

    def quote(self, bid: str, ask: str, size: str = "1", symbol: str = "BTCUSDT") -> None:
        """Let the market quote, then check that the venue's books agree."""
        quote = Quote(Decimal(bid), Decimal(size), Decimal(ask), Decimal(size))
        self.exchange.quoted(symbol, quote, self.now_ms)
        self.check()

    def trade(self, price: str, quantity: str, taker: Side) -> None:
        """Let others trade BTCUSDT."""
        amounts = Decimal(price), Decimal(quantity)
        self.exchange.traded("BTCUSDT", *amounts, taker, self.now_ms, self.now_ms)
        self.check()

    def place(self, side: Side, quantity: str, price: str | None = None, **terms: Any) -> Order:
        """Place a LIMIT order, or a MARKET order where no price is given."""
        kind = OrderType.MARKET if price is None else OrderType.LIMIT
        terms.setdefault("time_in_force", TimeInForce.GTC)
        terms.setdefault("symbol", "BTCUSDT")
        asked = NewOrder(
            side=side, type=kind, quantity=Decimal(quantity), price=Decimal(price or 0), **terms
        )
        order = self.exchange.place(asked, self.now_ms)
        self.check()
        return order

    def cancel(self, order: Order) -> Order:
        """Cancel an order."""
        cancelled = self.exchange.cancel(order.asked.symbol, order.id, None, self.now_ms)
        self.check()
        return cancelled

    def now(self, order: Order) -> Order:
        """Return an order as it stands now."""
        return self.exchange.order(order.asked.symbol, order.id, None)

    def position(self) -> Decimal:
        """Return the BTCUSDT position."""
        return self.exchange.account.position("BTCUSDT").quantity

    def steps(self) -> list[tuple[str, str]]:
        """Return (x, X) of every ORDER_TRADE_UPDATE."""
        updates = [event for name, event in self.told_events if name == "ORDER_TRADE_UPDATE"]
        return [(each["o"]["x"], each["o"]["X"]) for each in updates]

    def check(self) -> None:
        """Check the venue's invariants."""
        check_venue(self.exchange.account, self.exchange.orders, self.exchange.trades)


@pytest.fixture
def venue() -> Venue:
    """A venue whose BTCUSDT is quoted 60000.00 / 60000.10, one coin on each side."""
    made = Venue()
    made.quote("60000.00", "60000.10")
    made.quote("2680.00", "2680.01", "10", symbol="ETHUSDT")
    return made


@attrs.define
class Client:
    """A minimal client of the REST side, with a signer of its own."""

    http: httpx.AsyncClient
    server: Server
    skew_ms: int = 0

    def signature(self, payload: str) -> str:
        """Return the HMAC that the venue should expect."""
        secret = self.server.options.api_secret.encode()
        return hmac.new(secret, payload.encode(), hashlib.sha256).hexdigest()

    def signed(self, query: str) -> str:
        """Add timestamp and signature to a query string."""
        stamped = f"{query}&timestamp={_wall_ms() + self.skew_ms}".removeprefix("&")
        return f"{stamped}&signature={self.signature(stamped)}"

    async def call(self, method: str, path: str, query: str = "") -> httpx.Response:
        """Send a signed request."""
        return await self.http.request(method, f"{path}?{self.signed(query)}")

    async def order(self, query: str) -> httpx.Response:
        """Place an order."""
        return await self.call("POST", "/fapi/v1/order", query)

    async def listen_key(self) -> str:
        """Start the user-data stream."""
        reply = await self.http.post("/fapi/v1/listenKey")
        return str(reply.json()["listenKey"])


Serve = Callable[..., Any]


@pytest.fixture
async def serve(nursery: trio.Nursery) -> Serve:
    """What starts a venue with such options as a test gives."""

    async def start(**options: Any) -> Server:
        options.setdefault("symbols", ("BTCUSDT", "ETHUSDT"))
        wall_ms = options.pop("wall_ms", _wall_ms)
        server: Server = await nursery.start(
            partial(serve_exchange, ExchangeOptions(**options), wall_ms=wall_ms)
        )
        return server

    return start


@pytest.fixture
async def server(serve: Serve) -> Server:
    """A running venue with a synthetic market."""
    started: Server = await serve(seed=7)
    return started


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A REST client of `server`."""
    headers = {"X-MBX-APIKEY": server.options.api_key}
    async with httpx.AsyncClient(base_url=server.rest_url, headers=headers) as http:
        yield Client(http, server)
