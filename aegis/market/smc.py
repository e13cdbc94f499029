"""Smart Money Concepts as a strategy: side, entry, stop and target by market structure, and nothing but what is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
from attrs.validators import ge, gt, le

from aegis.market.events import Element, Happening
from aegis.market.parameters import MAX_ATR
from aegis.market.strategy import Proposal, Strategy

if TYPE_CHECKING:
    from aegis.market.view import Structure, View

__all__ = ["Smc", "SmcParameters"]

_ENTERED: Final = {Element.BLOCK: "order block", Element.IMBALANCE: "fair value gap"}
_OVER: Final = (Happening.FAILED, Happening.FILLED)


@attrs.frozen
class SmcParameters:
    """What the strategy can be told.

    Attributes:
        stop_atr: how far beyond the zone's far edge the position is given up, in ATR.
        reward: the target is at least so many times as far from the close as the stop is.
        discount: a long is entered below this place between the newest swing low (0) and high (1), a short above its
            mirror image; 1 takes both anywhere.
        leave_on_change: a change of character against a position ends it.
    """

    stop_atr: float = attrs.field(default=0.25, validator=[gt(0.0), le(MAX_ATR)])
    reward: float = attrs.field(default=1.5, validator=[ge(0.0), le(MAX_ATR)])
    discount: float = attrs.field(default=0.5, validator=[gt(0.0), le(1.0)])
    leave_on_change: bool = True


class Smc(Strategy[SmcParameters]):
    """Enters on the first return to a zone that a break left behind, in the direction of that break.

    All for a long; a short is its mirror image.

    **Side.** The last break of a swing, a break of structure or a change of character, was upwards.
    **Entry.** The bar comes, for the first time, into a bullish order block or fair value gap, and closes above its far edge:
    the zone was unmitigated, and holds. The close is in discount, nearer to the newest swing low than to the high.
    **Stop.** A little below the zone, `stop_atr` ATR under its bottom; of several zones, under the lowest.
    **Target.** The nearest liquidity above that is `reward` times as far as the stop: a pool of highs that nobody has taken.
    Without one there is no entry.
    **Exit.** A change of character against the position; before that, stop or target.

    Each of these is read at the bar at whose close it became known: a swing L bars after its pivot, a zone and its touch at their
    bar's close. On a random walk it earns nothing but its costs; `tests/market/test_smc.py` holds it to that.
    """

    def on_bar(self, view: View) -> Proposal | None:
        """Look for a return to a zone, and for a change of character against what is held."""
        structure = view.structure
        side = structure.trend
        if self.parameters.leave_on_change and structure.changed and view.position.side == -side:
            return Proposal.exit("change of character")
        if side in (0, view.position.side) or not self._is_cheap(structure, side):
            return None
        return self._entry(view, side)

    def _is_cheap(self, structure: Structure, side: int) -> bool:
        """Whether a long would be entered in discount, a short in premium; never where the place is unknown."""
        place = structure.place if side > 0 else 1.0 - structure.place
        return place <= self.parameters.discount

    def _entry(self, view: View, side: int) -> Proposal | None:
        """The entry at the zones that this bar came into for the first time, if they hold."""
        edges, names = [], []
        for event in view.structure.new_events():
            element, what = Element(int(event["element"])), Happening(int(event["what"]))
            if element not in _ENTERED or event["side"] != side:
                continue
            if what in _OVER:
                return None  # the bar went through a zone: this is no return that holds
            if what is Happening.TOUCHED:
                edges.append(side * float(event["bottom" if side > 0 else "top"]))
                names.append(_ENTERED[element])
        if not edges:
            return None
        close = side * view.close  # in the mirror of a short, everything is that of a long
        stop = min(edges) - self.parameters.stop_atr * float(view.indicators["atr"])
        target = self._target(view.structure, side, close, self.parameters.reward * (close - stop))
        if target is None or not stop < close:
            return None
        reason = f"return to {names[0]}"
        return Proposal.entry(side, stop=side * stop, target=side * target, reason=reason)

    @staticmethod
    def _target(structure: Structure, side: int, close: float, reach: float) -> float | None:
        """The nearest liquidity on the winning side that is at least `reach` away, mirrored for a short."""
        extremes = [side * pool.extreme for pool in structure.pools(side)]
        return min((each for each in extremes if each - close >= reach), default=None)
