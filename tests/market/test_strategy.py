"""Strategies: what they return, what they are told, and what they see by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.breakout import Breakout, BreakoutParameters
from aegis.market.desk import Desk, decide
from aegis.market.events import Element, Happening
from aegis.market.features import NAMES
from aegis.market.indicators import VALUES
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.session import SESSION_VALUES
from aegis.market.strategy import REASON_MAX, NoParameters, Proposal, Strategy
from aegis.market.view import FLAT, Holding, View

Records = NDArray[np.void]


@attrs.frozen
class Threshold:
    """The parameter of a strategy of the test's own."""

    below: float = 10.0


class Dip(Strategy[Threshold]):
    """Buys low closes."""

    def on_bar(self, view: View) -> Proposal | None:
        """Propose a long below the threshold."""
        if view.close < self.parameters.below:
            return Proposal.long(stop=view.close - 1.0, target=view.close + 2.0, reason="a dip")
        return None


class Untold(Strategy):  # type: ignore[type-arg]
    """Cannot be told anything."""

    def on_bar(self, view: View) -> Proposal | None:
        """Want nothing."""
        return None


@pytest.fixture
def view_of(walk_bars: Any) -> Callable[..., tuple[View, Analysis]]:
    """A view of the last of some bars, and the analysis behind it."""

    def look(count: int = 400, holding: Holding = FLAT) -> tuple[View, Analysis]:
        analysis = Analysis(3, Parameters(pivot_bars=2))
        analysis.take_bars(np.full(count, 2, np.uint16), walk_bars(9, count, 0.5))
        return View(analysis, 2, "ABC", holding), analysis

    return look


def test_strategy_names_its_parameters_once() -> None:
    """The attrs class in the brackets is what a configuration is read into; a subclass may do without or name another."""

    class Child(Dip):
        """The same parameters."""

    assert Dip.parameters_type is Child.parameters_type is Threshold
    assert Untold.parameters_type is NoParameters
    assert Breakout.parameters_type is BreakoutParameters


def test_proposal_says_what_is_wanted() -> None:
    """A side with its stop and target, or nothing at all."""
    assert Proposal.long(stop=9, target=12, reason="r") == Proposal(1, 9.0, 12.0, "r")
    assert Proposal.short(stop=np.float64(9)) == Proposal.entry(-7, stop=9.0)
    leave = Proposal.exit("enough")
    assert (leave.side, leave.target, leave.reason, leave.can_be_guarded) == (
        0,
        None,
        "enough",
        True,
    )


@pytest.mark.parametrize("side", [2, 0.5, None, "long"])
def test_proposal_of_no_side_is_an_error(side: Any) -> None:
    """Long, short or nothing: there is no fourth."""
    with pytest.raises(ValueError, match="side"):
        Proposal(side, 1.0)
    with pytest.raises(ValueError, match="an entry has a side"):
        Proposal.entry(0, stop=1.0)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (object(), TypeError),
        (7, TypeError),
        ("r" * (REASON_MAX + 1), ValueError),
        ("\ud800", ValueError),
    ],
)
def test_reason_is_a_short_text(reason: Any, error: type[Exception]) -> None:
    """It is written into the journal: what that cannot hold fails where the strategy made it."""
    with pytest.raises(error):
        Proposal.exit(reason)
    assert Proposal.exit("r" * REASON_MAX).reason == "r" * REASON_MAX


@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, -3.0])
def test_entry_that_cannot_be_guarded_says_so(price: float) -> None:
    """A stop or target that no order can have is no mistake of the strategy's: before the ATR is warm it is NaN."""
    assert not Proposal.long(stop=price).can_be_guarded
    assert not Proposal.long(stop=1.0, target=price).can_be_guarded
    assert Proposal.long(stop=1.0, target=2.0).can_be_guarded


def test_decide_asks_about_each_bar_of_each_symbol(make_bars: Any) -> None:
    """Bars that are there already give what the strategy would have wanted, by symbol and number of the bar."""
    bars = {
        name: make_bars([[p] * 4 for p in prices])
        for name, prices in (("A", (9.0, 11.0, 8.0)), ("B", (12.0, 7.0)))
    }
    plan = Plan("dip", Dip, Threshold(9.5), ("A", "B"), Parameters())
    found = decide(plan, bars)
    assert [(symbol, number, each.stop) for symbol, number, each in found] == [
        ("A", 0, 8.0),
        ("A", 2, 7.0),
        ("B", 1, 6.0),
    ]


def test_each_symbol_has_an_instance_of_its_own(make_bars: Any) -> None:
    """What a strategy remembers is about one symbol."""

    class Third(Dip):
        """Buys the third bar that it sees."""

        seen = 0

        def on_bar(self, view: View) -> Proposal | None:
            """Count."""
            self.seen += 1
            return Proposal.long(stop=1.0) if self.seen == 3 else None

    bars = make_bars([[10.0] * 4] * 5)
    found = decide(Plan("t", Third, Threshold(), ("A", "B"), Parameters()), {"A": bars, "B": bars})
    assert [(symbol, number) for symbol, number, _ in found] == [("A", 2), ("B", 2)]


