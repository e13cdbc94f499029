"""Funding: what longs pay shorts every eight hours, and the other money that moves without a trade (protocol §16.6)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import attrs

from aegis.sim.amounts import truncated

__all__ = ["FUNDING_RATE", "Income", "IncomeKind", "funding", "next_funding_ms"]

FUNDING_RATE: Final = Decimal("0.00010000")
"""Of the position's value, at each funding: positive, so longs pay."""
_FUNDING_MS: Final = 8 * 3_600_000


class IncomeKind(StrEnum):
    """Why the wallet changed, as `income` names it."""

    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    TRANSFER = "TRANSFER"


@attrs.frozen
class Income:
    """A change of the wallet that no trade made."""

    id: int
    kind: IncomeKind
    symbol: str
    """Empty for a transfer."""
    amount: Decimal
    """Signed: below zero for what was paid."""
    time_ms: int


def next_funding_ms(now_ms: int) -> int:
    """Return the next full eight hours UTC."""
    return now_ms - now_ms % _FUNDING_MS + _FUNDING_MS


def funding(quantity: Decimal, mark: Decimal) -> Decimal:
    """Return what a signed position gets at a funding: below zero where it pays."""
    return truncated(-quantity * mark * FUNDING_RATE)
