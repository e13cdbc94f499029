from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from aegis.errors import Rejected
from aegis.sim.order import (
    ExpiryReason,
    NewOrder,
    OrderType,
    SelfTrade,
    Side,
    Status,
    TimeInForce,
)

BUY, SELL = Side.BUY, Side.SELL


def test_market_order_fills_at_the_touch(venue: Any) -> None:
    """A small MARKET order fills whole at the best ask, with NEW before TRADE."""
    order = venue.place(BUY, "0.5")
    assert (order.status, order.average_price) == (Status.FILLED, Decimal("60000.10"))
    assert venue.steps() == [("NEW", "NEW"), ("TRADE", "FILLED")]


def test_market_order_walks_the_levels(venue: Any) -> None:
    """Beyond the touch a taker fills level by level, one trade and one contiguous id each."""
    order = venue.place(BUY, "3")
    fills = [(each.price, each.quantity) for each in venue.exchange.trades]
    assert fills == [
        (Decimal("60000.1"), 1),
        (Decimal("60000.2"), Decimal("0.999")),
        (Decimal("60000.3"), Decimal("1.001")),
    ]
    assert [each.id for each in venue.exchange.trades] == [1, 2, 3]
    assert order.status is Status.FILLED
    assert venue.steps()[-2:] == [("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")]


def test_taken_size_is_gone_until_the_next_quote(venue: Any) -> None:
    """What one order took from the touch is not there for the next, but is again after a quote."""
    venue.place(BUY, "1")
    assert venue.place(BUY, "0.5").average_price == Decimal("60000.20")
    venue.quote("60000.00", "60000.10")
    assert venue.place(BUY, "0.5").average_price == Decimal("60000.10")


def test_market_order_expires_at_the_collar(venue: Any) -> None:
    """What a MARKET order cannot fill inside its collar expires with er 9."""
    matcher = venue.exchange.listing("BTCUSDT").matcher
    order = matcher.admit(NewOrder("BTCUSDT", BUY, OrderType.MARKET, Decimal(3)), 0)
    *_, last = matcher.submit(order, Decimal("60000.20"), 0)
    assert (last.order.status, last.order.executed) == (Status.EXPIRED, Decimal("1.999"))
    assert last.order.expiry is ExpiryReason.MARKET_REMAINDER


def test_limit_order_rests_behind_the_market(venue: Any) -> None:
    """A passive LIMIT order stays NEW and fills nothing."""
    order = venue.place(BUY, "1", "59990.00")
    assert order.status is Status.NEW
    assert venue.exchange.open_orders() == [order]


def test_limit_order_takes_up_to_its_price_then_rests(venue: Any) -> None:
    """A crossing LIMIT order takes what is inside its price and rests with the remainder."""
    order = venue.place(BUY, "3", "60000.10")
    assert (order.status, order.executed) == (Status.PARTIALLY_FILLED, 1)
    assert venue.steps() == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED")]
    assert venue.cancel(order).status is Status.CANCELED
    assert venue.now(order).executed == 1


def test_resting_order_waits_for_the_queue_ahead(venue: Any) -> None:
    """At the touch the quoted size trades first: only what a trade has beyond it fills the order."""
    order = venue.place(BUY, "0.4", "60000.00")
    venue.trade("60000.00", "0.9", SELL)
    assert venue.now(order).executed == 0
    venue.trade("60000.00", "0.3", SELL)
    assert venue.now(order).executed == Decimal("0.2")
    venue.trade("60000.00", "5", SELL)
    assert venue.now(order).status is Status.FILLED
    assert {each.maker for each in venue.exchange.trades} == {True}


def test_queue_ahead_never_grows(venue: Any) -> None:
    """A smaller quoted size shortens the queue; a larger one later does not lengthen it."""
    order = venue.place(BUY, "0.4", "60000.00")
    venue.quote("60000.00", "60000.10", "0.1")
    venue.quote("60000.00", "60000.10", "9")
    venue.trade("60000.00", "0.5", SELL)
    assert venue.now(order).status is Status.FILLED


def test_queue_is_kept_while_the_touch_is_better(venue: Any) -> None:
    """Behind the touch nothing new is known of the queue; once the touch has retired behind the order, it is gone."""
    order = venue.place(BUY, "0.4", "60000.00")
    venue.quote("60000.50", "60000.60", "0.1")
    venue.trade("60000.00", "0.5", SELL)
    assert venue.now(order).executed == 0
    venue.quote("59999.00", "60000.60", "5")
    venue.trade("60000.00", "0.1", SELL)
    assert venue.now(order).executed == Decimal("0.1")


