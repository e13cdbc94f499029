"""Sessions: what belongs to a UTC day."""

from __future__ import annotations

from typing import Any

import numpy as np

DAY_NS = 86_400_000_000_000


def test_previous_day_is_known_from_the_first_bar_of_the_next(trace: Any, walk_bars: Any) -> None:
    """At every bar, the previous high and low are those of the last UTC day before the bar's that had bars."""
    bars = walk_bars(3, 300)
    bars["start_ns"] = 1_700_006_400_000_000_000 + np.arange(300) * 3_600_000_000_000
    bars["start_ns"][100:] += 3 * DAY_NS  # a weekend
    seen = trace(bars, "session")
    days = bars["start_ns"] // DAY_NS
    for index, day in enumerate(days):
        earlier = days[days < day]
        if not len(earlier):
            assert np.isnan(seen["previous_high"][index])
            continue
        before = bars[days == earlier.max()]
        assert seen["previous_high"][index] == before["high"].max()
        assert seen["previous_low"][index] == before["low"].min()


def test_vwap_is_value_over_volume_of_the_day(trace: Any, walk_bars: Any) -> None:
    """The VWAP of a bar is what all trades of its UTC day so far have cost a unit."""
    bars = walk_bars(4, 300)
    bars["start_ns"] = 1_700_006_400_000_000_000 + np.arange(300) * 3_600_000_000_000
    vwap = trace(bars, "session")["vwap"]
    days = bars["start_ns"] // DAY_NS
    for index in range(300):
        today = bars[: index + 1][days[: index + 1] == days[index]]
        assert np.isclose(vwap[index], today["value"].sum() / today["volume"].sum(), rtol=1e-12)


def test_vwap_is_warm_with_the_first_trade_of_its_session(trace: Any, walk_bars: Any) -> None:
    """It is known from the first bar that has volume on, and begins anew, known, with each session."""
    bars = walk_bars(4, 60)
    bars["volume"][:7] = bars["value"][:7] = 0.0
    seen = trace(bars, "session", session_ms=600_000)
    assert np.isnan(seen["vwap"]).tolist() == [True] * 7 + [False] * 53
    first = bars["start_ns"] % 600_000_000_000 == 0
    first[:7] = False
    assert first.sum() > 3
    own = bars["value"][first] / bars["volume"][first]
    assert np.allclose(seen["vwap"][first], own, rtol=1e-15)


def test_vwap_is_unknown_without_volume(trace: Any, make_bars: Any) -> None:
    """Candles without volume have no VWAP."""
    assert np.isnan(trace(make_bars(np.full((5, 4), 7.0), 0.0), "session")["vwap"]).all()
