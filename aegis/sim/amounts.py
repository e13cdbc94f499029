"""Exact decimal amounts: how the venue rounds them and how it writes them."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

__all__ = ["ZERO", "mean", "money", "padded", "plain", "truncated"]

ZERO = Decimal(0)
_MONEY = Decimal("0.00000001")
_MEAN = Decimal("0.000000000001")


def truncated(amount: Decimal) -> Decimal:
    """Cut an amount of the margin asset to 8 decimals, towards zero (protocol §16.2)."""
    return amount.quantize(_MONEY, rounding=ROUND_DOWN)


def plain(amount: Decimal) -> str:
    """Write a number as the user stream does: no exponent, no trailing zero."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def mean(amount: Decimal) -> str:
    """Write an average price: like `plain`, cut to 12 decimals, as a quotient may never end."""
    return plain(amount.quantize(_MEAN, rounding=ROUND_DOWN))


def padded(amount: Decimal, places: int) -> str:
    """Write a number as REST does: exactly `places` decimals, the rest cut off."""
    return format(amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN) + ZERO, "f")


def money(amount: Decimal) -> str:
    """Write an amount of the margin asset with its 8 decimals."""
    return padded(amount, 8)
