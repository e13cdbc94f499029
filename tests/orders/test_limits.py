from __future__ import annotations

from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.orders.exposure import Exposure
from aegis.orders.instrument import Instrument, Side
from aegis.orders.limits import Limits, Reason, Refusal, Wish, closing_tickets, judge
from aegis.orders.order import Ticket

BTC = Instrument(
    symbol="BTCUSDT",
    tick_size=Decimal("0.10"),
    min_price=Decimal("556.80"),
    max_price=Decimal(4529764),
    step_size=Decimal("0.001"),
    min_quantity=Decimal("0.001"),
    max_quantity=Decimal(120),
    min_notional=Decimal(100),
)
LONG = Wish(1, "BTCUSDT", Side.BUY, Decimal(50_000), Decimal(49_000), data_age_us=100)
EXIT = Wish(2, "BTCUSDT", None, Decimal(50_000), None, data_age_us=100)


def verdict(wish: Wish = LONG, exposure: Exposure | None = None, **limits: Any) -> Ticket | Refusal:
    return judge(wish, BTC, exposure or Exposure(), Limits(**limits))


def holding(quantity: str) -> Exposure:
    exposure = Exposure()
    exposure.hold("BTCUSDT", Decimal(quantity))
    return exposure


def reason(given: Ticket | Refusal) -> Reason:
    assert isinstance(given, Refusal)
    return given.reason


def test_limits_approve_an_entry_of_the_configured_worth() -> None:
    """A good wish becomes a ticket on the step, with the names of what it passed."""
    ticket = verdict()
    assert isinstance(ticket, Ticket)
    assert (ticket.side, ticket.quantity, ticket.reduce_only) == (Side.BUY, Decimal("0.020"), False)
    assert ticket.checks == (
        *("in_flight", "data_age", "position_held", "stop_side", "target_side", "prices"),
        *("min_notional", "max_quantity", "max_notional", "max_position", "max_gross"),
    )


def test_limits_pass_on_the_target_and_the_strategy() -> None:
    """A ticket says where the position takes its profit and who wanted it; a closing one, who wanted that."""
    ticket = verdict(attrs.evolve(LONG, target_price=Decimal(50_001), strategy="smc"))
    assert isinstance(ticket, Ticket)
    assert (ticket.target_price, ticket.strategy) == (Decimal(50_001), "smc")
    closing = verdict(attrs.evolve(EXIT, strategy="smc"), holding("0.02"))
    assert isinstance(closing, Ticket)
    assert (closing.target_price, closing.strategy) == (None, "smc")


def test_limits_turn_an_opposite_position_with_one_order() -> None:
    """Being short and wanting to be long takes the position and the entry together."""
    ticket = verdict(exposure=holding("-0.02"))
    assert isinstance(ticket, Ticket)
    assert ticket.quantity == Decimal("0.040")


@pytest.mark.parametrize(
    ("wish", "exposure", "limits", "expected"),
    [
        (attrs.evolve(LONG, data_age_us=1_000_001), None, {}, Reason.STALE_DATA),
        (LONG, holding("0.01"), {}, Reason.POSITION_HELD),
        (attrs.evolve(LONG, stop_price=Decimal(50_000)), None, {}, Reason.STOP_ON_WRONG_SIDE),
        (attrs.evolve(LONG, target_price=Decimal(50_000)), None, {}, Reason.TARGET_ON_WRONG_SIDE),
        (attrs.evolve(LONG, stop_price=Decimal("556.70")), None, {}, Reason.NO_SUCH_PRICE),
        (attrs.evolve(LONG, stop_price=Decimal(0)), None, {}, Reason.NO_SUCH_PRICE),
        (attrs.evolve(LONG, target_price=Decimal(4529765)), None, {}, Reason.NO_SUCH_PRICE),
        (LONG, None, {"order_notional": Decimal(99)}, Reason.DUST),
        (LONG, None, {"order_quantity_max": Decimal("0.019")}, Reason.MAX_QUANTITY),
        (LONG, None, {"order_notional_max": Decimal(999)}, Reason.MAX_NOTIONAL),
        (LONG, None, {"position_notional_max": Decimal(999)}, Reason.MAX_POSITION),
        (LONG, None, {"gross_notional_max": Decimal(999)}, Reason.MAX_GROSS),
        (EXIT, None, {}, Reason.NOTHING_TO_CLOSE),
        (EXIT, holding("0.0005"), {}, Reason.DUST),
        # It was reversed while the exit was on its way: what is held now has a stop of its own.
        (attrs.evolve(EXIT, closes=Side.BUY), holding("-0.02"), {}, Reason.NOTHING_TO_CLOSE),
        (attrs.evolve(EXIT, closes=Side.SELL), holding("0.02"), {}, Reason.NOTHING_TO_CLOSE),
    ],
)
def test_limits_refuse_with_the_reason(
    wish: Wish, exposure: Exposure | None, limits: dict[str, Any], expected: Reason
) -> None:
    """Each rule says no by its own name."""
    assert reason(verdict(wish, exposure, **limits)) is expected


