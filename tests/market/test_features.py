"""Features: named, in order, and standardised by nothing but the past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.features import NAMES, VERSION, WARMUP


@pytest.fixture(scope="session")
def bars(walk_bars: Any) -> NDArray[np.void]:
    """Bars over several sessions, some of them without volume."""
    bars: NDArray[np.void] = walk_bars(21, 1500)
    bars["start_ns"] = 1_700_006_400_000_000_000 + np.arange(1500) * 900_000_000_000
    bars["known_ns"] = bars["start_ns"] + 900_000_000_000
    bars["signed_volume"] = bars["volume"] * np.random.default_rng(1).uniform(-1, 1, 1500)
    bars["volume"][::9] = 0.0
    return bars


def test_vector_has_a_name_for_every_place() -> None:
    """The version that a model is trained for stands for exactly these names, in this order."""
    assert VERSION == 1
    assert len(NAMES) == len(set(NAMES)) == 32
    assert NAMES[:3] == ("change", "body", "upper_wick")


def test_features_say_what_they_are_named_for(trace: Any, bars: NDArray[np.void]) -> None:
    """Raw features are the distances, shares and states that their names say, in ATR where that is their unit."""
    seen = trace(bars, "features")["named"]
    close, atr = bars["close"], trace(bars, "indicators")["atr"]
    structure = trace(bars, "structure")
    late = slice(200, None)
    assert np.allclose(seen["change"][1:][late], (np.diff(close) / atr[1:])[late], rtol=1e-5)
    body = (close - bars["open"]) / atr
    assert np.allclose(seen["body"][late], body[late], rtol=1e-5)
    wick = (bars["high"] - np.maximum(close, bars["open"])) / atr
    assert np.allclose(seen["upper_wick"][late], wick[late], rtol=1e-5)
    assert (seen["trend"] == structure["trend"]).all()
    nearest = structure["blocks"]["nearest"]
    below = np.where(np.isinf(nearest[:, 0]), np.inf, (close - nearest[:, 0]) / atr)
    above = np.where(np.isinf(nearest[:, 1]), np.inf, (-nearest[:, 1] - close) / atr)
    assert np.allclose(seen["block_below"][late], below[late], rtol=1e-4)
    assert np.allclose(seen["block_above"][late], above[late], rtol=1e-4)


def test_vector_is_standardised_by_the_past(trace: Any, bars: NDArray[np.void]) -> None:
    """Each value is (raw - mean) / deviation of that feature's earlier known values, clipped, by a plain loop over them."""
    span = 200
    seen = trace(bars, "features", feature_bars=span)
    for place in range(len(NAMES)):
        mean = variance = known = 0.0
        for raw, got in zip(seen["raw"][:, place], seen["values"][:, place], strict=True):
            if not np.isfinite(raw):
                assert got == 0.0
                continue
            expected = 0.0
            if known >= WARMUP and variance > 0.0:
                expected = float(np.clip((raw - mean) / np.sqrt(variance), -4.0, 4.0))
            assert got == pytest.approx(expected, rel=2e-3, abs=2e-3)
            share = max(1.0 / (known + 1.0), 2.0 / (span + 1.0))
            step = share * (float(raw) - mean)
            variance = (1.0 - share) * (variance + step * (float(raw) - mean))
            mean, known = mean + step, known + 1.0


def test_vector_of_noise_is_standard(trace: Any, bars: NDArray[np.void]) -> None:
    """Once taught, what varies has about zero mean and unit deviation, and nothing is beyond the clip."""
    values = trace(bars, "features")["values"][300:]
    change = values[:, NAMES.index("change")]
    assert abs(change.mean()) < 0.1
    assert 0.8 < change.std() < 1.2
    assert np.abs(values).max() <= 4.0
    assert np.isfinite(values).all()


def test_unknown_feature_is_zero(tape: Any, make_analysis: Any) -> None:
    """Before anything is known the vector is zero, not NaN."""
    analysis: Analysis = make_analysis()
    analysis.step(tape.trade(0, 10.0).trade(1000, 11.0).trade(2000, 12.0).ticks())
    assert analysis.row(0)["features"]["values"].tolist() == [0.0] * len(NAMES)
