"""Breakout: the first rule. It enters where a close breaks the last confirmed swing, and gives up a few ATR away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs.validators import gt, le

from aegis.compiled import compiled
from aegis.market.kernel import constant
from aegis.market.parameters import MAX_ATR
from aegis.market.rules import Rule, rule_record, rule_signature
from aegis.market.signals import Reason, propose_entry
from aegis.market.strategy import Proposal, Strategy

if TYPE_CHECKING:
    from aegis.market.view import View

__all__ = ["Breakout", "BreakoutParameters", "breakout", "breakout_rule"]

_BOS: Final = constant(Reason.BOS)
_CHOCH: Final = constant(Reason.CHOCH)


@attrs.frozen
class BreakoutParameters:
    """What the rule can be told.

    Attributes:
        stop_atr: distance of the protective stop from the close, in ATR.
    """

    stop_atr: float = attrs.field(default=1.5, validator=[gt(0.0), le(MAX_ATR)])


@compiled(rule_signature(BreakoutParameters))
def breakout(row: Any, bar: Any, parameters: Any, outbox: Any) -> None:
    """`Breakout`, as the step asks it."""
    side = row.structure.broke
    if side == 0:
        return
    stop = bar.close - side * parameters.stop_atr * row.indicators.atr
    reason = _CHOCH if row.structure.changed else _BOS
    propose_entry(outbox, row, bar, side, reason, stop, math.nan)


class Breakout(Strategy[BreakoutParameters]):
    """Enters with each close beyond the last confirmed swing, whether it goes with the trend (BOS) or against it (CHoCH).

    There is no target and no exit of its own: the stop ends a position, or the break of the other side reverses it.
    """

    rule = breakout

    def on_bar(self, view: View) -> Proposal | None:
        """The rule in plain Python: what `breakout` is held to."""
        structure = view.structure
        if structure.broke == 0:
            return None
        stop = view.close - structure.broke * self.parameters.stop_atr * view.indicators["atr"]
        reason = Reason.CHOCH if structure.changed else Reason.BOS
        return Proposal.entry(structure.broke, stop=stop, reason=reason.name.lower())


def breakout_rule(stop_atr: float, symbols: Sequence[int]) -> Rule:
    """The rule as an analysis takes it, on these of its rows."""
    return Rule("breakout", breakout, rule_record(BreakoutParameters(stop_atr)), symbols)
