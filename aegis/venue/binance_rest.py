"""The signed REST client of Binance USD-M Futures: one request in, one outcome out.

It repeats nothing on its own: whether a request may be made again is for those to decide who know what it would
do. An order is sent once, and whatever is not a clear answer is `Unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, Self, TypeVar

import httpx
import msgspec
import numpy as np
import trio
from numpy.typing import NDArray

from aegis.errors import LockedOut, Refused, Unavailable, Unknown
from aegis.kernel.clock import Clock
from aegis.orders.instrument import Instrument, plain
from aegis.orders.order import Ticket, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import WALLET_ASSET
from aegis.venue import binance_rows, outcome
from aegis.venue.klines import KLINES_MAX, interval_name, kline_bars, kline_weight
from aegis.venue.order_wire import OrderWire
from aegis.venue.port import AccountView, OrderView, Paid, Placed
from aegis.venue.signing import Credentials, encode
from aegis.venue.silence import Silence
from aegis.venue.throttle import Throttle

__all__ = ["BinanceRest"]

RECV_WINDOW_MS: Final = 5000
CUTOFF_MARGIN_MS: Final = 10_000 + 2_000
"""The exchange gives up a call after 10 s; two more for what nobody wrote down (reliability §0.3)."""
TRADES_MAX: Final = 1000
"""Executions of one order that the exchange tells of at once."""
_NS_PER_MS: Final = 1_000_000
_CLOSE_S: Final = 1.0
_CLOCK_S: Final = 1.0
_WARM: Final = 8
"""Connections that are open before the first order."""
_WEIGHT_PAUSE_S: Final = 0.1
_INCOME_WEIGHT: Final = 30
_INCOME_PAGES: Final = 10
_INCOME_SPAN_MS: Final = 7 * 86_400_000
"""So much of the past an answer covers."""

T = TypeVar("T")


class BinanceRest:
    """An account over REST. It is a `venue.port.Venue`."""

    def __init__(
        self, base_url: str, credentials: Credentials, clock: Clock, *, timeout_s: float = 4.0
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        # Of the exchange's time from our monotonic clock: the wall clock may be set while we run.
        self._offset_ms = (clock.wall_ns() - clock.monotonic_ns()) // _NS_PER_MS
        self._measures_clock = False
        self._orders = (  # 80 % of 300 in 10 s, and of 1,200 in a minute
            Throttle(limit=240, window_ms=10_000, reserved=40),
            Throttle(limit=960, window_ms=60_000, reserved=160),
        )
        # 80 % of 2,400 a minute; without what is kept back, the candles of 300 symbols still come in one
        self._weight = Throttle(limit=1920, window_ms=60_000, reserved=400)
        self._silence = Silence()
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"X-MBX-APIKEY": credentials.key},
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            trust_env=False,
        )
        key = {"x-mbx-apikey": credentials.key}
        self._wire = OrderWire(base_url, key, clock, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._wire.warm(_WARM)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections, whatever is going on around."""
        with trio.move_on_after(_CLOSE_S, shield=True):
            await self._wire.aclose()
            await self._http.aclose()

    def exchange_ms(self) -> int:
        """The exchange's time, as it was last measured; before that our wall clock's."""
        return self._clock.monotonic_ns() // _NS_PER_MS + self._offset_ms

    def cutoff_ms(self) -> int:
        """The exchange time after which a request that was sent by now can no longer be executed."""
        return self.exchange_ms() + RECV_WINDOW_MS + CUTOFF_MARGIN_MS

    async def sync_clock(self, samples: int = 3) -> int:
        """Measure the exchange's clock; returns by how much it is ahead of our wall clock, in ms.

        The sample with the shortest round trip counts.
        """
        best: tuple[int, int] | None = None
        for _ in range(samples):
            started_ns = self._clock.monotonic_ns()
            body = await self._get("/fapi/v1/time", {})
            round_trip_ns = self._clock.monotonic_ns() - started_ns
            server_ms = _understood(partial(_server_ms, body))
            middle_ms = (self._clock.monotonic_ns() - round_trip_ns // 2) // _NS_PER_MS
            best = min(
                best or (round_trip_ns, server_ms - middle_ms),
                (round_trip_ns, server_ms - middle_ms),
            )
        if best is not None:
            self._offset_ms = best[1]
        return self.exchange_ms() - self._clock.wall_ns() // _NS_PER_MS

    async def place(self, client_id: str, ticket: Ticket) -> Placed:
        """Send an order, once."""
        params: dict[str, object] = {
            "symbol": ticket.symbol,
            "side": ticket.side.value,
            "type": "MARKET" if ticket.limit_price is None else "LIMIT",
            "timeInForce": None if ticket.limit_price is None else "GTC",
            "quantity": plain(ticket.quantity),
            "price": None if ticket.limit_price is None else plain(ticket.limit_price),
            "reduceOnly": "true" if ticket.reduce_only else None,
            "newClientOrderId": client_id,
            "newOrderRespType": "ACK",
            "selfTradePreventionMode": "EXPIRE_MAKER",
        }
        now_ms, now_ns, cutoff_ms = self.exchange_ms(), self._clock.monotonic_ns(), self.cutoff_ms()
        if not self._take_orders(now_ms, urgent=ticket.reduce_only):
            throttled = outcome.Unavailable("our own order throttle is empty")
            return Placed(throttled, now_ns, cutoff_ms)
        placed, sent_ns = await self._mutate("POST", f"/fapi/v1/order?{self._sign(params)}")
        if sent_ns is None:
            # An exit is tried again and again: tries that never left must not stand in the way of the one that can.
            for throttle in self._orders:
                throttle.give_back(now_ms)
        return Placed(placed, now_ns if sent_ns is None else sent_ns, cutoff_ms)

    def _take_orders(self, now_ms: int, *, urgent: bool) -> bool:
        """Take one order of each limit, or none of any."""
        if not all(throttle.has(now_ms, urgent=urgent) for throttle in self._orders):
            return False
        return all(throttle.take(now_ms, urgent=urgent) for throttle in self._orders)

    async def cancel(self, symbol: str, client_id: str) -> outcome.Outcome:
        """Ask to cancel an order."""
        query = self._sign({"symbol": symbol, "origClientOrderId": client_id})
        cancelled, _ = await self._mutate("DELETE", f"/fapi/v1/order?{query}")
        return cancelled

    async def find(self, symbol: str, client_id: str) -> OrderView | None:
        """The order of that client id, or None where the exchange shows none."""
        params = {"symbol": symbol, "origClientOrderId": client_id}
        try:
            body = await self._get_signed("/fapi/v1/order", params)
        except _NoSuchOrder:
            return None
        return _understood(lambda: binance_rows.order_view(body)[0])

    async def open_orders(self, symbol: str | None = None) -> list[OrderView]:
        """Every open order of the account (weight 40), or of one symbol (weight 1)."""
        body = await self._get_signed("/fapi/v1/openOrders", {"symbol": symbol})
        return _understood(lambda: binance_rows.order_view(body))

    async def trades_of(self, symbol: str, client_id: str, exchange_id: int) -> list[Trade]:
        """The executions of one order."""
        params = {"symbol": symbol, "orderId": exchange_id, "limit": TRADES_MAX}
        body = await self._get_signed("/fapi/v1/userTrades", params)
        return _understood(lambda: binance_rows.my_trades(body, client_id))

    async def obstacle(self) -> str:
        """Why the account cannot be traded with as it is; empty where it can."""
        body = await self._get_signed("/fapi/v1/accountConfig", {})
        return _understood(lambda: binance_rows.obstacle(body))

    async def account(self) -> AccountView:
        """The balance and the positions."""
        account = await self._get_signed("/fapi/v3/account", {})
        positions = await self._get_signed("/fapi/v3/positionRisk", {})
        return _understood(lambda: binance_rows.account_view(account, positions))

    async def payments(self, since_ms: int) -> Paid:
        """Money that came or went without a trade, among all changes of the wallet; a bounded number of pages of these.

        It waits for its share of the request weight, which leaves most of it to the order path.
        """
        found: dict[str, Payment] = {}
        for _ in range(_INCOME_PAGES):
            await self._weigh(_INCOME_WEIGHT)
            now_ms = self.exchange_ms()
            until_ms = min(now_ms, since_ms + _INCOME_SPAN_MS)
            rows = binance_rows.INCOMES_MAX
            params = {"startTime": since_ms, "endTime": until_ms, "limit": rows}
            body = await self._get_signed("/fapi/v1/income", params)
            payments, count, last_ms = _understood(partial(binance_rows.incomes, body))
            found |= {payment.payment_id: payment for payment in payments}
            # Those of the last millisecond come again, as there may be more of them.
            since_ms = until_ms if count < rows else max(last_ms, since_ms + 1)
            if since_ms >= now_ms:
                break
        return Paid(tuple(found.values()), since_ms)

    async def instruments(self, symbols: Iterable[str]) -> dict[str, Instrument]:
        """The trading rules of the given symbols."""
        body = await self._get("/fapi/v1/exchangeInfo", {})
        listed = _understood(lambda: msgspec.json.decode(body)["symbols"])
        rows = {row["symbol"]: row for row in listed if row.get("status") == "TRADING"}
        wanted = list(symbols)
        if missing := [symbol for symbol in wanted if symbol not in rows]:
            raise Refused(f"not traded at {self._http.base_url}: {', '.join(missing)}")
        margins = {symbol: rows[symbol].get("marginAsset", WALLET_ASSET) for symbol in wanted}
        if others := [f"{s} in {m}" for s, m in margins.items() if m != WALLET_ASSET]:
            raise Refused(f"only {WALLET_ASSET} is kept as margin, not {', '.join(others)}")
        return {symbol: Instrument.from_exchange_info(rows[symbol]) for symbol in wanted}

    async def klines(self, symbol: str, interval_ms: int, limit: int) -> NDArray[np.void]:
        """The newest closed candles of a symbol, at most `limit` and at most KLINES_MAX - 1, oldest first: BAR records.

        It waits for its share of the request weight, which leaves most of it to the order path.
        """
        interval = interval_name(interval_ms)
        if interval is None:
            raise Refused(f"the exchange has no candles of {interval_ms} ms")
        rows = min(limit + 1, KLINES_MAX)  # the last one still runs
        await self._weigh(kline_weight(rows))
        params = {"symbol": symbol, "interval": interval, "limit": rows}
        body = await self._get("/fapi/v1/klines", params)
        return _understood(lambda: kline_bars(body, closed_by_ms=self.exchange_ms()))

    async def open_listen_key(self) -> str:
        """The key of the user stream; asking again extends the one that is active by 60 minutes."""
        body = await self._request("POST", "/fapi/v1/listenKey")
        return _understood(lambda: str(msgspec.json.decode(body)["listenKey"]))

    async def _weigh(self, weight: int) -> None:
        """Wait until a request of that weight may be made by one that is in no hurry."""
        while not self._weight.take(self.exchange_ms(), weight):
            await trio.sleep(_WEIGHT_PAUSE_S)

    def _sign(self, params: Mapping[str, object]) -> str:
        timed = {**params, "recvWindow": RECV_WINDOW_MS, "timestamp": self.exchange_ms()}
        return self._credentials.signed(timed)

    async def _mutate(self, method: str, target: str) -> tuple[outcome.Outcome, int | None]:
        """A request that changes something: every way to fail is an outcome. Beside it, when the request left; None if it did not."""
        if self._silence.lasts(self.exchange_ms()):
            return outcome.Unavailable(self._why_silent()), None
        asked_ns = self._clock.monotonic_ns()
        try:
            reply = await self._wire.request(method, target)
        except Unavailable as why:
            return outcome.Unavailable(str(why)), None
        except Unknown as why:
            return outcome.Unknown(str(why)), asked_ns
        answer = outcome.classify(reply.status, reply.body)
        self._follow(reply.status, reply.headers, answer)
        await self._heed_clock(answer)
        return answer, reply.sent_ns

    def _follow(self, status: int, headers: Mapping[str, str], answer: outcome.Outcome) -> None:
        """Keep to what the exchange says of its limits."""
        self._follow_headers(headers)
        if isinstance(answer, outcome.Unavailable) and answer.is_of_orders:
            # Whichever limit it was: the shorter one is over soon, and other requests may be made meanwhile.
            self._orders[0].correct(self.exchange_ms(), self._orders[0].limit)
        else:
            self._silence.follow(status, headers, answer, self.exchange_ms())

    async def _heed_clock(self, answer: outcome.Outcome) -> None:
        """Measure the exchange's clock again where it has refused our time: the next request is to be taken."""
        is_off = isinstance(answer, outcome.Refused) and answer.code == outcome.CLOCK_OFF
        if not is_off or self._measures_clock:
            return
        self._measures_clock = True
        try:
            # Whoever has been refused waits for this: one look, and not for long.
            with trio.move_on_after(_CLOCK_S), suppress(Unavailable, Refused):
                await self.sync_clock(samples=1)
        finally:
            self._measures_clock = False

    def _why_silent(self) -> str:
        left_ms = self._silence.until_ms - self.exchange_ms()
        return f"nothing was sent: the exchange wants no requests for {left_ms} ms"

    def _follow_headers(self, headers: Mapping[str, str]) -> None:
        for name, throttle in (
            ("x-mbx-order-count-10s", self._orders[0]),
            ("x-mbx-order-count-1m", self._orders[1]),
            ("x-mbx-used-weight-1m", self._weight),
        ):
            used = headers.get(name, "")
            if used.lstrip("-").isdigit():
                throttle.correct(self.exchange_ms(), int(used))

    async def _get(self, path: str, params: Mapping[str, object]) -> bytes:
        return await self._request("GET", f"{path}?{encode(params)}" if params else path)

    async def _get_signed(self, path: str, params: Mapping[str, object]) -> bytes:
        return await self._request("GET", f"{path}?{self._sign(params)}")

    async def _request(self, method: str, url: str) -> bytes:
        """A request that only reads (or may be repeated without harm)."""
        path = url.partition("?")[0]  # never the query in an error: it holds a signature
        if self._silence.lasts(self.exchange_ms()):
            raise Unavailable(f"{method} {path}: {self._why_silent()}")
        try:
            response = await self._http.request(method, url)
        except httpx.HTTPError as why:
            raise Unavailable(f"{method} {path}: {type(why).__name__}") from None
        if response.status_code == 200:
            self._follow_headers(response.headers)
            return response.content
        answer = outcome.classify(response.status_code, response.content)
        self._follow(response.status_code, response.headers, answer)
        await self._heed_clock(answer)
        if isinstance(answer, outcome.Refused):
            if answer.code == outcome.ORDER_MISSING:
                raise _NoSuchOrder
            kind = LockedOut if answer.code in outcome.NOT_OURS else Refused
            raise kind(f"{method} {path}: {answer.code} {answer.message}")
        raise Unavailable(f"{method} {path}: HTTP {response.status_code}")


def _server_ms(body: bytes) -> int:
    return int(msgspec.json.decode(body)["serverTime"])


def _understood(read: Callable[[], T]) -> T:
    """Read a body; one that is cut, or not what it should be, is as good as none."""
    try:
        return read()
    except (
        msgspec.DecodeError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        ArithmeticError,  # a number that no column of ours holds
        RecursionError,
    ) as why:
        raise Unavailable(f"an answer cannot be read: {type(why).__name__}") from None


class _NoSuchOrder(Refused):
    """-2013: it never existed, or the exchange's read side lags."""