def test_limits_refuse_while_an_order_may_still_fill() -> None:
    """One order a symbol at a time, an order of unknown fate included."""
    exposure = Exposure()
    exposure.reserve("BTCUSDT", "aegis-1-1", Decimal("0.02"))
    assert reason(verdict(exposure=exposure)) is Reason.IN_FLIGHT
    exposure.reserve("BTCUSDT", "aegis-1-1", Decimal(0))
    assert isinstance(verdict(exposure=exposure), Ticket)


def test_limits_let_an_exit_pass_on_stale_data() -> None:
    """What reduces risk is not held up by the age of the data."""
    late = attrs.evolve(EXIT, data_age_us=10_000_000)
    ticket = verdict(late, holding("0.02"))
    assert isinstance(ticket, Ticket)
    assert (ticket.side, ticket.quantity, ticket.reduce_only) == (Side.SELL, Decimal("0.020"), True)


def test_limits_gross_counts_what_other_symbols_may_become() -> None:
    """Orders elsewhere that may still fill use up the gross limit before they do."""
    exposure = Exposure()
    exposure.value_at("ETHUSDT", Decimal(2000))
    exposure.reserve("ETHUSDT", "aegis-1-1", Decimal(-5))
    assert (
        reason(verdict(exposure=exposure, gross_notional_max=Decimal(10_999))) is Reason.MAX_GROSS
    )
    assert isinstance(verdict(exposure=exposure, gross_notional_max=Decimal(11_000)), Ticket)


def test_closing_tickets_flatten_every_position() -> None:
    """The end of a run needs one reduce-only order a position, and none for what is flat."""
    exposure = holding("-0.5")
    exposure.hold("ETHUSDT", Decimal(0))
    (ticket,) = closing_tickets(exposure, {"BTCUSDT": BTC})
    assert isinstance(ticket, Ticket)
    assert (ticket.side, ticket.quantity, ticket.reduce_only) == (Side.BUY, Decimal("0.500"), True)


@given(st.decimals(Decimal("0.0001"), Decimal(500), places=6))
def test_instrument_rounds_a_quantity_down_to_the_step(quantity: Decimal) -> None:
    """A quantity is never rounded up: a close would open the other side."""
    whole = BTC.whole_quantity(quantity)
    assert whole <= quantity
    assert whole == 0 or BTC.min_quantity <= whole <= BTC.max_quantity
    assert (whole / BTC.step_size) % 1 == 0


@given(st.decimals(Decimal(600), Decimal(90_000), places=4), st.sampled_from(Side))
def test_instrument_rounds_a_price_to_the_passive_side(price: Decimal, side: Side) -> None:
    """A limit price on the tick is never more aggressive than the one asked for."""
    rounded = BTC.passive_price(side, price)
    assert ((rounded - BTC.min_price) / BTC.tick_size) % 1 == 0
    assert (price - rounded) * side.sign >= 0
    assert abs(price - rounded) < BTC.tick_size
