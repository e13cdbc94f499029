"""The work that `bench.order` times: orders at the exchange that ships with the engine, one after the other.

Everybody gets an exchange of their own, in another process, and buys and sells the same; the fill is read from the user
stream in the same way.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import h11
import httpx
import numpy as np
import trio

from aegis.actors.executor import Executor
from aegis.actors.gate import Gate
from aegis.actors.scribe import Scribe
from aegis.actors.user_stream import listen_to_account
from aegis.kernel import on, open_system
from aegis.kernel.bus import Bus
from aegis.kernel.clock import SystemClock, seeded_random
from aegis.kernel.process import Child
from aegis.market.records import received_us
from aegis.messages import Approved, Follow, Report, Signal, Updated
from aegis.ops.shipped_exchange import ShippedExchange, arguments, attend_exchange
from aegis.orders.ids import ClientIds
from aegis.orders.instrument import Instrument, Side, plain
from aegis.orders.ledger import Ledger
from aegis.orders.limits import Limits
from aegis.orders.order import Ticket
from aegis.paper import paper_symbols
from aegis.sim.catalogue import contract
from aegis.store.journal import Journal
from aegis.topics import OrderFilled
from aegis.venue.backoff import Backoff
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.port import Placed
from aegis.venue.signing import Credentials
from bench.report import expect

__all__ = ["Timed", "by_engine", "by_h11", "by_httpx"]

SYMBOLS: Final = paper_symbols(10)
NOTIONAL: Final = Decimal(1000)
_REST_S: Final = 0.025
"""Between a fill and the next order: by then what the last one left to be written down is on disk."""
_FILL_S: Final = 10.0
_CONNECT_S: Final = 0.3
"""What a user stream needs to be heard."""
now_ns = SystemClock.monotonic_ns


@attrs.frozen
class Timed:
    """What each order took, in us from the decision."""

    wire: list[float]
    answer: list[float]
    fill: list[float]
    disk: list[float] = attrs.Factory(list)
    """Of the wire's time, what the journal took; for who has one."""

    def quantile(self, figure: str, percent: float) -> float:
        """Of one of the lists."""
        return float(np.percentile(getattr(self, figure), percent))

    @property
    def wire_without_disk(self) -> float:
        """The median, with each order's time on the disk taken off."""
        return float(np.median(np.subtract(self.wire, self.disk))) if self.disk else 0.0


class WatchedRest(BinanceRest):
    """Notes when each order's bytes had left, and when its answer was read."""

    def watch(self) -> list[tuple[int, int]]:
        """The list that is written to from now on."""
        self._seen: list[tuple[int, int]] = []
        return self._seen

    async def place(self, client_id: str, ticket: Ticket) -> Placed:
        placed = await super().place(client_id, ticket)
        self._seen.append((placed.sent_ns, now_ns()))
        return placed


class TimedExecutor(Executor):
    """Notes how long each intent took."""

    def __init__(self, took_ns: list[int], *parts: Any) -> None:
        super().__init__(*parts)
        self._took_ns = took_ns
        self._began_ns: dict[str, int] = {}

    @on(Approved)
    async def execute(self, approved: Approved) -> None:
        self._began_ns[approved.client_id] = now_ns()
        await super().execute(approved)

    def _may_leave(self, approved: Approved, now_ns: int) -> bool:
        self._took_ns.append(now_ns - self._began_ns[approved.client_id])
        return super()._may_leave(approved, now_ns)


@attrs.frozen
class Account:
    """An exchange to trade at."""

    shipped: ShippedExchange
    rest: WatchedRest
    credentials: Credentials
    instruments: dict[str, Instrument]
    fills: trio.MemoryReceiveChannel[int]
    """When each filled order was heard of; empty for who listens for themselves."""


@asynccontextmanager
async def _account(*, listens: bool) -> AsyncIterator[Account]:
    command = arguments(seed=7, symbols=SYMBOLS, load=100)
    tell, fills = trio.open_memory_channel[int](1000)

    def hear(event: object) -> None:
        if isinstance(event, Updated) and event.update.trade is not None:
            tell.send_nowait(now_ns())

    async with Child(command) as child, attend_exchange(child) as shipped:
        credentials = Credentials(shipped.ready.api_key, shipped.ready.api_secret)
        async with (
            WatchedRest(shipped.ready.rest, credentials, SystemClock()) as rest,
            trio.open_nursery() as nursery,
        ):
            await rest.sync_clock()
            instruments = await rest.instruments(SYMBOLS)
            if listens:
                backoff = Backoff(seeded_random("bench"))
                url = shipped.ready.streams
                nursery.start_soon(listen_to_account, url, rest.open_listen_key, backoff, hear)
                await trio.sleep(_CONNECT_S)
            yield Account(shipped, rest, credentials, instruments, fills)
            account = await rest.account()
            expect([s for s, p in account.positions.items() if p.quantity], [])
            nursery.cancel_scope.cancel()


def _sides(count: int) -> list[tuple[str, bool]]:
    """Buy each symbol, then sell each, and again."""
    rounds = count // (2 * len(SYMBOLS))
    return [(each, buys) for _ in range(rounds) for buys in (True, False) for each in SYMBOLS]


# ---- the engine: judged, made durable, sent


