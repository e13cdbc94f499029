"""Fees, margin and liquidation in exact decimals (protocol §16.2, §16.4 and §16.5)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import attrs

from aegis.sim.amounts import ZERO, truncated

__all__ = [
    "BRACKETS",
    "MAKER_RATE",
    "TAKER_RATE",
    "Bracket",
    "bracket_at",
    "fee",
    "initial_margin",
    "largest_notional",
    "liquidation_price",
    "maintenance_margin",
]

MAKER_RATE = Decimal("0.0002")
TAKER_RATE = Decimal("0.0005")


@attrs.frozen
class Bracket:
    """One notional bracket of a symbol: what leverage it allows and what it asks for maintenance."""

    number: int
    leverage: int
    floor: Decimal
    cap: Decimal
    rate: Decimal
    cumulative: Decimal


def _ladder(*rows: tuple[int, str, str]) -> tuple[Bracket, ...]:
    """Build brackets from (leverage, cap, maintenance rate), by cum_k = cum_{k-1} + floor_k * (rate_k - rate_{k-1})."""
    brackets = [Bracket(1, rows[0][0], ZERO, Decimal(rows[0][1]), Decimal(rows[0][2]), ZERO)]
    for number, (below, row) in enumerate(pairwise(rows), start=2):
        floor, rate = Decimal(below[1]), Decimal(row[2])
        cumulative = brackets[-1].cumulative + floor * (rate - Decimal(below[2]))
        brackets.append(Bracket(number, row[0], floor, Decimal(row[1]), rate, cumulative))
    return tuple(brackets)


# The first five are BTCUSDT's as recorded; the venue uses one ladder for all its symbols.
BRACKETS = _ladder(
    (125, "50000", "0.004"),
    (100, "600000", "0.005"),
    (75, "3000000", "0.0065"),
    (50, "12000000", "0.01"),
    (25, "70000000", "0.02"),
    (20, "100000000", "0.025"),
    (10, "230000000", "0.05"),
    (5, "480000000", "0.1"),
    (2, "1200000000", "0.25"),
    (1, "1800000000", "0.5"),
)


def fee(quantity: Decimal, price: Decimal, *, maker: bool) -> Decimal:
    """Compute the commission of a fill, cut to 8 decimals."""
    return truncated(quantity * price * (MAKER_RATE if maker else TAKER_RATE))


def bracket_at(notional: Decimal, brackets: Sequence[Bracket] = BRACKETS) -> Bracket:
    """Find the bracket that holds a notional: floor < notional <= cap; the last one holds all above."""
    return next((each for each in brackets if notional <= each.cap), brackets[-1])


def largest_notional(leverage: int, brackets: Sequence[Bracket] = BRACKETS) -> Decimal:
    """Return the largest position notional that a leverage allows."""
    return max(each.cap for each in brackets if each.leverage >= leverage)


def initial_margin(notional: Decimal, leverage: int) -> Decimal:
    """Compute the margin that a notional ties up at a leverage, cut to 8 decimals."""
    return truncated(notional / leverage)


def maintenance_margin(notional: Decimal, brackets: Sequence[Bracket] = BRACKETS) -> Decimal:
    """Compute the maintenance margin of a position's notional, cut to 8 decimals."""
    bracket = bracket_at(notional, brackets)
    return truncated(notional * bracket.rate - bracket.cumulative)


def liquidation_price(
    quantity: Decimal,
    entry: Decimal,
    balance: Decimal,
    brackets: Sequence[Bracket] = BRACKETS,
) -> Decimal:
    """Compute the mark price at which margin balance equals maintenance margin (one-way, §16.5).

    Args:
        quantity: the signed position.
        entry: its average entry price.
        balance: wallet, less the maintenance margin and plus the unrealised profit of the other positions.
        brackets: the symbol's ladder; the answer's own notional decides which bracket counts.

    Returns:
        The price cut to 8 decimals; 0 where no positive price liquidates the position.
    """
    size = abs(quantity)
    for bracket in brackets:
        weight = size * bracket.rate - quantity
        if not weight:
            continue
        price = (balance + bracket.cumulative - quantity * entry) / weight
        if bracket.floor < size * price <= bracket.cap:
            return truncated(price)
    return ZERO
