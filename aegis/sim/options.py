"""How an exchange is to be: everything that the command line and tests can choose."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import attrs

from aegis.sim.catalogue import DEFAULT_SYMBOLS
from aegis.sim.connection import SocketTerms
from aegis.sim.credentials import PAPER_KEY, PAPER_SECRET
from aegis.sim.market import TapeRate

__all__ = ["MAX_SPEED", "ExchangeOptions"]

MAX_SPEED = math.inf


@attrs.frozen(kw_only=True)
class ExchangeOptions:
    """A venue with a synthetic market, or with the recordings' market if there are any."""

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    seed: int = 0
    symbols: tuple[str, ...] = DEFAULT_SYMBOLS
    recordings: tuple[Path, ...] = ()
    speed: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))  # of a replay
    starting_balance: Decimal = Decimal(10_000)
    api_key: str = PAPER_KEY
    api_secret: str = attrs.field(default=PAPER_SECRET, repr=False)
    rate: TapeRate = attrs.field(factory=TapeRate)
    load: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    """Ticks a second of an even market, for measuring; 0: a lively one."""
    sockets: SocketTerms = attrs.field(factory=SocketTerms)
    weight_a_minute: int = 2400