def by_engine(count: int) -> Timed:
    """Gate, Scribe and Executor, from a signal on; the journal is on this machine's disk."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".aegis-bench-") as folder:
        return trio.run(_engine, count, Path(folder) / "journal.db")


async def _engine(count: int, path: Path) -> Timed:
    took_ns: list[int] = []
    decided_ns: list[int] = []
    filled_ns: list[int] = []
    async with _account(listens=False) as account, AsyncExitStack() as opened:
        seen = account.rest.watch()
        bus = Bus()
        journal = opened.enter_context(closing(Journal(path)))
        filled = opened.enter_context(bus.subscribe(OrderFilled))
        system = await opened.enter_async_context(open_system("bench"))
        scribe = await system.spawn(Scribe, journal)
        streams, key = account.shipped.ready.streams, account.rest.open_listen_key
        listen = partial(listen_to_account, streams, key, Backoff(seeded_random("bench")))
        executor = await system.spawn(
            TimedExecutor, took_ns, account.rest, listen, scribe, Ledger(), bus
        )
        limits = Limits(order_notional=NOTIONAL, gross_notional_max=Decimal(100_000))
        ids, instruments = ClientIds(journal.run), account.instruments
        gate = await system.spawn(
            Gate, executor, scribe, instruments=instruments, limits=limits, ids=ids
        )
        await executor.send(Follow(gate))
        await trio.sleep(_CONNECT_S)
        for number, (symbol, buys) in enumerate(_sides(count)):
            signal = _signal(number, symbol, buys=buys)
            gate.tell(signal)
            with trio.fail_after(_FILL_S):
                await anext(filled)
            filled_ns.append(now_ns())
            decided_ns.append(signal.created_ns)
            await trio.sleep(_REST_S)
        report = await executor.ask(Report(), timeout=5)
    expect((report.sent, report.accepted, len(seen)), (count, count, count))
    sent_ns, answered_ns = zip(*seen, strict=True)
    return Timed(
        wire=_us(sent_ns, decided_ns),
        answer=_us(answered_ns, decided_ns),
        fill=_us(filled_ns, decided_ns),
        disk=[each / 1e3 for each in took_ns],
    )


def _us(ends_ns: Sequence[int], begins_ns: Sequence[int]) -> list[float]:
    return [(end - begin) / 1e3 for end, begin in zip(ends_ns, begins_ns, strict=True)]


def _signal(number: int, symbol: str, *, buys: bool) -> Signal:
    price = float(contract(symbol).typical_price)
    created_ns = now_ns()
    return Signal(
        signal_id=number + 1,
        symbol=symbol,
        side=Side.BUY if buys else None,
        price=price,
        stop=price * 0.9,
        reason="bench",
        event_ns=0,
        caused_us=received_us(created_ns),
        created_ns=created_ns,
    )


# ---- the peers: signed and sent, nothing judged and nothing written down

Post = Callable[[str], Awaitable[tuple[int, int, int]]]
"""Sends a signed query to the order endpoint; gives the status and when the bytes had left and the answer was read."""


async def _peer(count: int, connect: Callable[[Account], Any]) -> Timed:
    timed = Timed([], [], [])
    async with _account(listens=True) as account, connect(account) as post:
        for number, (symbol, buys) in enumerate(_sides(count)):
            decided_ns = now_ns()
            query = account.credentials.signed(_order(account, number, symbol, buys=buys))
            status, sent_ns, answered_ns = await post(query)
            expect(status, 200)
            with trio.fail_after(_FILL_S):
                filled_ns = await account.fills.receive()
            timed.wire.append((sent_ns - decided_ns) / 1e3)
            timed.answer.append((answered_ns - decided_ns) / 1e3)
            timed.fill.append((filled_ns - decided_ns) / 1e3)
            await trio.sleep(_REST_S)
    return timed


def _order(account: Account, number: int, symbol: str, *, buys: bool) -> dict[str, object]:
    instrument = account.instruments[symbol]
    return {
        "symbol": symbol,
        "side": "BUY" if buys else "SELL",
        "type": "MARKET",
        "quantity": plain(instrument.whole_quantity(NOTIONAL / contract(symbol).typical_price)),
        "newClientOrderId": f"bench-{number}",
        "newOrderRespType": "ACK",
        "recvWindow": 5000,
        "timestamp": account.rest.exchange_ms(),
    }


def by_httpx(count: int) -> Timed:
    """Httpx alone, the connection kept."""
    return trio.run(_peer, count, _through_httpx)


@asynccontextmanager
async def _through_httpx(account: Account) -> AsyncIterator[Post]:
    sent_ns = 0

    async def note(event: str, _: object) -> None:
        nonlocal sent_ns
        if event == "http11.send_request_headers.complete":
            sent_ns = now_ns()

    async def post(query: str) -> tuple[int, int, int]:
        watched = {"trace": note}
        response = await client.post(f"/fapi/v1/order?{query}", extensions=watched)
        return response.status_code, sent_ns, now_ns()

    headers = {"X-MBX-APIKEY": account.credentials.key}
    async with httpx.AsyncClient(
        base_url=account.shipped.ready.rest, headers=headers, trust_env=False
    ) as client:
        yield post


def by_h11(count: int) -> Timed:
    """h11 on a Trio stream: about the least that speaks HTTP."""
    return trio.run(_peer, count, _through_h11)


@asynccontextmanager
async def _through_h11(account: Account) -> AsyncIterator[Post]:
    host, port = account.shipped.ready.rest.removeprefix("http://").split(":")
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", host), ("X-MBX-APIKEY", account.credentials.key), ("Content-Length", "0")]

    async def post(query: str) -> tuple[int, int, int]:
        request = h11.Request(method="POST", target=f"/fapi/v1/order?{query}", headers=headers)
        data = connection.send(request) or b""
        await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))
        sent_ns, status = now_ns(), 0
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65_536))
            elif isinstance(event, h11.Response):
                status = event.status_code
        connection.start_next_cycle()
        return status, sent_ns, now_ns()

    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield post
