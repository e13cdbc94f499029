"""How fast orders leave: within both of the exchange's limits, wherever their windows begin."""

from __future__ import annotations

from aegis.kernel import ManualClock
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.signing import Credentials


def test_orders_keep_to_the_limits_of_ten_seconds_and_of_a_minute() -> None:
    """300 in 10 s and 1,200 in a minute are what the exchange takes; whoever goes on then is banned."""
    clock = ManualClock()
    rest = BinanceRest("http://localhost:1", Credentials("key", "secret"), clock)
    left_ms = []
    for at_ms in range(0, 130_000, 20):
        clock.move_to(at_ms * 1_000_000)
        if rest._take_orders(rest.exchange_ms(), urgent=at_ms % 3 == 0):
            left_ms.append(at_ms)
    for limit, window_ms in ((300, 10_000), (1_200, 60_000)):
        for begin_ms in left_ms:
            inside = sum(begin_ms <= each < begin_ms + window_ms for each in left_ms)
            assert inside <= limit
    assert len(left_ms) > 1_200
