from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest

from aegis.kernel.clock import seeded_random
from aegis.sim.candles import HOUR_MS, MINUTE_MS, Candles
from aegis.sim.catalogue import contract
from aegis.sim.past import HOURS, MINUTES, past_of

OPENS_MS = 1_700_000_000_000 + 12_345
PRICE = 600_000


def candles_with_a_past(seed: int = 7) -> Candles:
    candles = Candles(contract("BTCUSDT"))
    candles.begin_after(partial(past_of, seeded_random(seed), OPENS_MS, PRICE, 100))
    return candles


@pytest.mark.parametrize(("interval", "width_ms"), [("1m", MINUTE_MS), ("15m", 15 * MINUTE_MS), ("1h", HOUR_MS), ("4h", 4 * HOUR_MS)])  # fmt: skip
def test_past_has_no_hole(interval: str, width_ms: int) -> None:
    """Candle follows candle up to the market's first price, and each opens where the one before closed."""
    found = candles_with_a_past().at(interval)
    assert len(found) >= min(MINUTES * MINUTE_MS, HOURS * HOUR_MS) // width_ms
    assert [each.open_ms for each in found] == [
        found[0].open_ms + number * width_ms for number in range(len(found))
    ]
    assert found[-1].open_ms + width_ms > OPENS_MS - MINUTE_MS
    assert found[-1].close == PRICE
    assert all(one.close == other.open for one, other in pairwise(found))


def test_past_is_made_of_possible_candles() -> None:
    """Prices lie between low and high, above nothing, and takers bought no more than was traded."""
    for each in candles_with_a_past().at("1h") + candles_with_a_past().at("1m"):
        assert 0 < each.low <= min(each.open, each.close) <= max(each.open, each.close) <= each.high
        assert 0 <= each.bought <= each.volume
        assert each.trades > 0


def test_past_says_the_same_at_every_length() -> None:
    """An hour is what its sixty minutes make."""
    candles = candles_with_a_past()
    hour = candles.at("1h")[-3]
    minutes = [
        each for each in candles.at("1m") if hour.open_ms <= each.open_ms < hour.open_ms + HOUR_MS
    ]
    assert len(minutes) == 60
    assert hour.volume == sum(each.volume for each in minutes)
    assert (hour.high, hour.low) == (max(m.high for m in minutes), min(m.low for m in minutes))


def test_past_belongs_to_the_seed() -> None:
    """The same seed has had the same past, another one another."""
    assert candles_with_a_past(7).at("1m") == candles_with_a_past(7).at("1m")
    assert candles_with_a_past(7).at("1m") != candles_with_a_past(8).at("1m")


def test_past_is_followed_by_the_tape() -> None:
    """What trades after the opening makes the next candles; the past stays as it was."""
    candles = candles_with_a_past()
    before = candles.at("1m")
    candles.traded(OPENS_MS, PRICE, 3, taker_buys=True)
    after = candles.at("1m")
    assert after[:-1] == before
    assert (after[-1].open_ms, after[-1].volume) == (OPENS_MS - OPENS_MS % MINUTE_MS, 3)
