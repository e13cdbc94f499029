from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.sim.account import Account, Position
from aegis.sim.order import Side, Trade


def trade(side: Side, quantity: str, price: str, *, maker: bool = False) -> Trade:
    """Make a fill of BTCUSDT."""
    return Trade(1, 1, "BTCUSDT", side, Decimal(price), Decimal(quantity), maker, 0)


def test_position_increases_at_the_mean_price() -> None:
    """Adding to a position averages its entry and realises nothing."""
    account = Account(Decimal(1000))
    account.book(trade(Side.BUY, "1", "100"))
    booked = account.book(trade(Side.BUY, "3", "104"))
    assert booked.realised == 0
    assert account.position("BTCUSDT").entry == Decimal(103)


def test_position_reduces_at_its_entry() -> None:
    """Closing a part realises profit against the entry, which stays."""
    account = Account(Decimal(1000))
    account.book(trade(Side.SELL, "4", "100"))
    booked = account.book(trade(Side.BUY, "1", "90"))
    assert booked.realised == Decimal(10)
    assert account.position("BTCUSDT").quantity == Decimal(-3)
    assert account.position("BTCUSDT").entry == Decimal(100)


def test_position_flips_at_the_trade_price() -> None:
    """A fill larger than the position closes it and opens the rest on the other side at the fill's price."""
    account = Account(Decimal(1000))
    account.book(trade(Side.BUY, "1", "100"))
    booked = account.book(trade(Side.SELL, "3", "110"))
    assert booked.realised == Decimal(10)
    assert account.position("BTCUSDT").quantity == Decimal(-2)
    assert account.position("BTCUSDT").entry == Decimal(110)


def test_wallet_moves_by_profit_less_fee() -> None:
    """The wallet is its start plus realised profit less fees, maker and taker rates apart."""
    account = Account(Decimal(1000))
    first = account.book(trade(Side.BUY, "2", "100"))
    second = account.book(trade(Side.SELL, "2", "110", maker=True))
    assert (first.fee, second.fee) == (Decimal("0.1"), Decimal("0.044"))
    assert account.wallet == Decimal(1000) + 20 - Decimal("0.144")


@pytest.mark.parametrize(
    ("position", "rate", "expected"),
    [
        (Position(Decimal(800), Decimal("0.006567")), "0.0005", "0.0065702835"),
        (Position(Decimal(-1), Decimal("70.92841")), "0.0004", "70.900038636"),
    ],
)
def test_break_even_equals_recorded_values(position: Position, rate: str, expected: str) -> None:
    """The break-even price is the entry moved by the opening commission, as recorded and documented."""
    paid = Position(position.quantity, position.entry, paid_rate=Decimal(rate))
    assert paid.break_even == Decimal(expected)


@pytest.mark.parametrize(
    ("quantity", "entry", "mark", "expected"),
    [("30", "0.385", "0.41047590", "0.764277"), ("-1", "70.92841", "49.72023376", "21.20817624")],
)
def test_unrealised_profit_equals_documented_samples(
    quantity: str, entry: str, mark: str, expected: str
) -> None:
    """Unrealised profit is quantity times (mark - entry)."""
    assert Position(Decimal(quantity), Decimal(entry)).unrealised(Decimal(mark)) == Decimal(
        expected
    )


fills = st.lists(
    st.tuples(
        st.sampled_from(Side), st.integers(1, 5_000), st.integers(1, 9_999_999), st.booleans()
    ),
    max_size=40,
)


@given(fills)
def test_account_agrees_with_cash_and_inventory(
    made: list[tuple[Side, int, int, bool]],
) -> None:
    """Whatever the fills, equity is the start plus cash flow plus inventory at the mark, less fees."""
    account = Account(Decimal(1_000_000))
    cash, inventory, fees = Fraction(0), Fraction(0), Fraction(0)
    for side, steps, ticks, maker in made:
        quantity, price = Decimal(steps).scaleb(-3), Decimal(ticks).scaleb(-2)
        booked = account.book(Trade(1, 1, "BTCUSDT", side, price, quantity, maker, 0))
        cash -= side.sign * Fraction(quantity) * Fraction(price)
        inventory += side.sign * Fraction(quantity)
        fees += Fraction(booked.fee)
        assert Fraction(booked.fee) <= Fraction(quantity * price) / 2000
    mark = Decimal("54321.09")
    expected = 1_000_000 + cash + inventory * Fraction(mark) - fees
    assert Fraction(account.position("BTCUSDT").quantity) == inventory
    # Each fill may cut off less than 1e-8 of realised profit; the entry price has 28 digits.
    assert abs(Fraction(account.equity({"BTCUSDT": mark})) - expected) < Fraction(
        len(made) + 1, 10**7
    )


@given(fills)
def test_flat_position_has_no_entry(made: list[tuple[Side, int, int, bool]]) -> None:
    """An account that closes what it holds is flat, with entry 0 and no unrealised profit."""
    account = Account(Decimal(0))
    for side, steps, ticks, maker in made:
        account.book(Trade(1, 1, "BTCUSDT", side, Decimal(ticks), Decimal(steps), maker, 0))
    held = account.position("BTCUSDT")
    if held.quantity:
        side = Side.SELL if held.quantity > 0 else Side.BUY
        account.book(
            Trade(1, 1, "BTCUSDT", side, Decimal(7), abs(held.quantity), maker=False, time_ms=0)
        )
    flat = account.position("BTCUSDT")
    assert {flat.quantity, flat.entry, flat.unrealised(Decimal(9))} == {Decimal(0)}


def test_exposure_counts_the_worse_side() -> None:
    """Open orders tie up margin only as far as they can enlarge the position."""
    account = Account(Decimal(1000))
    account.book(trade(Side.BUY, "1", "100"))
    exposure = account.exposure("BTCUSDT", Decimal(100), [])
    assert (exposure.position_margin, exposure.order_margin) == (Decimal(5), Decimal(0))
    assert exposure.maintenance == Decimal("0.4")
