from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import Broken, Rejected
from aegis.sim.book import Quote
from aegis.sim.catalogue import contract
from aegis.sim.exchange import Exchange
from aegis.sim.invariants import check_venue
from aegis.sim.order import ExpiryReason, NewOrder, OrderType, Side, Status, TimeInForce, Trade

BUY, SELL = Side.BUY, Side.SELL
EIGHT_HOURS = 8 * 3_600_000


def test_account_update_comes_before_the_order_updates(venue: Any) -> None:
    """One filled order is told as TRADE_LITE, ACCOUNT_UPDATE, NEW, TRADE, all with the same T."""
    venue.place(BUY, "0.1")
    names = [name for name, _ in venue.told_events]
    assert names == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE"]
    assert {event["T"] for _, event in venue.told_events} == {venue.now_ms}


def test_unfilled_order_changes_no_account(venue: Any) -> None:
    """Placing and cancelling without a fill sends no ACCOUNT_UPDATE."""
    venue.cancel(venue.place(BUY, "0.1", "59000"))
    assert {name for name, _ in venue.told_events} == {"ORDER_TRADE_UPDATE"}


def test_order_update_has_the_documented_fields(venue: Any) -> None:
    """A fill's ORDER_TRADE_UPDATE has the keys of the recorded event, and its amounts as plain strings."""
    venue.place(BUY, "0.1", client_id="mine-1")
    fields = venue.told_events[-1][1]["o"]
    recorded = "s c S o f q p ap sp x X i l z L n N T t b a m R wt ot ps cp rp pP si ss V pm gtd er"
    assert list(fields) == recorded.split()
    assert (fields["c"], fields["X"], fields["z"], fields["L"]) == (
        "mine-1",
        "FILLED",
        "0.1",
        "60000.1",
    )
    assert fields["n"] == "3.000005"


def test_account_update_holds_the_new_state(venue: Any) -> None:
    """ACCOUNT_UPDATE carries wallet and position after the fill."""
    venue.place(SELL, "0.1")
    update = next(event for name, event in venue.told_events if name == "ACCOUNT_UPDATE")["a"]
    assert update["m"] == "ORDER"
    assert update["B"][0]["wb"] == "9997.00000000"
    assert (update["P"][0]["pa"], update["P"][0]["ep"]) == ("-0.1", "60000")


def test_client_id_is_unique_among_open_orders_only(venue: Any) -> None:
    """A client id in use is refused with -4116, and free again once its order is closed."""
    order = venue.place(BUY, "0.1", "59000", client_id="a")
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "0.1", "59000", client_id="a", symbol="BTCUSDT")
    assert refusal.value.code == -4116
    venue.cancel(order)
    again = venue.place(BUY, "0.1", client_id="a")
    assert venue.exchange.order("BTCUSDT", None, "a") == again


def test_order_without_client_id_gets_one(venue: Any) -> None:
    """The venue names an order that came without a name."""
    order = venue.place(BUY, "0.1")
    assert len(order.client_id) == 22
    assert venue.exchange.order("BTCUSDT", None, order.client_id) == order


def test_reduce_only_needs_a_position(venue: Any) -> None:
    """Reduce-only orders that would open or enlarge are refused with -2022."""
    for side in Side:
        with pytest.raises(Rejected) as refusal:
            venue.place(side, "0.1", reduce_only=True)
        assert refusal.value.code == -2022
    venue.place(BUY, "0.1")
    with pytest.raises(Rejected):
        venue.place(BUY, "0.1", reduce_only=True)
    assert venue.place(SELL, "0.1", reduce_only=True).status is Status.FILLED
    assert venue.position() == 0


def test_reduce_only_orders_share_the_position(venue: Any) -> None:
    """A resting full-size reduce-only order makes a second one fail with -2022."""
    venue.place(BUY, "0.1")
    venue.place(SELL, "0.1", "61000", reduce_only=True)
    with pytest.raises(Rejected) as refusal:
        venue.place(SELL, "0.1", reduce_only=True)
    assert refusal.value.code == -2022


def test_reduce_only_is_knocked_out_when_the_position_shrinks(venue: Any) -> None:
    """A reduce-only order that the position no longer covers expires with er 4, after the trade that did it."""
    venue.place(BUY, "0.1")
    resting = venue.place(SELL, "0.1", "61000", reduce_only=True)
    venue.place(SELL, "0.05")
    gone = venue.now(resting)
    assert (gone.status, gone.expiry) == (Status.EXPIRED, ExpiryReason.REDUCE_ONLY)
    assert venue.told_events[-1][1]["o"]["er"] == "4"


