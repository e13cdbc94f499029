from __future__ import annotations

import pytest

from aegis.ops.summary import is_fed


@pytest.mark.parametrize(
    ("ticks", "restarts", "duration_s", "fed"),
    [
        (1, 0, 3600.0, True),
        (1, 3, 0.5, True),
        (0, 0, 9.9, True),
        (0, 0, 10.0, False),
        (0, 1, 0.5, True),
        (0, 2, 0.5, False),
    ],
)
def test_run_without_a_tick_is_not_fed(
    ticks: int, restarts: int, duration_s: float, fed: bool
) -> None:
    """A run that heard nothing of the market is no good one, unless it was short and nothing had failed twice."""
    assert is_fed(ticks, restarts, duration_s) is fed
