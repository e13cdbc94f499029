"""What is asked of an account beside its orders: whether it can be traded with, and what it was paid."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from aegis.errors import LockedOut, Refused
from aegis.kernel import ManualClock
from aegis.kernel.clock import SystemClock
from aegis.orders.instrument import Side
from aegis.orders.order import Ticket
from aegis.orders.payment import Payment
from aegis.sim import ExchangeOptions, Server, serve_exchange
from aegis.venue import binance_rest, binance_rows, outcome
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.binance_rows import obstacle
from aegis.venue.signing import Credentials

pytestmark = pytest.mark.processes

OPTIONS = ExchangeOptions(seed=1, symbols=("BTCUSDT",))
TICKET = Ticket(
    symbol="BTCUSDT",
    side=Side.BUY,
    quantity=Decimal("0.01"),
    reduce_only=False,
    limit_price=None,
    reference_price=Decimal(60_000),
    stop_price=None,
    signal_id=1,
    checks=(),
    data_age_us=0,
)


def wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@asynccontextmanager
async def account(
    key: str = OPTIONS.api_key, secret: str = OPTIONS.api_secret
) -> AsyncIterator[tuple[Server, BinanceRest]]:
    """The simulated exchange, and a client of it with these credentials."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, OPTIONS, wall_ms=wall_ms))
        async with BinanceRest(server.rest_url, Credentials(key, secret), SystemClock()) as rest:
            yield server, rest
        nursery.cancel_scope.cancel()


async def test_account_of_one_way_positions_is_fine() -> None:
    """The shipped exchange's is one."""
    async with account() as (_, rest):
        assert await rest.obstacle() == ""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b'{"canTrade":true,"dualSidePosition":false,"multiAssetsMargin":true}', ""),
        (b'{"canTrade":true,"dualSidePosition":true}', "hedge mode"),
        (b'{"canTrade":false,"dualSidePosition":true}', "does not let this account trade"),
    ],
)
def test_what_is_in_the_way_is_said(config: bytes, said: str) -> None:
    """Longs and shorts that are held apart would be read as nothing held, and no order would be taken."""
    assert said in obstacle(config)
    assert bool(said) is bool(obstacle(config))


async def test_key_that_is_not_taken_is_told_from_any_other_refusal() -> None:
    """Nothing helps then but another key, so it has an error of its own."""
    async with account("0" * 64) as (_, rest):
        with pytest.raises(LockedOut, match="accountConfig: -2015"):
            await rest.obstacle()


@pytest.mark.parametrize("rows", [1, 2, 1000])
async def test_payments_are_all_that_trades_did_not_make(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a moment on, however many rows an answer has, and each of them once."""
    monkeypatch.setattr(binance_rows, "INCOMES_MAX", rows)
    since_ms = wall_ms() - 1000
    async with account() as (server, rest):
        exchange = server.exchange
        while not exchange.listings["BTCUSDT"].quote.ask:
            await trio.sleep(0.01)
        assert (await rest.payments(since_ms)).payments == ()
        for cents in range(6):
            exchange.transferred(Decimal(cents), since_ms - 1 + cents)
        placed = await rest.place("aegis-1-1", TICKET)
        assert isinstance(placed.outcome, outcome.Accepted)
        assert len(exchange.trades) > 0
        asked_ms = wall_ms()
        paid = await rest.payments(since_ms)
    assert [payment.amount for payment in paid.payments] == [1, 2, 3, 4, 5]
    assert all(payment.payment_id.startswith("TRANSFER ") for payment in paid.payments)
    assert paid.until_ms == pytest.approx(asked_ms, abs=1000)


async def test_payments_of_a_long_past_are_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trades fill the pages too. What was not reached is to be asked for from where it ended."""
    monkeypatch.setattr(binance_rows, "INCOMES_MAX", 2)
    monkeypatch.setattr(binance_rest, "_INCOME_PAGES", 3)
    since_ms = wall_ms() - 1000
    async with account() as (server, rest):
        for cents in range(6):
            server.exchange.transferred(Decimal(cents + 1), since_ms + cents)
        first = await rest.payments(since_ms)
        rest_of_it = await rest.payments(first.until_ms)
    assert first.until_ms < since_ms + 6
    amounts = {payment.amount for payment in (*first.payments, *rest_of_it.payments)}
    assert amounts == {1, 2, 3, 4, 5, 6}


async def test_payments_wait_for_their_share_of_the_weight(autojump_clock: MockClock) -> None:
    """A long past is asked for slowly: what orders need is never used up."""
    rest = BinanceRest("http://localhost:1", Credentials("key", "secret"), ManualClock())
    rest._weight.correct(rest.exchange_ms(), rest._weight.limit - rest._weight.reserved)
    with trio.move_on_after(50.0) as waited:
        await rest.payments(0)
    assert waited.cancelled_caught


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_an_amount_that_is_none_is_no_payment(amount: str) -> None:
    """It would make the wallet none."""
    row = f'[{{"incomeType":"TRANSFER","income":"{amount}","asset":"USDT","time":1,"tranId":1,"symbol":null}}]'
    with pytest.raises(ValueError, match="none"):
        binance_rows.incomes(row.encode())
    paid, rows, last_ms = binance_rows.incomes(row.replace(amount, "0.5").encode())
    assert (paid, rows, last_ms) == ([Payment("TRANSFER 1", "", Decimal("0.5"), 1)], 1, 1)


def test_the_wallet_is_that_of_the_asset() -> None:
    """In multi-assets mode the total is of all that is margin, in dollars."""
    account_body = b'{"totalWalletBalance":"900","assets":[{"asset":"BNB","walletBalance":"1"},{"asset":"USDT","walletBalance":"300"}]}'
    assert binance_rows.account_view(account_body, b"[]").wallet == Decimal(300)


@pytest.mark.parametrize("symbol", ["ETHUSDT", "ETHUSDC"])
async def test_a_contract_that_is_margined_in_another_asset_is_refused(symbol: str) -> None:
    """Its money would come out of a wallet that nobody keeps here, and its books would never agree."""
    options = ExchangeOptions(seed=1, symbols=(symbol,))
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, options, wall_ms=wall_ms))
        credentials = Credentials(options.api_key, options.api_secret)
        async with BinanceRest(server.rest_url, credentials, SystemClock()) as rest:
            if symbol.endswith("USDT"):
                assert set(await rest.instruments([symbol])) == {symbol}
            else:
                with pytest.raises(Refused, match=f"only USDT is kept as margin, not {symbol}"):
                    await rest.instruments([symbol])
        nursery.cancel_scope.cancel()
