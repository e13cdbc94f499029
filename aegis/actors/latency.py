"""A latency record of fixed size: exact quantiles of the latest samples, and the worst of all."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import attrs

__all__ = ["Latency", "LatencyReport"]

_KEPT: Final = 8192


@attrs.frozen
class LatencyReport:
    """Quantiles in us; 0 where nothing was measured."""

    p50: int
    p99: int
    max: int


class Latency:
    """Samples in us. `add` allocates nothing."""

    def __init__(self) -> None:
        self._samples = array("q", bytes(8 * _KEPT))
        self._added = 0
        self._max = 0

    def add(self, latency_us: int) -> None:
        """Count one sample."""
        self._samples[self._added % _KEPT] = latency_us
        self._added += 1
        self._max = max(self._max, latency_us)

    def report(self) -> LatencyReport:
        """The quantiles of the samples kept."""
        kept: Sequence[int] = sorted(self._samples[: min(self._added, _KEPT)])
        if not kept:
            return LatencyReport(0, 0, 0)
        last = len(kept) - 1
        return LatencyReport(kept[last // 2], kept[last * 99 // 100], self._max)
