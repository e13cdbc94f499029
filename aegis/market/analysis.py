"""The analysis: the compiled step with its arrays, for those who write Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aegis.compiled import entry_point
from aegis.errors import check
from aegis.market import commands
from aegis.market.bars import BAR, FLAG_BROKEN, HISTORY
from aegis.market.breakout import breakout_rule
from aegis.market.closings import MARK_FIELDS, QUOTE_FIELDS
from aegis.market.events import LOG
from aegis.market.parameters import Parameters
from aegis.market.records import TICK
from aegis.market.rules import Rule, place_rules
from aegis.market.signals import MAX_SIGNALS, OUTBOX
from aegis.market.state import empty_state, parameter_record
from aegis.market.step import step, take_bars

__all__ = ["Analysis"]

_step = entry_point(step)
_take_bars = entry_point(take_bars)
_obey = entry_point(commands.obey)

_TICK_COUNTS: Final = ("quotes", "trades", "early", "late", "gaps", "marks", "bad")
_BAR_COUNTS: Final = ("bars", "broken_bars")
_OUTBOX_COUNTS: Final = ("strays", "signals_lost", "closings_lost", "bars_refused")


class Analysis:
    """Everything known about every symbol, kept up by `step`.

    One thread steps. Reading from another is safe (rows never move), but may see a row half way through a tick.

    Args:
        symbols: how many; a tick's `symbol` indexes them.
        parameters: the same for all symbols.
        rules: compiled strategies that the step asks; the shipped `breakout`, unless told otherwise.
        signal_capacity: candidate signals that one step can return; entries beyond it are counted in `signals_lost`.
    """

    def __init__(
        self,
        symbols: int,
        parameters: Parameters | None = None,
        rules: Sequence[Rule] | None = None,
        *,
        signal_capacity: int = MAX_SIGNALS,
    ) -> None:
        check(0 < symbols <= 1 << 16, "a tick's symbol is 16 bits")
        check(0 < signal_capacity <= MAX_SIGNALS, "a step can return between one and MAX_SIGNALS")
        self.parameters: Final = parameters or Parameters()
        self.state: Final = empty_state(symbols)
        self.parameter_record: Final = parameter_record(self.parameters)
        self.outbox: Final = np.zeros(1, OUTBOX)
        self.outbox["capacity"] = signal_capacity
        if rules is None:
            rules = (breakout_rule(self.parameters.stop_atr, range(symbols)),)
        self.rules: Final = tuple(rules)  # kept: the step has their addresses only
        place_rules(self.rules, self.parameter_record, self.state)
        self.frozen: Final = self.state.view()  # for those who only look
        self.frozen.flags.writeable = False
        self._one_symbol, self._one_bar = np.zeros(1, np.uint16), np.zeros(1, BAR)
        self.signals: Final[NDArray[np.void]] = self.outbox["signals"][0]

    def step(self, ticks: NDArray[np.void]) -> NDArray[np.void]:
        """Take ticks, in order of arrival, and return the candidate signals they made.

        Args:
            ticks: a contiguous TICK array of any length; a read-only view is fine. It is not kept.

        Returns:
            A view of SIGNAL records, valid until the next call.
        """
        check(ticks.dtype == TICK and ticks.flags.c_contiguous, "ticks are contiguous TICK records")
        written = _step(ticks, len(ticks), self.state, self.parameter_record, self.outbox)
        return self.signals[:written]

    def take_bars(self, symbols: NDArray[np.uint16], bars: NDArray[np.void]) -> NDArray[np.void]:
        """Take closed bars as they are: an exchange's own candles, from before the first bar made of ticks or for all.

        Args:
            symbols: the symbol of each bar.
            bars: a contiguous BAR array; those of one symbol in order of time. One that is not possible, or not between
                the symbol's last closed bar and the forming one, is dropped and counted in `bars_refused`.

        Returns:
            A view of SIGNAL records, valid until the next call.
        """
        check(bars.dtype == BAR and bars.flags.c_contiguous, "bars are contiguous BAR records")
        check(symbols.dtype == np.uint16 and symbols.flags.c_contiguous, "symbols are uint16")
        check(len(symbols) == len(bars), "each bar has a symbol")
        written = _take_bars(
            bars, symbols, len(bars), self.state, self.parameter_record, self.outbox
        )
        return self.signals[:written]

    def follow(self, symbols: Sequence[int]) -> None:
        """Write down each bar that closes in these rows: see `closings`."""
        self.state["followed"][list(symbols)] = 1

    def closings(self) -> NDArray[np.void]:
        """A copy of the CLOSING records that the last call wrote, in the order in which the bars closed."""
        outbox = self.outbox[0]
        closings: NDArray[np.void] = outbox["closings"][: outbox["closed"]].copy()
        return closings

    def take_closing(self, closing: np.void, symbol: int) -> None:
        """Take a bar that another analysis closed: with the same parameters, the row is then what it was over there.

        Args:
            closing: a CLOSING record.
            symbol: the row to take it into; the closing's own number is the other analysis'.
        """
        row = self.state[symbol]
        for name in (*QUOTE_FIELDS, *MARK_FIELDS):
            row[name] = closing[name]
        row["recv_us"] = closing["recv_us"]
        row["flow"]["running"] = closing["order_flow"]
        self._one_symbol[0] = symbol
        self._one_bar[0] = closing["bar"]
        self.take_bars(self._one_symbol, self._one_bar)

    def break_all(self) -> None:
        """Ticks are lost, and nobody knows whose: the bars that form, and where none does the next ones, may miss trades."""
        self.state["gap"] = FLAG_BROKEN
        self.state["forming"]["flags"] |= FLAG_BROKEN

    def obey(self, orders: NDArray[np.void]) -> None:
        """Do what is told besides ticks: see `aegis.market.commands`. `closings` are then those of past bars.

        Args:
            orders: a contiguous COMMAND array.
        """
        check(
            orders.dtype == commands.COMMAND and orders.flags.c_contiguous,
            "commands are COMMAND records",
        )
        _obey(orders, len(orders), self.state, self.parameter_record, self.outbox)

    def begin_bars_at(self, symbol: int, begin_ns: int) -> None:
        """Make bars from a time on: see `aegis.market.commands.begin_bars_at`."""
        self.obey(commands.begin_bars_at(symbol, begin_ns))

    def break_bar(self, symbol: int) -> None:
        """Say that bars before are missing: see `aegis.market.commands.break_bar`."""
        self.obey(commands.break_bar(symbol))

    def arm_stop(self, symbol: int, side: int, price: float, target: float | None = None) -> None:
        """Guard an open position: see `aegis.market.commands.arm_stop`."""
        self.obey(commands.arm_stop(symbol, side, price, target))

    def disarm_stop(self, symbol: int) -> None:
        """Guard nothing: the position is closed."""
        self.obey(commands.disarm_stop(symbol))

    def row(self, symbol: int) -> np.void:
        """The live ROW of a symbol: a view, by field name, of what the step keeps writing."""
        row: np.void = self.state[symbol]
        return row

    def bars(self, symbol: int, last: int = HISTORY) -> NDArray[np.void]:
        """A copy of the last closed bars of a symbol, oldest first: at most `last`, and at most HISTORY, BAR records."""
        row = self.state[symbol]
        return _newest(row["history"], int(row["bars"]), last)

    def events(self, symbol: int, last: int = LOG) -> NDArray[np.void]:
        """A copy of the last structure events of a symbol, oldest first: at most `last`, and at most LOG, EVENT records.

        `row(symbol)["structure"]["events"]["written"]` counts all there ever were, so a reader that remembers it knows
        how many are new, and whether it has missed some.
        """
        events = self.state[symbol]["structure"]["events"]
        return _newest(events["ring"], int(events["written"]), last)

    def counts(self) -> dict[str, int]:
        """What was taken and what was dropped, over all symbols: the counters of ROW and of OUTBOX by their names.

        `ticks` is the sum of `quotes`, `trades`, `early`, `late`, `gaps`, `marks` and `bad`; `strays` named no symbol and
        come on top.
        """
        ticks = {name: int(self.state[name].sum()) for name in _TICK_COUNTS}
        bars = {name: int(self.state[name].sum()) for name in _BAR_COUNTS}
        return (
            {"ticks": sum(ticks.values())}
            | ticks
            | bars
            | {name: int(self.outbox[0][name]) for name in _OUTBOX_COUNTS}
        )


def _newest(ring: NDArray[np.void], written: int, last: int) -> NDArray[np.void]:
    """The last records written into a ring, oldest first."""
    first = max(0, written - min(last, len(ring)))
    newest: NDArray[np.void] = ring[np.arange(first, written) % len(ring)]
    return newest
