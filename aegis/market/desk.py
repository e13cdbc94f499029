"""A desk: one strategy at work on its symbols, without a loop or a clock. Tests and backtests use it as the engine does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aegis.errors import check
from aegis.market.analysis import Analysis
from aegis.market.bars import FLAG_BROKEN
from aegis.market.book_top import BookTops
from aegis.market.closings import CLOSING
from aegis.market.longer import LongerBars
from aegis.market.parameters import BarKind, Parameters
from aegis.market.plan import Plan
from aegis.market.strategy import Proposal, Strategy
from aegis.market.view import FLAT, Holding, View

__all__ = ["Desk", "decide"]


class Desk:
    """A strategy's instances, one a symbol, and an analysis of its own for what they see.

    The analysis takes the bars that the engine's step closes, in their order. So a view is of exactly the bar that it is given
    for, however far the step has come since, and no view is ever torn.

    Args:
        plan: the strategy.
        base: how the engine's own bars are made. The plan's are those, or a whole number of them long.
        books: where the tops of the order books are read, if there are any.
    """

    def __init__(self, plan: Plan, base: Parameters, books: BookTops | None = None) -> None:
        own = plan.analysis
        check(own.interval_ms % base.interval_ms == 0, "a longer bar is made of whole shorter ones")
        check(own.bar_kind == base.bar_kind, "bars of one kind are not made of another")
        self.plan: Final = plan
        self._books: Final = books
        self.holdings: Final[dict[str, Holding]] = {}
        self._rows = {symbol: row for row, symbol in enumerate(plan.symbols)}
        self._strategies: dict[str, Strategy[Any]] = {
            symbol: plan.kind(plan.parameters) for symbol in plan.symbols
        }
        self._analysis = Analysis(len(plan.symbols), own, rules=())
        self._due = [0] * len(plan.symbols)
        self._longer = None
        if own.bar_kind == BarKind.TIME and own.interval_ms != base.interval_ms:
            self._longer = LongerBars(len(plan.symbols), own.interval_ms, base.interval_ms)

    def views(self, symbol: str, closing: np.void) -> Iterator[View]:
        """Take a bar that the engine closed, and show each bar of the plan's own that is over with it: use one before the next.

        A bar after missing ones is broken: nothing is entered on it.

        Args:
            symbol: one of the plan's.
            closing: a CLOSING record, those of a symbol in their order.
        """
        row = self._rows[symbol]
        flags = 0 if closing["number"] == self._due[row] else FLAG_BROKEN
        self._due[row] = int(closing["number"]) + 1
        for own in self._own(row, closing, flags):
            self._analysis.take_closing(own, row)
            holding = self.holdings.get(symbol, FLAT)
            yield View(self._analysis, row, symbol, holding, self._books)

    def _own(self, row: int, closing: np.void, flags: int) -> Iterator[np.void]:
        if self._longer is not None:
            yield from self._longer.take(closing, row, flags)
            return
        if flags:
            marked = np.array([closing], CLOSING)
            marked["bar"]["flags"] |= flags
            closing = marked[0]
        yield closing

    def ask(self, view: View) -> Proposal | None:
        """What the strategy wants at the close of the view's bar.

        Raises:
            TypeError: it returned something else than a Proposal or None.
            RuntimeError: it wanted the program, or what runs it, to end. That is not for a strategy to decide.
            Exception: whatever the strategy fails with.
        """
        try:
            wanted: object = self._strategies[view.symbol].on_bar(view)
        except SystemExit as why:
            raise RuntimeError(f"on_bar wanted the program to end: exit({why.code!r})") from why
        except GeneratorExit as why:
            raise RuntimeError("on_bar wanted what runs it to end: GeneratorExit") from why
        if wanted is None or isinstance(wanted, Proposal):
            return wanted
        raise TypeError(f"on_bar returned {wanted!r}, not a Proposal or None")


def decide(plan: Plan, bars: Mapping[str, NDArray[np.void]]) -> list[tuple[str, int, Proposal]]:
    """Ask a strategy about bars that are there already, as if each symbol's had just closed one after the other.

    Args:
        plan: the strategy; its analysis says how long the bars are.
        bars: by symbol, BAR records, oldest first.

    Returns:
        Symbol, number of the bar, and proposal, in order of symbol and bar.
    """
    desk, found = Desk(plan, plan.analysis), []
    for symbol in plan.symbols:
        for number, bar in enumerate(bars[symbol]):
            closing = np.zeros(1, CLOSING)[0]
            closing["bar"], closing["number"] = bar, number
            for view in desk.views(symbol, closing):
                proposal = desk.ask(view)
                if proposal is not None:
                    found.append((symbol, number, proposal))
    return found
