from __future__ import annotations

import pytest

from aegis.errors import Rejected
from aegis.kernel.clock import seeded_random
from aegis.sim.candles import Candles
from aegis.sim.catalogue import contract
from aegis.sim.listen_keys import LIFE_MS, ListenKeys
from aegis.sim.request_limits import RequestLimits

MINUTE = 60_000


def test_candles_fold_trades() -> None:
    """A minute holds first, highest, lowest and last price, volumes, and the takers' buys."""
    candles = Candles(contract("BTCUSDT"))
    for time_ms, ticks, steps, buys in ((0, 10, 1, True), (5, 14, 2, False), (59_999, 8, 3, True)):
        candles.traded(time_ms, ticks, steps, taker_buys=buys)
    candles.traded(2 * MINUTE, 9, 1, taker_buys=False)
    first, second = candles.at("1m")
    assert (first.open, first.high, first.low, first.close) == (10, 14, 8, 8)
    assert (first.volume, first.quote, first.trades) == (6, 10 + 28 + 24, 3)
    assert (first.bought, first.bought_quote) == (4, 34)
    assert (second.open_ms, second.trades) == (2 * MINUTE, 1)


def test_candles_merge_into_longer_intervals() -> None:
    """Longer candles are made of minutes, on the boundaries of the epoch; weeks begin on Monday."""
    candles = Candles(contract("BTCUSDT"))
    monday = 4 * 86_400_000
    for minute in range(7):
        candles.traded(monday + minute * MINUTE, 10 + minute, 1, taker_buys=True)
    five = candles.at("5m")
    assert [(each.open_ms - monday, each.open, each.close, each.volume) for each in five] == [
        (0, 10, 14, 5),
        (5 * MINUTE, 15, 16, 2),
    ]
    assert [each.open_ms for each in candles.at("1w")] == [monday]
    assert [each.open for each in candles.at("1m")] == list(range(10, 17))


def test_listen_key_lives_an_hour() -> None:
    """Starting again keeps the key and extends it; an expired key is told once and never comes back."""
    keys = ListenKeys(seeded_random(1))
    key = keys.start(0)
    assert len(key) == 64
    assert keys.start(1000) == key
    assert keys.extend(2000) == key
    assert keys.expire(2000 + LIFE_MS - 1) is None
    assert keys.expire(2000 + LIFE_MS) == key
    assert keys.expire(2000 + LIFE_MS) is None
    with pytest.raises(Rejected) as refusal:
        keys.extend(3000 + LIFE_MS)
    assert refusal.value.code == -1125
    assert keys.start(0) != key
    keys.stop()
    assert keys.active is None
    assert keys.expire_now() is None


def test_weight_limit_answers_429_then_418() -> None:
    """Beyond the minute's weight comes 429; who goes on regardless is banned, and free again after it."""
    limits = RequestLimits(weight_a_minute=10)
    assert limits.request(10, 0) == {"x-mbx-used-weight-1m": "10"}
    refusals = []
    for _ in range(52):
        with pytest.raises(Rejected) as refusal:
            limits.request(1, 1)
        refusals.append(refusal.value)
    assert [each.status for each in refusals] == [429] * 50 + [418] * 2
    assert "banned until 120001" in refusals[-1].text
    with pytest.raises(Rejected):
        limits.request(1, 120_000)
    assert limits.request(1, 120_001) == {"x-mbx-used-weight-1m": "1"}


def test_order_limit_counts_in_both_windows() -> None:
    """The 301st order within ten seconds is refused with -1015; both counts are told."""
    limits = RequestLimits()
    headers = [limits.order(0) for _ in range(300)]
    assert headers[-1] == {"x-mbx-order-count-10s": "300", "x-mbx-order-count-1m": "300"}
    with pytest.raises(Rejected) as refusal:
        limits.order(9_999)
    assert (refusal.value.code, refusal.value.status) == (-1015, 429)
    assert limits.order(10_000)["x-mbx-order-count-10s"] == "1"