def test_order_inside_the_spread_has_no_queue(venue: Any) -> None:
    """An order better than the touch is first in line."""
    venue.quote("60000.00", "60001.00")
    order = venue.place(SELL, "0.4", "60000.50")
    venue.trade("60000.50", "0.4", BUY)
    assert venue.now(order).status is Status.FILLED


def test_trade_through_fills_at_the_order_price(venue: Any) -> None:
    """A trade beyond the order's price fills it at its own price, for the trade's quantity at most."""
    order = venue.place(BUY, "2", "59990.00")
    venue.trade("59980.00", "0.5", SELL)
    assert venue.now(order).executed == Decimal("0.5")
    assert venue.now(order).average_price == Decimal("59990.00")


def test_crossing_quote_fills_at_the_order_price(venue: Any) -> None:
    """When the opposite quote reaches the order, it fills at its own price for the quoted size at most."""
    order = venue.place(BUY, "1.5", "59990.00")
    venue.quote("59980.00", "59985.00", "1")
    assert venue.now(order).executed == 1
    venue.quote("59980.00", "59990.00", "1")
    assert venue.now(order).status is Status.FILLED
    assert venue.now(order).average_price == Decimal("59990.00")


def test_own_orders_share_a_trade_by_price_then_age(venue: Any) -> None:
    """The better order is served first, then the older; the queue between them is eaten once."""
    venue.quote("59000.00", "60000.10")
    old = venue.place(BUY, "1", "59990.00")
    young = venue.place(BUY, "1", "59990.00")
    best = venue.place(BUY, "1", "59995.00")
    venue.trade("59990.00", "2.5", SELL)
    filled = [venue.now(each).executed for each in (best, old, young)]
    assert filled == [1, 1, Decimal("0.5")]


def test_ioc_expires_its_remainder(venue: Any) -> None:
    """An IOC order keeps what it filled and expires the rest with er 2."""
    order = venue.place(BUY, "3", "60000.10", time_in_force=TimeInForce.IOC)
    assert (order.status, order.executed) == (Status.EXPIRED, 1)
    assert order.expiry is ExpiryReason.IOC_REMAINDER
    assert venue.steps()[-1] == ("EXPIRED", "EXPIRED")


def test_fok_fills_whole_or_is_turned_down(venue: Any) -> None:
    """A FOK order that cannot fill is rejected with -5021, without event or history."""
    assert venue.place(BUY, "1", "60000.10", time_in_force=TimeInForce.FOK).status is Status.FILLED
    told = len(venue.told_events)
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "2", "60000.10", time_in_force=TimeInForce.FOK)
    assert refusal.value.code == -5021
    assert len(venue.told_events) == told
    assert len(list(venue.exchange.orders)) == 1


def test_gtx_never_takes(venue: Any) -> None:
    """A post-only order that would cross is rejected with -5022; one that would not rests."""
    with pytest.raises(Rejected) as refusal:
        venue.place(SELL, "1", "60000.00", time_in_force=TimeInForce.GTX)
    assert refusal.value.code == -5022
    assert venue.place(SELL, "1", "60000.10", time_in_force=TimeInForce.GTX).is_open


def test_cancel_of_a_closed_order_is_unknown(venue: Any) -> None:
    """Cancelling what is filled, cancelled or never was answers -2011."""
    filled = venue.place(BUY, "0.1")
    for order_id in (filled.id, 999):
        with pytest.raises(Rejected) as refusal:
            venue.exchange.cancel("BTCUSDT", order_id, None, 0)
        assert refusal.value.code == -2011


def test_order_ids_increase_per_symbol(venue: Any) -> None:
    """Each symbol counts its own orders."""
    ids = [venue.place(BUY, "0.1").id, venue.place(BUY, "0.1").id]
    other = venue.place(BUY, "0.1", symbol="ETHUSDT").id
    assert (ids, other) == ([1, 2], 1)


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        (SelfTrade.EXPIRE_MAKER, Status.EXPIRED_IN_MATCH, Status.FILLED),
        (SelfTrade.EXPIRE_TAKER, Status.NEW, Status.EXPIRED_IN_MATCH),
        (SelfTrade.EXPIRE_BOTH, Status.EXPIRED_IN_MATCH, Status.EXPIRED_IN_MATCH),
        (SelfTrade.NONE, Status.NEW, Status.FILLED),
    ],
)
def test_own_orders_never_trade_with_each_other(
    venue: Any, mode: SelfTrade, maker: Status, taker: Status
) -> None:
    """When a taker would meet an own order, the taker's mode says which of them expires."""
    resting = venue.place(SELL, "0.5", "60000.20")
    order = venue.place(BUY, "1.5", "60000.20", self_trade=mode)
    assert (venue.now(resting).status, order.status) == (maker, taker)
    if taker is Status.EXPIRED_IN_MATCH:
        assert order.executed == 1