def test_one_quote_cannot_close_a_position_twice(venue: Any) -> None:
    """Two closing orders reached by the same quote: the first fill knocks the reduce-only one out."""
    venue.place(BUY, "0.1")
    resting = venue.place(SELL, "0.1", "61000", reduce_only=True)
    venue.place(SELL, "0.1", "60900")
    venue.quote("61500", "61500.10")
    assert venue.position() == 0
    assert venue.now(resting).status is Status.EXPIRED


def test_margin_is_refused_when_insufficient(venue: Any) -> None:
    """An order beyond the wallet at its leverage is refused with -2019; a closing one never is."""
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "3.5")  # 210,000 USDT at 20x needs 10,500
    assert refusal.value.code == -2019
    venue.place(BUY, "3")
    venue.quote("57500.00", "57500.10", "5")  # most of the wallet is lost
    assert venue.place(SELL, "3").status is Status.FILLED


def test_open_orders_tie_up_margin(venue: Any) -> None:
    """Two orders that would each fit are refused together."""
    venue.place(BUY, "2", "59900")
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "2", "59900")
    assert refusal.value.code == -2019
    assert venue.place(SELL, "2", "60100").is_open  # the other side enlarges nothing beyond it


def test_position_limit_depends_on_leverage(venue: Any) -> None:
    """At 125x a position beyond 50,000 USDT is refused with -2027."""
    venue.exchange.set_leverage("BTCUSDT", 125, 0)
    with pytest.raises(Rejected) as refusal:
        venue.place(BUY, "0.9")
    assert refusal.value.code == -2027


def test_countdown_cancels_all_orders_of_its_symbol(venue: Any) -> None:
    """The dead man's switch cancels when it runs out, and not when it was armed again or disarmed."""
    order = venue.place(BUY, "0.1", "59000")
    other = venue.place(BUY, "0.1", "2600", symbol="ETHUSDT")
    venue.exchange.arm_countdown("BTCUSDT", 1000, 0)
    venue.exchange.arm_countdown("BTCUSDT", 5000, 500)
    venue.exchange.tick(1500)
    assert venue.now(order).is_open
    venue.exchange.tick(5500)
    assert venue.now(order).status is Status.CANCELED
    assert venue.now(other).is_open
    venue.exchange.arm_countdown("ETHUSDT", 10, 6000)
    venue.exchange.arm_countdown("ETHUSDT", 0, 6001)
    venue.exchange.tick(9000)
    assert venue.now(other).is_open


def test_longs_pay_shorts_at_each_full_eight_hours(venue: Any) -> None:
    """A ten-thousandth of the position's value at its mark, once, and its owner is told; who holds nothing pays nothing."""
    venue.place(BUY, "0.1")
    venue.place(SELL, "1", symbol="ETHUSDT")
    account, before = venue.exchange.account, venue.exchange.account.wallet
    venue.exchange.fund(EIGHT_HOURS - 10)
    venue.told_events.clear()
    venue.exchange.fund(EIGHT_HOURS + 5)
    venue.exchange.fund(EIGHT_HOURS + 15)
    marks = venue.exchange.marks()
    paid = [(each.symbol, each.amount, each.time_ms) for each in account.incomes]
    assert paid == [
        ("BTCUSDT", -(marks["BTCUSDT"] * Decimal("0.00001")), EIGHT_HOURS + 5),
        ("ETHUSDT", marks["ETHUSDT"] * Decimal("0.0001"), EIGHT_HOURS + 5),
    ]
    assert account.wallet == before + sum(amount for _, amount, _ in paid)
    event, told = venue.told_events[0]
    assert (event, told["a"]["m"], told["a"]["S"]) == ("ACCOUNT_UPDATE", "FUNDING_FEE", "BTCUSDT")
    assert Decimal(told["a"]["B"][0]["bc"]) == paid[0][1]
    venue.place(SELL, "0.1")
    venue.exchange.fund(9 * EIGHT_HOURS)  # somebody set the clock: the nights between have not been
    assert [each.symbol for each in account.incomes[2:]] == ["ETHUSDT"]
    venue.place(BUY, "1", symbol="ETHUSDT")
    venue.exchange.fund(10 * EIGHT_HOURS)
    assert len(account.incomes) == 3
    venue.check()


