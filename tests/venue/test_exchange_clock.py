"""The exchange's time: measured, not lost when our own is set, and measured again when it is refused."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import attrs
import pytest
import trio

from aegis.kernel.clock import SystemClock
from aegis.orders.instrument import Side
from aegis.orders.order import Ticket
from aegis.sim import ExchangeOptions, Server, serve_exchange
from aegis.venue import outcome
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.signing import Credentials

pytestmark = pytest.mark.processes

TICKET = Ticket(
    symbol="BTCUSDT",
    side=Side.BUY,
    quantity=Decimal("0.001"),
    reduce_only=False,
    limit_price=Decimal(100),
    reference_price=Decimal(100),
    stop_price=None,
    signal_id=1,
    checks=(),
    data_age_us=0,
)
_MS = 1_000_000


@attrs.define
class Settable:
    """Clocks that somebody sets, or that stood still while the machine was asleep."""

    wall_ms: int = 0
    monotonic_ms: int = 0

    def wall_ns(self) -> int:
        return SystemClock.wall_ns() + self.wall_ms * _MS

    def monotonic_ns(self) -> int:
        return SystemClock.monotonic_ns() + self.monotonic_ms * _MS


def exchange_wall_ms() -> int:
    return SystemClock.wall_ns() // _MS


async def test_clock_is_measured_and_measured_again_when_it_is_refused() -> None:
    """A wall clock that is set changes nothing; a machine that slept has one request refused, and no more."""
    options = ExchangeOptions(seed=1, symbols=("BTCUSDT",))
    clock = Settable(wall_ms=90_000)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            partial(serve_exchange, options, wall_ms=exchange_wall_ms)
        )
        credentials = Credentials(options.api_key, options.api_secret)
        async with BinanceRest(server.rest_url, credentials, clock) as rest:
            assert await rest.sync_clock() == pytest.approx(-90_000, abs=500)
            clock.wall_ms -= 3_600_000
            assert rest.exchange_ms() == pytest.approx(exchange_wall_ms(), abs=500)
            assert (await rest.account()).positions == {}
            clock.monotonic_ms -= 60_000
            refused = await rest.place("aegis-1-1", TICKET)
            assert refused.outcome == outcome.Refused(outcome.CLOCK_OFF, _said(refused.outcome))
            assert rest.exchange_ms() == pytest.approx(exchange_wall_ms(), abs=500)
            again = await rest.place("aegis-1-2", TICKET)
            assert not _said(again.outcome).startswith("Timestamp")
        nursery.cancel_scope.cancel()


def _said(answer: outcome.Outcome) -> str:
    return answer.message if isinstance(answer, outcome.Refused) else ""
