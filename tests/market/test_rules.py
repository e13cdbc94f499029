"""Compiled strategies: asked by the step where they are placed, with their own parameters, and equal to their Python form."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.compiled import compiled
from aegis.errors import Broken
from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN, HISTORY
from aegis.market.breakout import Breakout, BreakoutParameters, breakout_rule
from aegis.market.desk import decide
from aegis.market.parameters import Parameters
from aegis.market.plan import Plan
from aegis.market.rules import Rule, rule_record, rule_signature
from aegis.market.signals import Reason, SignalKind, propose_entry, propose_exit
from aegis.market.state import MAX_RULES
from aegis.market.strategy import NoParameters

Records = NDArray[np.void]


@attrs.frozen
class EveryParameters:
    """Of a rule of the test's own: a whole number, a truth and a float."""

    every: int = 3
    short: bool = False
    width: float = 0.5


@compiled(rule_signature(EveryParameters))
def every(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """Enter at every n-th bar with a target, and leave at the one after it."""
    turn = row.bars % parameters.every
    if turn == 0:
        side = -1 if parameters.short else 1
        stop = bar.close - side * parameters.width
        target = bar.close + side * parameters.width
        propose_entry(outbox, row, bar, side, 5, stop, target)
    elif turn == 1:
        propose_exit(outbox, row, bar, 5)


@compiled(rule_signature(NoParameters))
def remembers(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """Enter where the newest bar of the row's history is the one that has just closed, and the one before it is not."""
    newest = row.history[(row.bars - 1) & (HISTORY - 1)]
    before = row.history[(row.bars - 2) & (HISTORY - 1)]
    if (
        newest.start_ns == bar.start_ns
        and newest.close == bar.close
        and before.start_ns < bar.start_ns
    ):
        propose_entry(outbox, row, bar, 1, 5, bar.close / 2, math.nan)


def signals_of(bars: Records, parameters: Parameters, *rules: Rule, symbols: int = 1) -> Records:
    """What rules propose when each bar is given to each symbol."""
    analysis = Analysis(symbols, parameters, rules)
    repeated = np.repeat(bars, symbols)
    rows = np.tile(np.arange(symbols, dtype=np.uint16), len(bars))
    return analysis.take_bars(rows, repeated).copy()


def test_a_rule_finds_the_closed_bar_in_the_history(walk_bars: Any) -> None:
    """At each close, also when the ring has gone round."""
    bars = walk_bars(5, 2 * HISTORY + 10)
    rule = Rule("remembers", remembers, rule_record(NoParameters()), [0])
    got = signals_of(bars, Parameters(), rule)
    assert got["bar_ns"].tolist() == bars["start_ns"].tolist()


@pytest.mark.parametrize("grid", [0.0, 0.5])
@pytest.mark.parametrize("stop_atr", [0.3, 1.5, 40.0])
@pytest.mark.parametrize("seed", range(4))
def test_compiled_form_equals_the_python_form(
    walk_bars: Any, seed: int, stop_atr: float, grid: float
) -> None:
    """On random walks, ties and broken bars included, both forms of the breakout want the same, at the same bar, to the last bit."""
    bars = walk_bars(seed, 1200, grid)
    bars["flags"][::7] = FLAG_BROKEN
    parameters = Parameters(pivot_bars=2, atr_period=5)
    got = signals_of(bars, parameters, breakout_rule(stop_atr, [0]))
    plan = Plan("b", Breakout, BreakoutParameters(stop_atr), ("A",), parameters)
    wanted = [
        (number, each.side, each.stop, each.reason)
        for _, number, each in decide(plan, {"A": bars})
        if each.can_be_guarded and not bars["flags"][number] & FLAG_BROKEN
    ]
    numbers = np.searchsorted(bars["start_ns"], got["bar_ns"]).tolist()
    reasons = [Reason(reason).name.lower() for reason in got["reason"].tolist()]
    sides = got["side"].tolist()
    assert list(zip(numbers, sides, got["stop"].tolist(), reasons, strict=True)) == wanted
    assert len(wanted) > 20 or stop_atr == 40.0


def test_rule_is_called_with_what_it_is_promised(walk_bars: Any) -> None:
    """A rule of one's own reads its row, the closed bar and its own parameters, and proposes entries with targets, and exits."""
    bars = walk_bars(1, 9)
    rule = Rule("every", every, rule_record(EveryParameters(4, short=True)), [0])
    got = signals_of(bars, Parameters(), rule)
    assert got["kind"].tolist() == [SignalKind.EXIT, SignalKind.ENTRY_SHORT] * 2 + [SignalKind.EXIT]
    assert got["bar_ns"].tolist() == bars["start_ns"][[0, 3, 4, 7, 8]].tolist()
    assert got["known_ns"].tolist() == bars["known_ns"][[0, 3, 4, 7, 8]].tolist()
    entries, closes = got[1::2], bars["close"][[3, 7]]
    assert entries["stop"].tolist() == (closes + 0.5).tolist()
    assert entries["target"].tolist() == (closes - 0.5).tolist()
    assert {*got["reason"].tolist()} == {Reason.RULE}
    assert np.isnan(got["target"][::2]).all()


def test_rules_are_asked_on_their_symbols_in_their_order(walk_bars: Any) -> None:
    """Each rule has its symbols and its parameters; on one bar the first rule proposes first, each under its number."""
    bars = walk_bars(1, 2)
    rules = [
        Rule("slow", every, rule_record(EveryParameters(2)), [1, 2]),
        Rule("slower", every, rule_record(EveryParameters(2, width=3.0)), [0, 2]),
    ]
    entries = signals_of(bars, Parameters(), *rules, symbols=4)
    entries = entries[entries["kind"] == SignalKind.ENTRY_LONG]
    assert entries["symbol"].tolist() == [0, 1, 2, 2]
    assert entries["strategy"].tolist() == [2, 1, 1, 2]
    assert (bars["close"][1] - entries["stop"]).round(9).tolist() == [3.0, 0.5, 0.5, 3.0]


def test_analysis_without_rules_proposes_nothing(walk_bars: Any) -> None:
    """An analysis that is told of no rule only looks."""
    assert len(signals_of(walk_bars(2, 2000), Parameters(pivot_bars=2))) == 0


def test_more_rules_than_fit_are_refused() -> None:
    """A step has room for so many rules, and says so."""
    rule = breakout_rule(1.5, [0])
    with pytest.raises(Broken, match=f"asks {MAX_RULES} rules at most"):
        Analysis(1, rules=[rule] * (MAX_RULES + 1))
    bars = Analysis(1, Parameters(pivot_bars=1, atr_period=1), rules=[rule] * MAX_RULES)
    assert bars.row(0)["rules"] == (1 << MAX_RULES) - 1


@pytest.mark.parametrize("width", [math.nan, math.inf, -math.inf, 1e6])
def test_rule_cannot_propose_what_could_not_be_guarded(walk_bars: Any, width: float) -> None:
    """An entry whose stop or target no order can have goes no further than the step; an exit does."""
    rule = Rule("every", every, rule_record(EveryParameters(2, width=width)), [0])
    signals = signals_of(walk_bars(1, 9), Parameters(), rule)
    assert {*signals["kind"].tolist()} == {SignalKind.EXIT}


def test_rule_with_a_full_outbox_is_counted(walk_bars: Any) -> None:
    """What a rule proposes without room is counted, entries and exits alike."""
    rule = Rule("every", every, rule_record(EveryParameters(2)), [0])
    analysis = Analysis(1, Parameters(), [rule], signal_capacity=1)
    analysis.take_bars(np.zeros(6, np.uint16), walk_bars(1, 6))
    assert analysis.counts()["signals_lost"] == 5
