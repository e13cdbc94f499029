from __future__ import annotations

from decimal import Decimal

import pytest

from aegis.sim.amounts import mean, money, padded, plain, truncated
from aegis.sim.margin import (
    BRACKETS,
    bracket_at,
    fee,
    initial_margin,
    largest_notional,
    liquidation_price,
    maintenance_margin,
)


@pytest.mark.parametrize(
    ("quantity", "price", "maker", "expected"),
    [
        ("800", "0.006567", False, "0.0026268"),
        ("800", "0.00665", True, "0.001064"),
        ("760", "0.00666", False, "0.0025308"),
        ("40", "0.00666", False, "0.0001332"),
    ],
)
def test_fee_equals_recorded_fills(quantity: str, price: str, maker: bool, expected: str) -> None:
    """The commission is the one that Binance charged in recorded fills."""
    assert fee(Decimal(quantity), Decimal(price), maker=maker) == Decimal(expected)


def test_margin_equals_documented_samples() -> None:
    """Initial margin is cut to 8 decimals as in the documented COMPUSDT position."""
    assert initial_margin(Decimal("49.72023376"), 20) == Decimal("2.48601168")


def test_maintenance_margin_takes_the_bracket() -> None:
    """Maintenance margin is rate times notional less the bracket's cumulative amount."""
    assert maintenance_margin(Decimal(50_000)) == Decimal(200)
    assert maintenance_margin(Decimal(60_000)) == Decimal(250)  # 60000 * 0.005 - 50


def test_brackets_follow_the_recorded_recurrence() -> None:
    """The cumulative amounts are those recorded for BTCUSDT."""
    assert [each.cumulative for each in BRACKETS[:5]] == [0, 50, 950, 11_450, 131_450]
    assert bracket_at(Decimal(50_000)).number == 1
    assert bracket_at(Decimal("50000.01")).number == 2
    assert bracket_at(Decimal(10**10)) is BRACKETS[-1]


def test_largest_notional_shrinks_with_leverage() -> None:
    """A higher leverage allows a smaller position."""
    assert largest_notional(125) == 50_000
    assert largest_notional(20) == 100_000_000
    assert largest_notional(1) == 1_800_000_000


@pytest.mark.parametrize(
    ("wallet", "quantity", "entry", "expected"),
    [
        ("1000", "0.1", "50000", "40160.64257028"),
        ("1000", "-0.1", "50000", "59760.95617530"),
        ("50000", "20", "60000", "57828.38449925"),
        ("100000", "-30", "60000", "62955.78738202"),
    ],
)
def test_liquidation_price_equals_golden_vectors(
    wallet: str, quantity: str, entry: str, expected: str
) -> None:
    """The liquidation price is where margin balance meets maintenance margin, in the right bracket."""
    assert abs(
        liquidation_price(Decimal(quantity), Decimal(entry), Decimal(wallet)) - Decimal(expected)
    ) <= Decimal("1e-8")


def test_liquidation_price_of_a_covered_position_is_zero() -> None:
    """A long that the wallet covers whole has no liquidation price."""
    assert liquidation_price(Decimal("0.1"), Decimal(50_000), Decimal(10_000)) == 0


def test_amounts_are_written_without_exponent() -> None:
    """The stream strips zeros, REST pads them, and neither writes an exponent."""
    assert plain(Decimal("0.0066100")) == "0.00661"
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("-0.0")) == "0"
    assert padded(Decimal("0.1"), 3) == "0.100"
    assert padded(Decimal("-0.0004"), 3) == "0.000"
    assert money(Decimal("1.234567899")) == "1.23456789"
    assert mean(Decimal(1) / 3) == "0.333333333333"
    assert truncated(Decimal("-0.123456789")) == Decimal("-0.12345678")
