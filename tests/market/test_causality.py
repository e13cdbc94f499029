"""Causality: what is said of a bar does not depend on any later one, and noise stays noise.

Each test has a twin: the same question put to a variant that leaks, which reads an element at the bar it is drawn at, as charts
do, and not at the bar it became known at. The twin must fail, or the test is blind.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.events import Element, Happening
from aegis.market.parameters import Parameters

Records = NDArray[np.void]

# Which way each event points: with its side, or against it.
POINTS = {
    (Element.PIVOT, Happening.NEW): -1,
    (Element.LEG, Happening.REVISED): -1,
    (Element.SWING, Happening.BOS): 1,
    (Element.SWING, Happening.CHOCH): 1,
    (Element.BLOCK, Happening.NEW): 1,
    (Element.BLOCK, Happening.TOUCHED): 1,
    (Element.BLOCK, Happening.FAILED): -1,
    (Element.IMBALANCE, Happening.NEW): 1,
    (Element.IMBALANCE, Happening.TOUCHED): 1,
    (Element.IMBALANCE, Happening.FILLED): 1,
    (Element.POOL, Happening.NEW): 1,
    (Element.POOL, Happening.SWEPT): -1,
    (Element.POOL, Happening.RUN): 1,
}


@pytest.fixture(scope="session")
def log_of() -> Callable[[Records], Records]:
    """Every structure event that bars make."""

    def collect(bars: Records) -> Records:
        analysis = Analysis(1, Parameters())
        written = analysis.state["structure"]["events"]["written"]
        symbol, found = np.zeros(1, np.uint16), [analysis.events(0)]
        for index in range(len(bars)):
            before = int(written[0])
            analysis.take_bars(symbol, bars[index : index + 1])
            if written[0] > before:
                found.append(analysis.events(0, int(written[0]) - before))
        return np.concatenate(found)

    return collect


def poisoned(bars: Records, after: int) -> Records:
    """The same bars up to `after`, and then prices a thousand times as high and as low by turns."""
    bars = bars.copy()
    for index in range(after, len(bars)):
        factor = 1000.0 if index % 2 else 0.001
        for name in ("open", "high", "low", "close", "volume", "value"):
            bars[name][index] *= factor
    return bars


@pytest.mark.parametrize("cut", [1, 14, 100, 333, 599])
def test_log_of_a_prefix_is_a_prefix_of_the_log(log_of: Any, walk_bars: Any, cut: int) -> None:
    """What the log holds after some bars is, byte for byte, how the log after more bars begins."""
    bars = walk_bars(11, 600)
    whole, prefix = log_of(bars), log_of(bars[:cut])
    assert whole.tobytes().startswith(prefix.tobytes())
    assert len(prefix) == (whole["known"] < cut).sum()


def test_leaking_log_of_a_prefix_is_no_prefix(log_of: Any, walk_bars: Any) -> None:
    """Ordered by the bar they are drawn at, events of a prefix lack what only later bars made known."""
    bars, cut = walk_bars(11, 600), 333
    whole, prefix = log_of(bars), log_of(bars[:cut])
    assert len(prefix[prefix["drawn"] < cut]) < (whole["drawn"] < cut).sum()


@pytest.mark.parametrize("cut", [700, 2_345])
def test_log_of_real_candles_knows_no_future(log_of: Any, eurusd: Records, cut: int) -> None:
    """On EURUSD, from its middle, the log up to a bar is the same bytes whether the data ends, goes on or turns to poison."""
    bars = eurusd[10_000:13_000]
    whole, prefix, poison = log_of(bars), log_of(bars[:cut]), log_of(poisoned(bars, cut))
    assert whole.tobytes().startswith(prefix.tobytes())
    assert poison.tobytes().startswith(prefix.tobytes())
    assert len(prefix) == (whole["known"] < cut).sum() > 700


@pytest.mark.parametrize("cut", [20, 100, 333])
@pytest.mark.parametrize("field", ["indicators", "features", "session", "structure"])
def test_poisoned_future_changes_no_past(trace: Any, walk_bars: Any, field: str, cut: int) -> None:
    """All that is known at a bar is the same bytes whatever comes after it."""
    bars = walk_bars(12, 400)
    bars["volume"][::7] = 0.0  # some features are not known at some bars
    clean, poison = trace(bars, field), trace(poisoned(bars, cut), field)
    assert clean[:cut].tobytes() == poison[:cut].tobytes()
    assert clean[cut:].tobytes() != poison[cut:].tobytes()


def test_poisoned_future_changes_a_leaking_past(log_of: Any, walk_bars: Any) -> None:
    """Read at the bar they are drawn at, elements up to a bar do depend on what comes after it."""
    bars, cut = walk_bars(12, 400), 333
    clean, poison = log_of(bars), log_of(poisoned(bars, cut))
    assert clean[clean["known"] < cut].tobytes() == poison[poison["known"] < cut].tobytes()
    assert clean[clean["drawn"] < cut].tobytes() != poison[poison["drawn"] < cut].tobytes()


def test_poisoned_ticks_change_no_past(tape: Any, make_analysis: Any) -> None:
    """A torn tick, of whatever values, changes nothing that is known, and nothing that comes to be known."""
    rng = np.random.default_rng(0)
    for at_ms, price in enumerate(100.0 + np.cumsum(rng.normal(0, 0.01, 3000))):
        tape.trade(at_ms * 50, price)
    ticks = tape.ticks()
    torn = np.repeat(ticks, 2)
    for field, value in (("bid", math.nan), ("ask", -1.0), ("ask_size", math.inf), ("kind", 77)):
        chosen = rng.integers(0, len(ticks), 300) * 2 + 1
        torn[field][chosen] = value
    torn["kind"][1::2] = np.where(torn["bid"][1::2] == ticks["bid"], 77, torn["kind"][1::2])
    clean, other = make_analysis(), make_analysis()
    expected, got = clean.step(ticks).tobytes(), other.step(torn).tobytes()
    assert got == expected
    assert other.counts()["bad"] == len(ticks)
    for name in ("indicators", "features", "structure", "session", "history"):
        assert other.row(0)[name].tobytes() == clean.row(0)[name].tobytes()


@pytest.fixture(scope="session")
def noise(walk_bars: Any, trace: Any, log_of: Any) -> tuple[Records, NDArray[np.float64], Records]:
    """A random walk of 30,000 bars, its ATR, and its log."""
    bars = walk_bars(2026, 30_000)
    return bars, trace(bars, "indicators")["atr"], log_of(bars)


def scores(
    noise: tuple[Records, NDArray[np.float64], Records], read_at: str
) -> dict[tuple[Element, Happening], float]:
    """The t value, for each kind of event, of the move of 10 bars the way it points, in ATR, from the close of a bar."""
    bars, atr, log = noise
    found = {}
    for (element, what), way in POINTS.items():
        events = log[(log["element"] == element) & (log["what"] == what)]
        at = events[read_at]
        usable = (at >= 20) & (at + 10 < len(bars))
        at, side = at[usable], events["side"][usable]
        moves = way * side * (bars["close"][at + 10] - bars["close"][at]) / atr[at]
        found[element, what] = float(moves.mean() / moves.std() * math.sqrt(len(moves)))
    return found


def test_noise_has_no_edge(noise: Any) -> None:
    """On a random walk no event, read when it is known, tells where the price goes: |t| < 3 for each."""
    found = scores(noise, "known")
    assert {event: t for event, t in found.items() if not abs(t) < 3.0} == {}


def test_leak_shows_an_edge_in_noise(noise: Any) -> None:
    """Read where they are drawn, the same events seem to earn a fortune on the same noise."""
    found = scores(noise, "drawn")
    assert found[Element.PIVOT, Happening.NEW] > 20.0
    assert found[Element.BLOCK, Happening.NEW] > 20.0
    assert found[Element.IMBALANCE, Happening.NEW] > 5.0
