"""The analysis: the compiled step with its arrays, for those who write Python."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from aegis.compiled import entry_point
from aegis.errors import check
from aegis.market.bars import BAR, HISTORY
from aegis.market.records import TICK
from aegis.market.signals import SIGNAL
from aegis.market.parameters import Parameters
from aegis.market.state import TOTALS, arm_stop, disarm_stop, empty_state, parameter_record
from aegis.market.step import step

__all__ = ["Analysis"]

_step = entry_point(step)

_COUNTS: Final = (
    "ticks",
    "quotes",
    "trades",
    "late",
    "gaps",
    "bad",
    "bars",
    "broken_bars",
)


class Analysis:
    """Everything known about every symbol, kept up by `step`.

    One thread steps. Reading from another is safe (rows never move), but may see a row half way through a tick.

    Args:
        symbols: how many; a tick's `symbol` indexes them.
        parameters: the same for all symbols.
        signal_capacity: candidate signals that one step can return; more are counted in `signals_lost`.
    """

    def __init__(
        self, symbols: int, parameters: Parameters | None = None, *, signal_capacity: int = 4096
    ) -> None:
        check(0 < symbols <= 1 << 16, "a tick's symbol is 16 bits")
        check(signal_capacity > 0, "a step can return at least one signal")
        self.parameters: Final = parameters or Parameters()
        self.state: Final = empty_state(symbols)
        self.totals: Final = np.zeros(1, TOTALS)
        self.signals: Final = np.zeros(signal_capacity, SIGNAL)
        self.parameter_record: Final = parameter_record(self.parameters)

    def step(self, ticks: NDArray[np.void]) -> NDArray[np.void]:
        """Take ticks, in order of arrival, and return the candidate signals they made.

        Args:
            ticks: a contiguous TICK array of any length; a read-only view is fine. It is not kept.

        Returns:
            A view of SIGNAL records, valid until the next call.
        """
        check(ticks.dtype == TICK and ticks.flags.c_contiguous, "ticks are contiguous TICK records")
        written = _step(
            ticks, len(ticks), self.state, self.totals, self.parameter_record, self.signals
        )
        return self.signals[:written]

    def arm_stop(self, symbol: int, side: int, price: float) -> None:
        """Guard an open position: see `aegis.market.state.arm_stop`."""
        arm_stop(self.state, symbol, side, price)

    def disarm_stop(self, symbol: int) -> None:
        """Guard nothing: the position is closed."""
        disarm_stop(self.state, symbol)

    def row(self, symbol: int) -> np.void:
        """The live ROW of a symbol: a view, by field name, of what the step keeps writing."""
        row: np.void = self.state[symbol]
        return row

    def bars(self, symbol: int, last: int = HISTORY) -> NDArray[np.void]:
        """A copy of the last closed bars of a symbol, oldest first: at most `last`, and at most HISTORY, BAR records."""
        row = self.state[symbol]
        closed = int(row["bars"])
        first = max(0, closed - min(last, HISTORY))
        bars: NDArray[np.void] = row["history"][np.arange(first, closed) % HISTORY]
        check(bars.dtype == BAR, "history holds bars")
        return bars

    def counts(self) -> dict[str, int]:
        """What was taken and what was dropped, over all symbols: the counters of ROW and of TOTALS by their names.

        `ticks` is the sum of `quotes`, `trades`, `late`, `gaps` and `bad`; `strays` named no symbol and come on top.
        """
        totals = self.totals[0]
        counted = {name: int(self.state[name].sum()) for name in _COUNTS}
        return counted | {name: int(totals[name]) for name in TOTALS.names or ()}