def test_transfers_move_the_wallet_and_no_position(venue: Any) -> None:
    """What the owner brings and takes away is his, and told."""
    venue.exchange.transferred(Decimal(500), venue.now_ms)
    venue.exchange.transferred(Decimal("-200.5"), venue.now_ms)
    assert venue.exchange.account.wallet == Decimal("10299.5")
    told = [event["a"] for name, event in venue.told_events if name == "ACCOUNT_UPDATE"]
    assert [(each["m"], each["P"]) for each in told] == [("DEPOSIT", []), ("WITHDRAW", [])]
    assert told[-1]["B"] == [
        {"a": "USDT", "wb": "10299.50000000", "cw": "10299.50000000", "bc": "-200.50000000"}
    ]
    venue.check()


def test_invariants_see_a_lost_cent(venue: Any) -> None:
    """The checker names what does not hold: wallet, double booking, fills of an order."""
    venue.place(BUY, "0.1")
    exchange = venue.exchange
    again = Trade(1, 1, "BTCUSDT", BUY, Decimal(1), Decimal(0), maker=False, time_ms=0)
    twice = [exchange.trades[0], again]
    with pytest.raises(Broken, match="booked once"):
        check_venue(exchange.account, exchange.orders, twice)
    with pytest.raises(Broken, match="wallet"):
        check_venue(exchange.account, exchange.orders, [])
    exchange.account.wallet += Decimal("0.01")
    with pytest.raises(Broken, match="wallet"):
        venue.check()


class Deaf:
    """A listener that listens to nothing."""

    def told(self, event: str, payload: bytes) -> None: ...

    def printed(self, trade: Trade) -> None: ...


actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"),
            st.sampled_from(Side),
            st.integers(1, 3_000),
            st.integers(-60, 60),
            st.sampled_from([*TimeInForce, None]),
            st.booleans(),
        ),
        st.tuples(st.just("quote"), st.integers(-40, 40), st.integers(1, 4), st.integers(1, 2_000)),
        st.tuples(
            st.just("trade"), st.integers(-40, 40), st.integers(1, 3_000), st.sampled_from(Side)
        ),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
    ),
    max_size=60,
)


def _act(exchange: Exchange, action: tuple[Any, ...], now_ms: int) -> None:
    def price(ticks: int) -> Decimal:
        return Decimal(60_000) + ticks * Decimal("0.1")

    match action:
        case ("place", side, steps, ticks, None, reduce_only):
            asked = NewOrder(
                "BTCUSDT", side, OrderType.MARKET, Decimal(steps) / 1000, reduce_only=reduce_only
            )
            exchange.place(asked, now_ms)
        case ("place", side, steps, ticks, time_in_force, reduce_only):
            asked = NewOrder(
                "BTCUSDT",
                side,
                OrderType.LIMIT,
                Decimal(steps) / 1000,
                price(ticks),
                time_in_force,
                reduce_only=reduce_only,
            )
            exchange.place(asked, now_ms)
        case ("quote", ticks, spread, steps):
            size = Decimal(steps) / 1000
            quote = Quote(price(ticks), size, price(ticks + spread), size)
            exchange.quoted("BTCUSDT", quote, now_ms)
        case ("trade", ticks, steps, side):
            exchange.traded("BTCUSDT", price(ticks), Decimal(steps) / 1000, side, now_ms, now_ms)
        case ("cancel", order_id):
            exchange.cancel("BTCUSDT", order_id, None, now_ms)


@settings(max_examples=200, deadline=None)
@given(actions)
def test_venue_keeps_its_books_whatever_happens(made: list[tuple[Any, ...]]) -> None:
    """After every command and market event the invariants hold, and reduce-only orders stay covered."""
    exchange = Exchange([contract("BTCUSDT")], Decimal(1_000_000), Deaf())
    exchange.quoted(
        "BTCUSDT", Quote(Decimal(60_000), Decimal(1), Decimal("60000.1"), Decimal(1)), 0
    )
    for now_ms, action in enumerate(made, start=1):
        try:
            _act(exchange, action, now_ms)
        except Rejected as refusal:
            assert refusal.code < -1000  # noqa: PT017  # a published code, nothing else
        check_venue(exchange.account, exchange.orders, exchange.trades)
        held = exchange.account.position("BTCUSDT").quantity
        for side in Side:
            closing = [
                each.remaining
                for each in exchange.open_orders()
                if each.asked.reduce_only and each.asked.side is side
            ]
            assert sum(closing, Decimal(0)) <= max(Decimal(0), -held * side.sign)
        assert [each.id for each in exchange.trades] == list(range(1, len(exchange.trades) + 1))
