"""A past for a market that has just opened: candles that lead to its first price, so that charts need not begin empty."""

from __future__ import annotations

import random
from typing import Final

from aegis.sim.candles import HOUR_MS, MINUTE_MS, Candle, Past

__all__ = ["HOURS", "MINUTES", "past_of"]

MINUTES: Final = 1500
"""As many as one request may ask for, and up to an hour more, so that the hours before begin on the hour."""
HOURS: Final = 1500

# Of the price, in millionths: what a minute moves, as the market itself does.
_MOVE: Final = 1200


def past_of(rng: random.Random, before_ms: int, price: int, typical_volume: int) -> Past:
    """A past that leads to a price.

    Args:
        rng: decides everything.
        before_ms: when the market opens; the past ends with the last whole minute before it.
        price: of the opening, in ticks.
        typical_volume: of a minute, in steps.
    """
    end_ms = before_ms - before_ms % MINUTE_MS
    begin_ms = end_ms - MINUTES * MINUTE_MS
    begin_ms -= begin_ms % HOUR_MS
    minutes = _walk_back(rng, range(begin_ms, end_ms, MINUTE_MS), price, typical_volume)
    earlier = range(begin_ms - HOURS * HOUR_MS, begin_ms, HOUR_MS)
    return Past(_walk_back(rng, earlier, minutes[0].open, typical_volume), minutes)


def _walk_back(
    rng: random.Random, opens_ms: range, price: int, volume_a_minute: int
) -> list[Candle]:
    """Candles that open at these times, oldest first; the last closes at `price`."""
    minutes = opens_ms.step // MINUTE_MS
    move, volume = int(_MOVE * minutes**0.5), volume_a_minute * minutes
    found: list[Candle] = []
    for open_ms in reversed(opens_ms):
        found.append(_candle_to(rng, open_ms, price, move, volume))
        price = found[-1].open
    return found[::-1]


def _candle_to(rng: random.Random, open_ms: int, close: int, move: int, volume: int) -> Candle:
    """A candle that ends at a price."""
    opened = max(1, close + round(close * rng.gauss(0, move) / 1e6))
    wick = close * move // 2_000_000
    high = max(opened, close) + rng.randint(0, wick)
    low = max(1, min(opened, close) - rng.randint(0, wick))
    steps = 1 + int(volume * 2 * rng.random())
    bought = int(steps * rng.random())
    middle = (high + low) // 2
    return Candle(
        open_ms,
        opened,
        high,
        low,
        close,
        steps,
        steps * middle,
        1 + steps // 4,
        bought,
        bought * middle,
    )
