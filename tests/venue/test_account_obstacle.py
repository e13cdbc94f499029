"""Whether an account can be traded with: asked before anything else is done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from aegis.errors import LockedOut
from aegis.kernel.clock import SystemClock
from aegis.sim import ExchangeOptions, Server, serve_exchange
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.binance_rows import obstacle
from aegis.venue.signing import Credentials

pytestmark = pytest.mark.processes

OPTIONS = ExchangeOptions(seed=1, symbols=("BTCUSDT",))


def wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@asynccontextmanager
async def account(key: str, secret: str) -> AsyncIterator[BinanceRest]:
    """A client of the simulated exchange with these credentials."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve_exchange, OPTIONS, wall_ms=wall_ms))
        async with BinanceRest(server.rest_url, Credentials(key, secret), SystemClock()) as rest:
            yield rest
        nursery.cancel_scope.cancel()


async def test_account_of_one_way_positions_is_fine() -> None:
    """The shipped exchange's is one."""
    async with account(OPTIONS.api_key, OPTIONS.api_secret) as rest:
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
    async with account("0" * 64, OPTIONS.api_secret) as rest:
        with pytest.raises(LockedOut, match="accountConfig: -2015"):
            await rest.obstacle()
