"""What a REST endpoint is: who may call it, what it weighs, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import attrs

from aegis.sim.exchange import Exchange
from aegis.sim.listen_keys import ListenKeys
from aegis.sim.params import Params

__all__ = ["Answer", "Desk", "Endpoint", "Security", "Table"]


class Security(Enum):
    """What a caller has to show (protocol §7.1)."""

    NONE = auto()
    KEY = auto()
    SIGNED = auto()


@attrs.frozen
class Desk:
    """What endpoints work on."""

    exchange: Exchange
    listen_keys: ListenKeys


Answer = Callable[[Desk, Params, int], object]  # (desk, parameters, now in ms) -> JSON


@attrs.frozen
class Endpoint:
    """One method of one path."""

    answer: Answer
    security: Security = Security.NONE
    weight: int | Callable[[Params], int] = 1
    places_order: bool = False

    def weigh(self, params: Params) -> int:
        """Return the IP weight of a call (§9)."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


Table = dict[tuple[str, str], Endpoint]  # (method, path) -> endpoint
