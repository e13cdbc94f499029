from __future__ import annotations

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Broken
from aegis.orders.instrument import Side
from aegis.orders.order import Trade
from aegis.orders.payment import LATE_MS, Payment
from aegis.orders.portfolio import Portfolio, Position

prices = st.integers(1, 10_000).map(lambda n: Decimal(n) / 100)
quantities = st.integers(1, 1_000).map(lambda n: Decimal(n) / 1000)
trades = st.lists(st.tuples(st.sampled_from(Side), quantities, prices), max_size=30)


def trade(number: int, side: Side, quantity: Decimal, price: Decimal) -> Trade:
    fee = quantity * price * Decimal("0.0005")
    return Trade("ETHUSDT", number, f"aegis-1-{number}", side, quantity, price, fee, "USDT", 0)


def booked(rows: list[tuple[Side, Decimal, Decimal]]) -> Portfolio:
    portfolio = Portfolio(wallet=Decimal(1000))
    for number, row in enumerate(rows, 1):
        assert portfolio.book(trade(number, *row))
    return portfolio


@given(trades)
def test_portfolio_position_is_the_sum_of_its_trades(
    rows: list[tuple[Side, Decimal, Decimal]],
) -> None:
    """Nothing but trades moves a position."""
    expected = sum((side.sign * quantity for side, quantity, _ in rows), Decimal(0))
    assert booked(rows).position("ETHUSDT").quantity == expected


@given(trades, prices)
def test_portfolio_conserves_money(
    rows: list[tuple[Side, Decimal, Decimal]], mark: Decimal
) -> None:
    """Wallet plus what closing would bring equals the start plus every cash flow, at any price."""
    portfolio = booked(rows)
    cash = sum((-side.sign * quantity * price for side, quantity, price in rows), Decimal(0))
    held = portfolio.position("ETHUSDT").quantity * mark
    equity = portfolio.wallet + portfolio.unrealised({"ETHUSDT": mark})
    assert abs(equity - (1000 + cash + held - portfolio.fees)) < Decimal("1e-18")


def test_a_fee_in_another_asset_is_not_taken_off_this_wallet() -> None:
    """0.00008 BNB are no 0.00008 USDT, and not out of the same purse."""
    portfolio = Portfolio(wallet=Decimal(1000))
    rows = ("BNB", "0.00008"), ("BNB", "0.00002"), ("USDT", "0.5")
    for number, (asset, fee) in enumerate(rows, 1):
        made = trade(number, Side.BUY, Decimal(1), Decimal(10))
        portfolio.book(attrs.evolve(made, fee=Decimal(fee), fee_asset=asset))
    assert (portfolio.wallet, portfolio.fees) == (Decimal("999.5"), Decimal("0.5"))
    assert portfolio.other_fees == {"BNB": Decimal("0.00010")}


@pytest.mark.parametrize(
    ("symbol", "asset", "in_wallet"),
    [("ETHUSDT", "USDT", True), ("BTCUSDT_261225", "USDT", True), ("ETHUSDC", "USDC", False)],
)
def test_only_what_is_margined_in_the_kept_asset_moves_the_wallet(
    symbol: str, asset: str, *, in_wallet: bool
) -> None:
    """A contract of another asset, traded by hand on the same account, has a position here and its money elsewhere."""
    portfolio = Portfolio(wallet=Decimal(1000))
    for number, (side, price) in enumerate(((Side.BUY, 10), (Side.SELL, 12)), 1):
        made = trade(number, side, Decimal(1), Decimal(price))
        portfolio.book(attrs.evolve(made, symbol=symbol, fee=Decimal("0.5"), fee_asset=asset))
    gained = Decimal(2) if in_wallet else Decimal(0)
    fees = Decimal(1) if in_wallet else Decimal(0)
    assert (portfolio.realised, portfolio.fees) == (gained, fees)
    assert portfolio.wallet == 1000 + gained - fees
    assert portfolio.other_fees == ({} if in_wallet else {"USDC": Decimal(1)})


def test_money_that_moves_without_a_trade_is_booked_once() -> None:
    """Funding and transfers change the wallet and no profit."""
    portfolio = Portfolio()
    portfolio.adopt(Decimal(1000), {}, at_ms=10)
    funding = Payment("FUNDING_FEE 1", "ETHUSDT", Decimal("-0.25"), 11)
    brought = Payment("TRANSFER 1", "", Decimal(50), 12)
    assert [portfolio.pay(each) for each in (funding, brought, funding)] == [True, True, False]
    assert (portfolio.wallet, portfolio.paid) == (Decimal("1049.75"), Decimal("49.75"))
    assert portfolio.realised == portfolio.fees == 0
    portfolio.adopt(Decimal(1), {}, at_ms=20)
    assert (portfolio.wallet, portfolio.paid) == (Decimal(1), Decimal(0))


def test_what_was_paid_before_the_account_was_adopted_is_in_it() -> None:
    """What was told of by then, and what is older. A funding reaches the wallet up to a minute after its hour."""
    portfolio, at_ms = Portfolio(), 1_000_000
    portfolio.adopt(Decimal(1000), {}, at_ms, ["FUNDING_FEE 1"])
    told = Payment("FUNDING_FEE 1", "ETHUSDT", Decimal(1), at_ms - 20_000)
    late = Payment("FUNDING_FEE 2", "BTCUSDT", Decimal(2), at_ms - 20_000)
    old = Payment("TRANSFER 2", "", Decimal(4), at_ms - LATE_MS)
    assert [portfolio.pay(each) for each in (told, late, old)] == [False, True, False]
    assert portfolio.wallet == Decimal(1002)


@given(trades)
def test_portfolio_books_a_repeated_trade_once(
    rows: list[tuple[Side, Decimal, Decimal]],
) -> None:
    """A reconnect that repeats history changes nothing."""
    portfolio = booked(rows)
    before = (portfolio.wallet, dict(portfolio.positions), portfolio.fees)
    again = [portfolio.book(trade(number, *row)) for number, row in enumerate(rows, 1)]
    assert not any(again)
    assert (portfolio.wallet, portfolio.positions, portfolio.fees) == before


@pytest.mark.parametrize(
    ("held", "change", "price", "after", "realised"),
    [
        (("0", "0"), "2", "100", ("2", "100"), "0"),
        (("2", "100"), "2", "110", ("4", "105"), "0"),
        (("4", "105"), "-1", "115", ("3", "105"), "10"),
        (("3", "105"), "-3", "100", ("0", "0"), "-15"),
        (("2", "100"), "-5", "90", ("-3", "90"), "-20"),
        (("-2", "100"), "1", "95", ("-1", "100"), "5"),
        (("-1", "100"), "4", "102", ("3", "102"), "-2"),
    ],
)
def test_position_follows_the_exchange_arithmetic(
    held: tuple[str, str], change: str, price: str, after: tuple[str, str], realised: str
) -> None:
    """Adding moves the average, reducing realises, flipping does both (protocol §16.3)."""
    position, profit = Position(*map(Decimal, held)).after(Decimal(change), Decimal(price))
    assert position == Position(*map(Decimal, after))
    assert profit == Decimal(realised)


def test_portfolio_refuses_an_impossible_trade() -> None:
    """A trade without quantity or price is a bug, not money."""
    with pytest.raises(Broken):
        Portfolio().book(trade(1, Side.BUY, Decimal(0), Decimal(1)))
