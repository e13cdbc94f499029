from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from aegis.venue.pace import Pace


@given(st.integers(1, 10), st.lists(st.integers(0, 3_000), max_size=80))
def test_no_window_holds_more_than_the_limit(limit: int, pauses_ms: list[int]) -> None:
    """However the askers come, no second sees more than is allowed, and nobody waits without need."""
    pace, now_s = Pace(limit, 1.0), 0.0
    turns: list[float] = []
    for pause_ms in pauses_ms:
        now_s += pause_ms / 1000
        at_s = now_s + pace.take(now_s)
        assert at_s >= (turns[-1] if turns else 0.0)
        if at_s > now_s:
            assert abs(at_s - (turns[-limit] + 1.0)) < 1e-9
        turns.append(at_s)
        now_s = at_s
    for number, at_s in enumerate(turns):
        assert bisect_left(turns, at_s + 1.0 - 1e-9) - number <= limit
