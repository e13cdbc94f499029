"""The playbook: strategies by name, and one clear line for whatever is wrong with one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from aegis.config import Config, StrategyConfig
from aegis.errors import Refused
from aegis.market.breakout import Breakout, BreakoutParameters, breakout
from aegis.market.parameters import BarKind, Parameters
from aegis.market.smc import Smc, SmcParameters
from aegis.playbook import Playbook, read_playbook

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SOURCE = """
from __future__ import annotations
from typing import Literal
import attrs
from attrs.validators import gt
from aegis.market.strategy import NoParameters, Strategy

@attrs.frozen
class Settings:
    width: float = attrs.field(default=2.0, validator=gt(0))
    bars: int = 5
    side: Literal["long", "both"] = "both"

class Mine(Strategy[Settings]):
    def on_bar(self, view):
        return None

class Failing(Mine):
    def __init__(self, parameters):
        raise RuntimeError("no such\\nfile")

class Unfinished(Strategy[Settings]):
    pass

class Worded(Strategy[str]):
    def on_bar(self, view):
        return None

class Simple(Strategy[NoParameters]):
    def on_bar(self, view):
        return None

function = len
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of the user's on the path: one that is right, and two that cannot be imported."""
    (tmp_path / "my_rules.py").write_text(SOURCE)
    (tmp_path / "my_typo.py").write_text("import no_such_module_anywhere")
    (tmp_path / "my_crash.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("my_rules", "my_typo", "my_crash"):
        sys.modules.pop(name, None)


def read(*strategies: StrategyConfig, **analysis: Any) -> Playbook:
    own = Parameters(**({"interval_ms": 60_000} | analysis))
    return read_playbook(Config(symbols=SYMBOLS, strategy=own, strategies=strategies))


def test_playbook_without_strategies_is_the_breakout() -> None:
    """A configuration from before there were strategies runs what it always ran, with its own stop."""
    playbook = read(stop_atr=2.5)
    (plan,) = playbook.rules
    assert (plan.name, plan.kind, plan.symbols) == ("breakout", Breakout, SYMBOLS)
    assert plan.parameters == BreakoutParameters(2.5)
    assert playbook.plans == ()
    (rule,) = playbook.compiled(SYMBOLS)
    assert (rule.name, rule.kernel, list(rule.symbols)) == ("breakout", breakout, [0, 1, 2])
    assert rule.parameters["stop_atr"] == 2.5


def test_playbook_finds_shipped_and_own_strategies() -> None:
    """Several at once, each with its name, symbols, interval and parameters; what is left out has a sensible default."""
    playbook = read(
        StrategyConfig("smc", symbols=("ETHUSDT",), interval_ms=300_000),
        StrategyConfig("my_rules:Mine", parameters={"width": 3, "side": "long"}),
        StrategyConfig("breakout", "tight", ("SOLUSDT", "BTCUSDT"), parameters={"stop_atr": 0.5}),
    )
    smc, mine = playbook.plans
    assert (smc.name, smc.kind, smc.parameters) == ("smc", Smc, SmcParameters())
    assert (smc.symbols, smc.analysis.interval_ms) == (("ETHUSDT",), 300_000)
    assert (mine.name, mine.symbols, mine.analysis.interval_ms) == ("mine", SYMBOLS, 60_000)
    assert attrs.asdict(mine.parameters) == {"width": 3.0, "bars": 5, "side": "long"}
    (rule,) = playbook.compiled(SYMBOLS)
    assert (rule.name, list(rule.symbols)) == ("tight", [2, 0])
    assert rule.parameters["stop_atr"].tolist() == [0.5]


def test_compiled_strategy_on_longer_bars_is_asked_in_python() -> None:
    """The step closes bars of one interval; on others the same strategy has its Python form."""
    playbook = read(StrategyConfig("breakout", interval_ms=120_000))
    assert playbook.rules == ()
    assert playbook.plans[0].kind is Breakout


def test_strategy_may_have_an_analysis_of_its_own() -> None:
    """Other periods than the run's for one strategy; a compiled one is then asked in its Python form."""
    playbook = read(
        StrategyConfig("breakout", analysis={"pivot_bars": 3, "pool_atr": 1}, interval_ms=180_000),
        StrategyConfig("breakout", "other", analysis={"atr_period": 7}),
        StrategyConfig("breakout", "same", analysis={"atr_period": 14}),
        bar_size=7.0,
    )
    first, other = playbook.plans
    assert first.analysis == Parameters(
        interval_ms=180_000, pivot_bars=3, pool_atr=1.0, bar_size=7.0
    )
    assert other.analysis.atr_period == 7
    assert [plan.name for plan in playbook.rules] == ["same"]


def test_strategy_without_parameters_takes_none() -> None:
    """A strategy that cannot be told anything needs no table."""
    assert read(StrategyConfig("my_rules:Simple")).plans[0].name == "simple"


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (StrategyConfig("smcx"), "class: expected package.module:Class or one of breakout, smc"),
        (StrategyConfig(":Mine"), "class: expected package.module:Class"),
        (StrategyConfig("my_rules:"), "class: expected package.module:Class"),
        (StrategyConfig("no_such_module:Mine"), "class: no_such_module cannot be imported: Module"),
        (StrategyConfig("my_typo:X"), "class: my_typo cannot be imported: ModuleNotFoundError: No"),
        (StrategyConfig("my_crash:X"), "class: my_crash cannot be imported: ZeroDivisionError"),
        (StrategyConfig("my_rules:Nine"), "class: my_rules has no Nine"),
        (StrategyConfig("my_rules:function"), "class: my_rules:function is no Strategy"),
        (StrategyConfig("my_rules:Settings"), "class: my_rules:Settings is no Strategy"),
        (StrategyConfig("my_rules:Unfinished"), "class: my_rules:Unfinished has no on_bar"),
        (
            StrategyConfig("my_rules:Worded"),
            "class: the parameters of my_rules:Worded are no attrs",
        ),
        (StrategyConfig("my_rules:Failing"), "my_rules:Failing cannot be made: RuntimeError: no"),
        (StrategyConfig("smc", symbols=("XUSDT",)), "symbols: XUSDT is none of the run's symbols"),
        (
            StrategyConfig("smc", analysis={"pivot_bar": 1}),
            "unknown key strategies[1].analysis.piv",
        ),
        (StrategyConfig("smc", analysis={"pivot_bars": 0}), "analysis: 'pivot_bars' must be >= 1"),
        (StrategyConfig("smc", analysis={"pivot_bars": "x"}), "analysis.pivot_bars: expected a wh"),
        (
            StrategyConfig("smc", analysis={"bar_size": 1.0}),
            "analysis.bar_size: what bars are made",
        ),
        (
            StrategyConfig("smc", interval_ms=90_000),
            "interval_ms: expected a multiple of strategy.",
        ),
        (
            StrategyConfig("smc", interval_ms=30_000),
            "interval_ms: expected a multiple of strategy.",
        ),
    ],
)
def test_playbook_names_what_is_wrong(strategy: StrategyConfig, says: str) -> None:
    """One line with the strategy's place, the key, and what was expected."""
    with pytest.raises(Refused) as refusal:
        read(StrategyConfig("breakout"), strategy)
    message = str(refusal.value)
    assert message.removeprefix("unknown key ").startswith("strategies[1]")
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (
            {"widht": 1.0},
            "unknown key strategies[0].parameters.widht; expected one of: width, bars",
        ),
        ({"width": "x"}, "strategies[0].parameters.width: expected a number, got 'x'"),
        ({"width": -1.0}, "'width' must be > 0: -1.0"),
        ({"bars": 1.5}, "strategies[0].parameters.bars: expected a whole number, got 1.5"),
        (
            {"side": "short"},
            "strategies[0].parameters.side: expected one of long, both, got 'short'",
        ),
    ],
)
def test_playbook_checks_what_a_strategy_is_told(parameters: dict[str, Any], says: str) -> None:
    """The attrs class of the strategy says which keys and types there are."""
    with pytest.raises(Refused, match=r"^[^\n]+$") as refusal:
        read(StrategyConfig("my_rules:Mine", parameters=parameters))
    assert says in str(refusal.value)


def test_playbook_wants_one_name_for_one_strategy() -> None:
    """Two of a kind need names, so that their signals can be told apart."""
    twice = [StrategyConfig("smc", symbols=(symbol,)) for symbol in SYMBOLS[:2]]
    with pytest.raises(Refused, match="two are named 'smc'; give one of them another name"):
        read(*twice)
    names = [plan.name for plan in read(twice[0], attrs.evolve(twice[1], name="eth")).plans]
    assert names == ["smc", "eth"]


def test_bars_that_are_not_of_time_cannot_be_longer() -> None:
    """Bars by volume have no interval to be a multiple of."""
    with pytest.raises(Refused, match="only bars of time can be made longer"):
        read(StrategyConfig("smc", interval_ms=120_000), bar_kind=BarKind.VOLUME)
    assert read(StrategyConfig("smc"), bar_kind=BarKind.VOLUME).plans
