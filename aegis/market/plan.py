"""A plan: one strategy, as a run is to use it."""

from __future__ import annotations

from typing import Any

import attrs

from aegis.market.parameters import Parameters
from aegis.market.strategy import Strategy

__all__ = ["Plan"]


@attrs.frozen
class Plan:
    """What to ask, about which symbols, and on which bars.

    Attributes:
        name: by which its signals are known.
        kind: the strategy's class.
        parameters: of the strategy, an instance of its `parameters_type`.
        symbols: that it looks at.
        analysis: of its bars, indicators and structure.
    """

    name: str
    kind: type[Strategy[Any]]
    parameters: Any
    symbols: tuple[str, ...]
    analysis: Parameters
