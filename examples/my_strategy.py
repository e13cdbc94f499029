"""A strategy of one's own: `cd examples && python -m aegis run --strategy my_strategy:Bands`."""

from __future__ import annotations

import attrs

from aegis.market.strategy import Proposal, Strategy
from aegis.market.view import View


@attrs.frozen
class BandsParameters:
    """What a configuration may set, and of what type."""

    width: float = 2.0  # of the bands, in deviations of the last closes
    stop_atr: float = 3.0


class Bands(Strategy[BandsParameters]):
    """Buys below Bollinger's lower band, sells above the upper one, and takes its profit in the middle."""

    def on_bar(self, view: View) -> Proposal | None:
        """Look at one closed bar."""
        middle, told = float(view.indicators["sma"]), self.parameters
        away = view.close - middle  # NaN until there are enough bars: then nothing below is true
        if not abs(away) > told.width * view.indicators["deviation"]:
            return None
        side = -1 if away > 0 else 1
        stop = view.close - side * told.stop_atr * view.indicators["atr"]
        return Proposal.entry(side, stop=stop, target=middle, reason="outside the bands")
