"""Targets: taken by the step as a stop is, where the position could be closed at them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from aegis.market.analysis import Analysis
from aegis.market.signals import Reason, SignalKind


@pytest.mark.parametrize(
    ("side", "stop", "target", "quotes", "hit"),
    [
        (1, 90.0, 101.0, [(100.5, 101.5), (100.99, 101.0), (101.0, 101.1)], 101.0),
        (-1, 110.0, 99.0, [(98.5, 99.5), (98.9, 99.01), (98.7, 98.9)], 98.9),
    ],
)
def test_target_exits_once(
    tape: Any,
    make_analysis: Any,
    side: int,
    stop: float,
    target: float,
    quotes: list[tuple[float, float]],
    hit: float,
) -> None:
    """The first quote at which the target can be had writes one exit with the price that can be had, and disarms the stop too."""
    analysis = make_analysis()
    analysis.arm_stop(0, side, stop, target)
    for at_ms, (bid, ask) in enumerate(quotes + quotes[-1:]):
        tape.quote(at_ms, bid, ask)
    tape.quote(9, 1.0, 1.1).quote(10, 999.0, 999.1)
    (signal,) = analysis.step(tape.ticks())
    assert SignalKind(int(signal["kind"])) is SignalKind.EXIT
    assert Reason(int(signal["reason"])) is Reason.TARGET
    assert (signal["side"], signal["price"], signal["strategy"]) == (-side, hit, 0)
    assert (signal["stop"], signal["target"], signal["recv_us"]) == (stop, target, 2)


def test_trade_is_no_proof_of_a_target(tape: Any, make_analysis: Any) -> None:
    """A buyer's trade at the target was made at the ask: the position could not have been sold there."""
    analysis = make_analysis()
    analysis.arm_stop(0, 1, 90.0, 101.0)
    assert len(analysis.step(tape.trade(0, 101.0).trade(1, 105.0).ticks())) == 0


def test_stop_disarms_the_target(tape: Any, make_analysis: Any) -> None:
    """Once the stop has ended a position, its target ends nothing."""
    analysis = make_analysis()
    analysis.arm_stop(0, 1, 99.0, 101.0)
    (signal,) = analysis.step(tape.quote(0, 98.0, 98.1).quote(1, 102.0, 102.1).ticks())
    assert (Reason(int(signal["reason"])), signal["target"]) == (Reason.STOP, 101.0)


def test_stop_alone_says_that_there_was_no_target(tape: Any, make_analysis: Any) -> None:
    """An exit of a position without a target names none."""
    analysis = make_analysis()
    analysis.arm_stop(0, 1, 99.0)
    (signal,) = analysis.step(tape.quote(0, 98.0, 98.1).ticks())
    assert math.isnan(signal["target"])


@pytest.mark.parametrize(("side", "stop"), [(1, 90.0), (-1, 110.0)])
def test_new_guard_replaces_the_old_one(
    tape: Any, make_analysis: Any, side: int, stop: float
) -> None:
    """Arming anew without a target, or disarming, takes the old target away; another side's is gone as well."""
    news: list[Callable[[Analysis], None]] = [
        lambda a: a.arm_stop(0, side, stop),
        lambda a: a.arm_stop(0, -side, 200.0 - stop),
        lambda a: a.disarm_stop(0),
    ]
    for again in news:
        analysis = make_analysis()
        analysis.arm_stop(0, side, stop, 100.0 + side)
        again(analysis)
        tape.records.clear()
        assert len(analysis.step(tape.quote(0, 100.0 + side, 100.0 + side).ticks())) == 0


def test_full_signal_array_keeps_a_target_armed(tape: Any, make_analysis: Any) -> None:
    """A target that finds no room is taken by the next quote."""
    analysis = make_analysis(symbols=2, signal_capacity=1)
    for symbol in range(2):
        analysis.arm_stop(symbol, 1, 90.0, 101.0)
    ticks = tape.quote(0, 101.0, 101.1).quote(0, 101.0, 101.1, symbol=1).ticks()
    assert analysis.step(ticks)["symbol"].tolist() == [0]
    assert analysis.step(ticks)["symbol"].tolist() == [1]


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan, math.inf])
def test_impossible_target_is_refused(make_analysis: Any, target: float) -> None:
    """A target that no market has is an error, and arms nothing."""
    analysis = make_analysis()
    with pytest.raises(ValueError, match="a target needs"):
        analysis.arm_stop(0, 1, 99.0, target)
    assert analysis.row(0)["stop_long"] == -math.inf
