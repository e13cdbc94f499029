"""Sessions: UTC periods (a day, unless told otherwise), for what traders anchor to them.

A bar belongs to the session in which it starts. VWAP is warm with the first trade of a session, high and low with its first bar,
those of the session before from the first bar of the second session on.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from aegis.compiled import inlined

__all__ = ["SESSION", "SESSION_VALUES", "update_session"]

SESSION_VALUES: Final = ("vwap", "high", "low", "previous_high", "previous_low")
"""The fields of SESSION that are NaN until they are known."""

SESSION: Final = np.dtype(
    [
        ("end_ns", "<i8"),
        ("vwap", "<f8"),  # value over volume of the session's trades; NaN while nothing has traded
        ("high", "<f8"),  # of the session so far
        ("low", "<f8"),
        ("previous_high", "<f8"),  # of the last session that had a bar; NaN during the first one
        ("previous_low", "<f8"),
        ("value", "<f8"),
        ("volume", "<f8"),
    ],
    align=True,
)


@inlined
def update_session(session: Any, bar: Any, period_ns: int) -> None:
    """Take a closed bar."""
    if bar.start_ns >= session.end_ns:
        session.end_ns = bar.start_ns - bar.start_ns % period_ns + period_ns
        session.previous_high = session.high
        session.previous_low = session.low
        session.high = bar.high
        session.low = bar.low
        session.value = 0.0
        session.volume = 0.0
    session.high = max(session.high, bar.high)
    session.low = min(session.low, bar.low)
    session.value += bar.value
    session.volume += bar.volume
    session.vwap = session.value / session.volume  # numpy's rule: 0 / 0 is NaN
