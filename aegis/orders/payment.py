"""Payments: money that comes or goes without a trade, funding above all."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import attrs

__all__ = ["LATE_MS", "Payment"]

LATE_MS: Final = 120_000
"""A payment is of a moment, as a funding of its hour, and may reach the wallet a minute later (protocol §16.6)."""


@attrs.frozen
class Payment:
    """One change of the wallet that no trade of ours made."""

    payment_id: str
    """What the exchange calls it: its kind, and its number in that."""
    symbol: str
    """Empty where it belongs to none, as a transfer does."""
    amount: Decimal
    """Signed: below zero for what was paid."""
    event_ms: int
