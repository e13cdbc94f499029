"""The state of the analysis: one contiguous row a symbol."""

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from aegis.market.bars import BAR, FLAG_BROKEN, HISTORY
from aegis.market.features import FEATURES
from aegis.market.flow import FLOW
from aegis.market.indicators import INDICATORS, VALUES
from aegis.market.lines import in_lines, zeros_in_lines
from aegis.market.parameters import Parameters, fields_of
from aegis.market.recent import RECENT
from aegis.market.session import SESSION, SESSION_VALUES
from aegis.market.structure import STRUCTURE
from aegis.market.weights import WEIGHTS, weights_of

__all__ = [
    "MAX_RULES",
    "PARAMETERS",
    "ROW",
    "RULE",
    "empty_state",
    "parameter_record",
]

ROW: Final = in_lines(
    [
        # Of the ticks, a cache line that only quotes read and write,
        ("bid", "<f8"),  # best bid and ask of the last quote, 0 before the first
        ("ask", "<f8"),
        ("bid_size", "<f8"),
        ("ask_size", "<f8"),
        ("flow", FLOW),
        ("quotes", "<i8"),
        # one that trades do as well,
        ("stop_long", "<f8"),  # armed stop of a long position, -inf while none is armed
        ("stop_short", "<f8"),  # of a short position, +inf while none is armed
        ("target_long", "<f8"),  # armed target of a long position, +inf while none is armed
        ("target_short", "<f8"),  # of a short position, -inf while none is armed
        ("event_ns", "<i8"),  # newest event time seen
        ("recv_us", "<u4"),  # receive stamp of the last tick
        ("symbol", "<u2"),  # the number of this row
        ("gap", "<u2"),  # FLAG_BROKEN from a GAP, and from the beginning, to the next trade
        ("trade_ns", "<i8"),  # newest event time of a trade
        ("trades", "<i8"),  # merged into a bar
        # and two that only trades do: the second one holds what a close looks at first as well.
        ("end_ns", "<i8"),  # end of the forming bar: a trade at or after it closes the bar
        ("begin_ns", "<i8"),  # where the first bar made here begins: before it the exchange's
        ("price", "<f8"),  # of the last trade
        ("forming", BAR),  # none while it has no trades
        ("start_ns", "<i8"),  # of the forming bar, or end of the last: before it is late
        ("closed_ns", "<i8"),  # end of the last closed bar: no other begins before it
        ("bars", "<i8"),  # closed ones
        # What is rare.
        ("broken_bars", "<i8"),  # of the closed ones, with FLAG_BROKEN
        ("mark", "<f8"),  # the exchange's own valuation, 0 before the first
        ("index", "<f8"),
        ("funding_rate", "<f8"),  # the last one
        ("funding_ms", "<i8"),  # time of the next funding, 0 for none
        ("early", "<i8"),  # before `begin_ns`: in no bar made here
        ("late", "<i8"),  # before the forming bar: dropped
        ("gaps", "<i8"),
        ("marks", "<i8"),
        ("bad", "<i8"),  # impossible values: dropped
        # What a closed bar reads and writes.
        ("session", SESSION),
        ("rules", "<u4"),  # bit n: rule n is asked at each close
        ("followed", "<u4"),  # 1 where each close is written down as a CLOSING
        ("indicators", INDICATORS),
        ("features", FEATURES),
        ("recent", RECENT),
        ("structure", STRUCTURE),
        ("history", BAR, (HISTORY,)),
    ]
)


MAX_RULES: Final = 32
"""Rules that one step can ask."""

RULE: Final = np.dtype(
    [
        ("address", "<i8"),  # of the compiled function
        ("parameters", "<i8"),  # address of its own parameters
        ("number", "<i8"),  # by which its signals are known
    ]
)

PARAMETERS: Final = np.dtype(
    [*fields_of(Parameters), ("weights", WEIGHTS), ("rules", RULE, (MAX_RULES,))]
)


def parameter_record(parameters: Parameters) -> NDArray[np.void]:
    """The parameters as the compiled step reads them: a PARAMETERS array of length 1, without rules."""
    record = np.zeros(1, PARAMETERS)
    for field in attrs.fields(Parameters):
        record[field.name] = getattr(parameters, field.name)
    record["weights"] = weights_of(parameters)
    return record


def empty_state(symbols: int) -> NDArray[np.void]:
    """The state before the first tick: a ROW array of `symbols` rows, with no stop armed and nothing warm."""
    state = zeros_in_lines(symbols, ROW)
    state["symbol"] = np.arange(symbols)
    state["gap"] = FLAG_BROKEN  # the first bar began before anybody listened
    state["stop_long"] = -math.inf
    state["stop_short"] = math.inf
    state["target_long"] = math.inf
    state["target_short"] = -math.inf
    state["flow"]["queue"] = math.nan
    for name in SESSION_VALUES:
        state["session"][name] = math.nan
    indicators = state["indicators"]
    for name in VALUES:
        indicators[name] = math.nan
    structure = state["structure"]
    structure["place"] = math.nan
    structure["swings"]["edge"] = math.inf
    for zones in ("blocks", "imbalances"):
        structure[zones]["nearest"] = -math.inf
        structure[zones]["trigger"] = -math.inf
    structure["pools"]["trigger"] = math.inf
    return state
