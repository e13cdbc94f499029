from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs
import pytest

from aegis.errors import Rejected
from aegis.sim.catalogue import contract
from aegis.sim.contract import Contract
from aegis.sim.listing import Listing
from aegis.sim.order import OrderType, SelfTrade, Side, TimeInForce
from aegis.sim.order_form import read_order
from aegis.sim.params import Params

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("side", "quantity", "price", "code"),
    [
        (BUY, "0.1", "60000.123", -1111),
        (BUY, "0.1234", "60000", -1111),
        (BUY, "0.1", "0", -4001),
        (BUY, "0.1", "600", -4013),
        (SELL, "0.1", "7000000", -4002),
        (BUY, "0.1", "60000.05", -4014),
        (BUY, "0", "60000", -4003),
        (BUY, "1000.001", "60000", -4005),
        (BUY, "120.001", None, -4005),  # the limit for MARKET orders is lower
        (BUY, "0.1", "63000.1", -4016),
        (SELL, "0.1", "56999.9", -4024),
        (BUY, "0.001", "60000", -4164),
    ],
)
def test_filter_refuses(
    venue: Any, side: Side, quantity: str, price: str | None, code: int
) -> None:
    """Each filter answers with its published code, and nothing has changed."""
    with pytest.raises(Rejected) as refusal:
        venue.place(side, quantity, price)
    assert (refusal.value.code, refusal.value.status) == (code, 400)
    assert venue.told_events == []


def test_quantity_filters_hold_where_the_step_is_coarse(venue: Any) -> None:
    """A quantity below one step, or between two, is refused with -4004 and -4023."""
    listing = venue.exchange.listing("BTCUSDT")
    listing.contract = attrs.evolve(listing.contract, step=Decimal("0.010"))
    for quantity, code in (("0.005", -4004), ("0.015", -4023)):
        with pytest.raises(Rejected) as refusal:
            venue.place(BUY, quantity, "60000")
        assert refusal.value.code == code


def test_market_order_is_refused_when_the_touch_is_far(venue: Any) -> None:
    """A MARKET order whose counterparty stands outside PERCENT_PRICE is refused with -4131."""
    venue.quote("50000", "60000")
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "0.1")
    assert refusal.value.code == -4131


def test_reduce_only_is_exempt_from_min_notional(venue: Any) -> None:
    """A position below the least notional can still be closed."""
    venue.place(BUY, "0.101")
    venue.place(SELL, "0.1", reduce_only=True)
    assert venue.place(SELL, "0.001", reduce_only=True).executed == Decimal("0.001")


def test_open_orders_are_limited(venue: Any) -> None:
    """One order more than MAX_NUM_ORDERS is refused with -2025."""
    listing = venue.exchange.listing("BTCUSDT")
    listing.contract = attrs.evolve(listing.contract, max_open_orders=2)
    venue.place(BUY, "0.01", "59000")
    venue.place(BUY, "0.01", "59000")
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "0.01", "59000")
    assert refusal.value.code == -2025


def test_unquoted_symbol_has_no_book() -> None:
    """Before the first quote an order is refused with -1112."""
    with pytest.raises(Rejected) as refusal:
        _ = Listing(contract("BTCUSDT")).quote
    assert refusal.value.code == -1112


def test_contract_prices_have_the_ticks_own_decimals() -> None:
    """A tick written 0.10 shows two decimals though it has one that counts."""
    made = Contract(
        "XUSDT", Decimal("0.10"), Decimal("0.001"), Decimal(60_000), Decimal(1000), Decimal(120)
    )
    assert (made.price_places, made.quantity_places) == (2, 3)
    assert (made.min_price, made.max_price) == (Decimal(600), Decimal(6_000_000))
    assert (made.base_asset, made.quote_asset) == ("X", "USDT")


LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=9000"


def test_order_form_reads_all_fields() -> None:
    """Every parameter of the order endpoint lands in the order."""
    extra = "&newClientOrderId=a.B:c/9_-&reduceOnly=true&selfTradePreventionMode=EXPIRE_BOTH"
    asked = read_order(Params((LIMIT + extra).encode(), b""))
    assert (asked.symbol, asked.side, asked.type) == ("BTCUSDT", BUY, OrderType.LIMIT)
    assert (asked.quantity, asked.price) == (Decimal(1), Decimal(9000))
    assert asked.time_in_force is TimeInForce.GTC
    assert (asked.client_id, asked.reduce_only) == ("a.B:c/9_-", True)
    assert asked.self_trade is SelfTrade.EXPIRE_BOTH


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (LIMIT.replace("symbol=BTCUSDT&", ""), -1102),
        (LIMIT.replace("quantity=1", "quantity="), -1105),
        (LIMIT.replace("quantity=1", "quantity=1e3"), -1100),
        (LIMIT.replace("quantity=1", "quantity=-1"), -1100),
        (LIMIT.replace("&quantity=1", ""), -1102),
        (LIMIT.replace("&price=9000", ""), -1102),
        (LIMIT.replace("&timeInForce=GTC", ""), -1102),
        (LIMIT.replace("GTC", "GTX2"), -1115),
        (LIMIT.replace("LIMIT", "LIMITED"), -1116),
        (LIMIT.replace("BUY", "LONG"), -1117),
        (LIMIT.replace("LIMIT", "STOP_MARKET"), -4120),
        (LIMIT.replace("LIMIT", "MARKET"), -1106),
        (LIMIT + "&positionSide=LONG", -4061),
        (LIMIT + "&positionSide=UP", -4060),
        (LIMIT + "&newClientOrderId=" + "x" * 37, -4015),
        (LIMIT + "&newClientOrderId=a%20b", -1100),
        (LIMIT + "&priceMatch=QUEUE", -1130),
        (LIMIT + "&selfTradePreventionMode=SOMETIMES", -1130),
        (LIMIT + "&reduceOnly=maybe", -1102),
        (LIMIT + "&x=%FF", -1100),
    ],
)
def test_order_form_refuses(query: str, code: int) -> None:
    """What is missing, malformed or not wanted is refused with its published code."""
    with pytest.raises(Rejected) as refusal:
        read_order(Params(query.encode(), b""))
    assert refusal.value.code == code


def test_query_wins_over_body() -> None:
    """A parameter named in query and body has the query's value."""
    params = Params(b"a=1&b=2", b"b=3&c=4")
    assert dict(params) == {"a": "1", "b": "2", "c": "4"}
