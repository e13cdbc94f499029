"""The smc strategy: its entries by definition, and nothing of the future in any of them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.desk import decide
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.smc import Smc, SmcParameters
from aegis.market.strategy import Proposal
from aegis.market.view import Holding, View

Records = NDArray[np.void]
Found = list[tuple[int, Proposal]]


def proposals(
    bars: Records, parameters: SmcParameters | None = None, kind: type[Smc] = Smc
) -> Found:
    """What the strategy wants on bars, by number of the bar."""
    plan = Plan("smc", kind, parameters or SmcParameters(), ("A",), Parameters())
    return [(number, proposal) for _, number, proposal in decide(plan, {"A": bars})]


@pytest.fixture(scope="session")
def noise(walk_bars: Any) -> Records:
    """A random walk of 40,000 bars."""
    return walk_bars(2026, 40_000)  # type: ignore[no-any-return]


class Leaking(Smc):
    """A variant that reads the price of a few bars later: what a strategy sees that draws before it knows."""

    bars: Records

    def on_bar(self, view: View) -> Proposal | None:
        """Want what turns out well."""
        later = min(view.number + 5, len(self.bars) - 1)
        wanted = super().on_bar(view)
        rises = self.bars["close"][later] > view.close
        return wanted if wanted is None or (wanted.side > 0) == rises else None


def t_value(bars: Records, found: Found) -> float:
    """Of the move of 10 bars in the direction of each entry, in units of its risk."""
    entries = [(n, p) for n, p in found if p.side != 0 and n + 10 < len(bars)]
    at = np.array([number for number, _ in entries])
    side = np.array([proposal.side for _, proposal in entries])
    risk = np.abs(bars["close"][at] - np.array([proposal.stop for _, proposal in entries]))
    moves = side * (bars["close"][at + 10] - bars["close"][at]) / risk
    return float(moves.mean() / moves.std() * math.sqrt(len(moves)))


@pytest.mark.parametrize("cut", [300, 5_000, 12_345])
def test_smc_wants_nothing_different_for_what_comes_later(eurusd: Records, cut: int) -> None:
    """On EURUSD, what it wants up to a bar is the same whether the data ends there, goes on, or turns to poison."""
    bars = eurusd[:15_000]
    poison = bars.copy()
    for name in ("open", "high", "low", "close"):
        poison[name][cut:] *= np.where(np.arange(len(bars) - cut) % 2, 1000.0, 0.001)
    whole, prefix, poisoned = proposals(bars), proposals(bars[:cut]), proposals(poison)
    before = [each for each in whole if each[0] < cut]
    assert before == prefix == [each for each in poisoned if each[0] < cut]
    assert len(before) > 1
    assert whole != poisoned


@pytest.mark.parametrize("parameters", [SmcParameters(), SmcParameters(reward=0.0, discount=1.0)])
def test_smc_earns_nothing_on_noise(noise: Records, parameters: SmcParameters) -> None:
    """On a random walk its entries, at the close of the bar that they are known at, go nowhere: |t| < 3."""
    found = proposals(noise, parameters)
    assert len(found) > 300
    assert abs(t_value(noise, found)) < 3.0


def test_smc_has_no_edge_on_eurusd(eurusd: Records) -> None:
    """On 24,423 real candles as well, before any cost: what it says, and no more, is promised."""
    assert abs(t_value(eurusd, proposals(eurusd))) < 3.0


def test_leaking_smc_is_caught(noise: Records) -> None:
    """A variant that knows five bars more fails both tests, so they can see."""
    Leaking.bars = bars = noise[:20_000]
    assert t_value(bars, proposals(bars, kind=Leaking)) > 4.0
    number, wanted = proposals(bars, kind=Leaking)[0]
    Leaking.bars = poison = bars.copy()
    poison["close"][number + 1 :] *= 0.001 if wanted.side > 0 else 1000.0
    assert proposals(bars[: number + 1]) == [(number, wanted)]
    assert proposals(bars[: number + 1], kind=Leaking) == []


def test_smc_stands_on_the_right_side_of_everything(noise: Records) -> None:
    """Every entry has its stop beyond the zone, its target at least `reward` risks away, and its close in its half."""
    reward = 1.5
    for number, proposal in proposals(noise[:15_000], SmcParameters(reward=reward)):
        close, side = noise["close"][number], proposal.side
        assert side != 0  # nothing is held here, so there is nothing to leave
        assert proposal.target is not None
        risk = side * (close - proposal.stop)
        assert risk > 0.0
        assert side * (proposal.target - close) >= reward * risk - 1e-9
        assert proposal.reason in ("return to order block", "return to fair value gap")


Row = tuple[float, float, float, float]


def legs(*turns: int) -> list[Row]:
    """Bars of one unit each from turn to turn, with wicks of one unit: no bar leaves a gap."""
    rows: list[Row] = []
    for start, end in pairwise(turns):
        step = 1 if end > start else -1
        for price in range(start, end, step):
            close = price + step
            rows.append((price, max(price, close) + 1, min(price, close) - 1, close))
    return rows


RETURN = legs(100, 90, 105, 97, 115, 99)
"""A low at 89, a high at 106, a pullback to 96 whose last bar is the block of 96 to 99, the break of 106, a high at 116, and the
return into the block."""
MIRROR = [(200 - o, 200 - low, 200 - high, 200 - c) for o, high, low, c in RETURN]


def by_hand(bars: Records, **told: float) -> Found:
    """What the strategy wants where a pivot needs two bars on each side."""
    own = Parameters(pivot_bars=2, atr_period=2)
    plan = Plan("smc", Smc, SmcParameters(stop_atr=0.5, **told), ("A",), own)  # type: ignore[arg-type]
    return [(number, proposal) for _, number, proposal in decide(plan, {"A": bars})]


@pytest.mark.parametrize(
    ("rows", "side", "stop", "target"), [(RETURN, 1, 94.5, 116.0), (MIRROR, -1, 105.5, 84.0)]
)
def test_smc_enters_on_the_return_to_the_block(
    make_bars: Any, rows: list[Row], side: int, stop: float, target: float
) -> None:
    """By hand: at the first bar that comes back into the block, half an ATR beyond it the stop, at the untaken highs the target."""
    expected = Proposal.entry(side, stop=stop, target=target, reason="return to order block")
    assert by_hand(make_bars(rows), reward=1.0) == [(65, expected)]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"reward": 4.0}, "no liquidity is four risks away"),
        ({"discount": 0.1}, "the close is not in that part of the range"),
    ],
)
def test_smc_stays_out(make_bars: Any, told: dict[str, float], why: str) -> None:
    """The same return is left alone where the target is too near or the price too dear."""
    assert by_hand(make_bars(RETURN), **told) == [], why


def test_smc_stays_out_of_a_block_that_fails(make_bars: Any) -> None:
    """A bar that goes through the block on its first return is no entry, and neither is one that closes beyond its stop."""
    through = [*RETURN[:65], (100, 101, 95, 98)]
    assert by_hand(make_bars(through), reward=1.0) == []


def test_smc_leaves_on_a_change_of_character(walk_bars: Any) -> None:
    """A position against which the structure turns is given up, and one with which it turns is kept."""
    bars = walk_bars(5, 2000)

    class Holder(Smc):
        """Believes that it holds a long position."""

        def on_bar(self, view: View) -> Proposal | None:
            """Look at the same bar with a position."""
            held = View(view._analysis, view._index, view.symbol, Holding(1.0, 1.0))
            wanted = super().on_bar(held)
            turned = held.structure.changed and held.structure.trend < 0
            assert (wanted is not None and wanted.side == 0) == turned
            assert wanted is None or wanted.side != 1  # it is long already
            return wanted

    exits = [n for n, p in proposals(bars, kind=Holder) if p.side == 0]
    assert len(exits) > 10
    stubborn = proposals(bars, SmcParameters(leave_on_change=False))
    assert all(proposal.side != 0 for _, proposal in stubborn)