def test_what_is_no_proposal_is_an_error(make_bars: Any) -> None:
    """A strategy that returns something else is told what it was."""

    class Odd(Dip):
        """Returns a word."""

        def on_bar(self, view: View) -> Any:
            """Say it."""
            return "buy"

    with pytest.raises(TypeError, match="on_bar returned 'buy', not a Proposal or None"):
        decide(Plan("odd", Odd, Threshold(), ("A",), Parameters()), {"A": make_bars([[1.0] * 4])})


def test_view_shows_the_bars(view_of: Any) -> None:
    """The closed bars, oldest first, this one last, as many as are kept or wanted."""
    view, analysis = view_of()
    assert (view.symbol, view.number) == ("ABC", 399)
    assert view.bars().tobytes() == analysis.bars(2).tobytes()
    assert view.bars(3)["close"].tolist() == view.bars()["close"][-3:].tolist()
    assert view.bar == view.bars()[-1]
    assert (view.close, view.is_broken) == (float(view.bars()["close"][-1]), False)


def test_view_shows_indicators_features_and_session_by_name(view_of: Any) -> None:
    """Every name has the value that the analysis has for it."""
    view, analysis = view_of()
    row = analysis.row(2)
    for name in VALUES:
        assert view.indicators[name] == row["indicators"][name]
    for place, name in enumerate(NAMES):
        assert view.features[name] == view.vector[place] == row["features"]["values"][place]
        assert repr(view.raw_features[name]) == repr(row["features"]["named"][name])
    for name in SESSION_VALUES:
        assert repr(view.session[name]) == repr(row["session"][name])


def test_view_shows_what_stands(view_of: Any) -> None:
    """Zones, pools and swings are those of the events: known, not done, in prices that are not mirrored."""
    view, _ = view_of(200)
    structure, events = view.structure, view.structure.events()
    for element, done, zones in (
        (Element.BLOCK, Happening.FAILED, structure.blocks),
        (Element.IMBALANCE, Happening.FILLED, structure.imbalances),
    ):
        told = events[events["element"] == element]
        over = told[told["what"] == done]
        ended = {(e["drawn"], e["side"], e["top"]) for e in over}
        for side in (1, -1):
            standing = {(z.drawn, z.side, z.top) for z in zones(side)}
            new = told[(told["what"] == Happening.NEW) & (told["side"] == side)]
            assert {(e["drawn"], e["side"], e["top"]) for e in new} - ended <= standing
            assert not standing & ended
            for zone in zones(side):
                assert zone.bottom < zone.top
    for side in (1, -1):
        pivots = events[(events["element"] == Element.PIVOT) & (events["side"] == side)]
        swing = structure.swing(side)
        assert swing is not None
        assert (swing.price, swing.drawn) == (pivots["top"][-1], pivots["drawn"][-1])
        for pool in structure.pools(side):
            assert pool.side * (pool.extreme - view.close) >= 0
            assert pool.side * (pool.extreme - pool.mean) >= 0
    assert structure.pools(1) or structure.pools(-1)
    last = events[events["element"] == Element.SWING][-1]
    assert structure.trend == last["side"]
    assert (structure.new_events()["known"] == view.number).all()


def test_nothing_is_known_before_there_is_anything(view_of: Any) -> None:
    """After one bar there is no swing, no place, no zone, no pool and no event."""
    view, _ = view_of(1)
    structure = view.structure
    assert (structure.trend, structure.broke, structure.changed) == (0, 0, False)
    assert math.isnan(structure.place)
    for side in (1, -1):
        assert structure.swing(side) is None
        assert structure.blocks(side) == structure.imbalances(side) == structure.pools(side) == []
    assert len(structure.events()) == len(structure.new_events()) == 0
    assert math.isnan(view.indicators["atr"])


@pytest.mark.parametrize(
    "part", ["bar", "indicators", "session", "features", "raw_features", "vector"]
)
def test_view_cannot_be_written_to(view_of: Any, part: str) -> None:
    """A strategy that writes where it should look is stopped, and has changed nothing."""
    view, analysis = view_of()
    before, record = analysis.state.tobytes(), getattr(view, part)
    with pytest.raises(ValueError, match="read-only"):
        record[record.dtype.names[0] if record.dtype.names else 0] = 1.0
    bars = view.bars()
    bars["close"] = 0.0  # a copy: whoever took it may do with it what he likes
    assert analysis.state.tobytes() == before


def test_view_shows_the_position(view_of: Any) -> None:
    """Which side is held, since what price, guarded where."""
    view, _ = view_of(5, Holding(-2.0, 99.0, 101.0, 90.0, is_working=True))
    assert (view.position.side, view.position.stop, view.position.target) == (-1, 101.0, 90.0)
    assert (FLAT.side, Holding(1.0).side) == (0, 1)


def test_desk_shows_the_position_as_it_is_told(make_bars: Any) -> None:
    """The view of a symbol has the holding of that symbol."""
    plan = Plan("dip", Dip, Threshold(), ("A",), Parameters())
    desk, bars = Desk(plan, plan.analysis), make_bars([[1.0] * 4])
    desk.holdings["A"] = Holding(3.0)
    analysis = Analysis(1, rules=())
    analysis.follow([0])
    analysis.take_bars(np.zeros(1, np.uint16), bars)
    (view,) = desk.views("A", analysis.closings()[0])
    assert view.position == Holding(3.0)
