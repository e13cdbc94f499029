"""The playbook: the configured strategies, found by name and checked, before anything is started."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import attrs

from aegis.config import Config, StrategyConfig, read_table
from aegis.errors import Refused
from aegis.kernel.supervisor import caught_call
from aegis.market.parameters import BarKind, Parameters
from aegis.market.plan import Plan
from aegis.market.rules import Rule, rule_record
from aegis.market.strategy import Strategy

__all__ = ["SHIPPED", "Playbook", "read_playbook"]

SHIPPED: Final = {
    "breakout": "aegis.market.breakout:Breakout",
    "smc": "aegis.market.smc:Smc",
}
"""Strategies that need no module to be named."""


_BARS: Final = {"interval_ms", "bar_kind", "bar_size"}


@attrs.frozen
class Playbook:
    """What a run trades by."""

    rules: tuple[Plan, ...]
    """Compiled ones, on the analysis that the run has anyway: asked by the step itself."""
    plans: tuple[Plan, ...]
    """All others, each with a Strategist of its own."""

    def compiled(self, symbols: tuple[str, ...]) -> tuple[Rule, ...]:
        """The rules as an analysis of the run's symbols takes them."""
        return tuple(
            Rule(
                plan.name,
                plan.kind.rule,
                rule_record(plan.parameters),
                [symbols.index(symbol) for symbol in plan.symbols],
            )
            for plan in self.rules
            if plan.kind.rule is not None
        )


def read_playbook(config: Config) -> Playbook:
    """Import the configured strategies, and check all that is said of them.

    Raises:
        Refused: one line that names the strategy, the key, and what was expected.
    """
    told = config.strategies or (StrategyConfig("breakout"),)
    plans = [_plan(config, each, f"strategies[{index}]") for index, each in enumerate(told)]
    names = [plan.name for plan in plans]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"strategies: two are named {name!r}; give one of them another name")
    rules = [p for p in plans if p.kind.rule is not None and p.analysis == config.strategy]
    return Playbook(tuple(rules), tuple(plan for plan in plans if plan not in rules))


def _plan(config: Config, told: StrategyConfig, path: str) -> Plan:
    kind = _strategy_class(told.class_, f"{path}.class")
    for symbol in told.symbols:
        if symbol not in config.symbols:
            raise Refused(f"{path}.symbols: {symbol} is none of the run's symbols")
    table = told.parameters
    if told.class_ == "breakout":  # a setting that was there before strategies had their own
        table = {"stop_atr": config.strategy.stop_atr, **table}
    parameters = read_table(table, kind.parameters_type, f"{path}.parameters")
    _, failure = caught_call(kind, parameters)
    if failure is not None:
        raise Refused(f"{path}: {told.class_} cannot be made: {_said(failure)}")
    return Plan(
        name=told.name or kind.__name__.lower(),
        kind=kind,
        parameters=parameters,
        symbols=told.symbols or config.symbols,
        analysis=_analysis(config.strategy, told, path),
    )


def _strategy_class(dotted: str, path: str) -> type[Strategy[Any]]:
    """The class that a name such as `package.module:Class` stands for."""
    module_name, colon, class_name = SHIPPED.get(dotted, dotted).partition(":")
    if not colon or not module_name or not class_name:
        known = ", ".join(SHIPPED)
        raise Refused(f"{path}: expected package.module:Class or one of {known}, got {dotted!r}")
    module: ModuleType | None
    module, failure = caught_call(import_module, module_name)
    if failure is not None:
        raise Refused(f"{path}: {module_name} cannot be imported: {_said(failure)}")
    kind = getattr(module, class_name, None)
    if kind is None:
        raise Refused(f"{path}: {module_name} has no {class_name}")
    if not (inspect.isclass(kind) and issubclass(kind, Strategy)):
        raise Refused(f"{path}: {dotted} is no Strategy (aegis.market.strategy)")
    if inspect.isabstract(kind):
        raise Refused(f"{path}: {dotted} has no on_bar")
    if not attrs.has(kind.parameters_type):
        raise Refused(f"{path}: the parameters of {dotted} are no attrs class")
    return kind


def _analysis(base: Parameters, told: StrategyConfig, path: str) -> Parameters:
    """The analysis of a strategy's bars: the run's own, but for what is told otherwise."""
    for key in _BARS & set(told.analysis):
        raise Refused(f"{path}.analysis.{key}: what bars are made of is said by [strategy]")
    table = attrs.asdict(base) | {"bar_kind": int(base.bar_kind)} | told.analysis
    own: Parameters = read_table(table, Parameters, f"{path}.analysis")
    interval_ms, whole_ms = told.interval_ms or base.interval_ms, base.interval_ms
    if interval_ms != whole_ms and base.bar_kind is not BarKind.TIME:
        raise Refused(f"{path}.interval_ms: only bars of time can be made longer; leave it out")
    if interval_ms < whole_ms or interval_ms % whole_ms:
        expected = f"a multiple of strategy.interval_ms ({whole_ms})"
        raise Refused(f"{path}.interval_ms: expected {expected}, got {interval_ms}")
    return attrs.evolve(own, interval_ms=interval_ms)


def _said(failure: Exception) -> str:
    return " ".join(f"{type(failure).__name__}: {failure}".split())
