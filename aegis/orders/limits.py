"""The limits: what turns a wish to trade into a ticket, or into a refusal with its reason.

Pure: a judgement is a function of the wish, the limits, the exposure and the age of the data. A `Ticket` is made
nowhere else, so an order that was not judged cannot be expressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Final

import attrs
from attrs.validators import ge, gt, le

from aegis.orders.exposure import Exposure
from aegis.orders.instrument import Instrument, Side
from aegis.orders.order import Ticket

__all__ = ["Limits", "Reason", "Refusal", "Wish", "closing_tickets", "judge"]

ZERO = Decimal(0)
_AMOUNT: Final = [gt(ZERO), le(Decimal(10) ** 15)]
"""Nobody has more, and the arithmetic of orders stays far from where it overflows."""
_DATA_AGE_MS: Final = [ge(1), le(3_600_000)]
"""At most an hour: receive stamps begin again after 71 minutes, so no greater age is known."""


class Reason(Enum):
    """Why a wish was refused."""

    HALTED = "halted"
    NOT_READY = "not_ready"
    STALE_DATA = "stale_data"
    IN_FLIGHT = "in_flight"
    POSITION_HELD = "position_held"
    NOTHING_TO_CLOSE = "nothing_to_close"
    DUST = "dust"
    MAX_QUANTITY = "max_quantity"
    MAX_NOTIONAL = "max_notional"
    MAX_POSITION = "max_position"
    MAX_GROSS = "max_gross"
    STOP_ON_WRONG_SIDE = "stop_on_wrong_side"
    TARGET_ON_WRONG_SIDE = "target_on_wrong_side"
    NO_SUCH_PRICE = "no_such_price"


@attrs.frozen
class Refusal:
    """A wish that a rule turned down: a value, not an exception."""

    reason: Reason
    detail: str


@attrs.frozen
class Limits:
    """The bounds of one account, in the quote asset where money is meant."""

    order_notional: Decimal = attrs.field(default=Decimal(1000), validator=_AMOUNT)
    """What an entry is worth."""
    order_quantity_max: Decimal = attrs.field(default=Decimal(10_000_000), validator=_AMOUNT)
    order_notional_max: Decimal = attrs.field(default=Decimal(5000), validator=_AMOUNT)
    position_notional_max: Decimal = attrs.field(default=Decimal(2000), validator=_AMOUNT)
    """Per symbol, of the position as it would be with everything filled."""
    gross_notional_max: Decimal = attrs.field(default=Decimal(20_000), validator=_AMOUNT)
    """Over all symbols."""
    data_age_ms_max: int = attrs.field(default=1000, validator=_DATA_AGE_MS)


@attrs.frozen
class Wish:
    """What a signal asks for: to hold a side, or (`side` None) to hold nothing."""

    signal_id: int
    symbol: str
    side: Side | None
    price: Decimal
    stop_price: Decimal | None
    data_age_us: int
    target_price: Decimal | None = None
    strategy: str = ""
    closes: Side | None = None
    """With no side: which position is to be given up; None for whatever is held."""


def judge(
    wish: Wish, instrument: Instrument, exposure: Exposure, limits: Limits
) -> Ticket | Refusal:
    """Judge a wish by every rule, in order; the first that says no decides."""
    if exposure.is_working(wish.symbol):
        return Refusal(Reason.IN_FLIGHT, f"an order of {wish.symbol} may still fill")
    checks = ["in_flight"]
    if wish.side is None:  # what reduces risk is not held up by the age of the data
        return _judge_exit(wish, instrument, exposure, checks)
    if wish.data_age_us > limits.data_age_ms_max * 1000:
        return Refusal(Reason.STALE_DATA, f"the data is {wish.data_age_us} us old")
    checks.append("data_age")
    return _judge_entry(wish, wish.side, instrument, exposure, limits, checks)


def _judge_exit(
    wish: Wish, instrument: Instrument, exposure: Exposure, checks: list[str]
) -> Ticket | Refusal:
    held = exposure.position(wish.symbol)
    if held == 0:
        return Refusal(Reason.NOTHING_TO_CLOSE, f"{wish.symbol} is flat")
    if wish.closes is not None and held * wish.closes.sign < 0:  # it was reversed meanwhile
        return Refusal(Reason.NOTHING_TO_CLOSE, f"it is {plain_side(held)} {wish.symbol} by now")
    return _closing_ticket(wish, instrument, held, (*checks, "reduces"))


def _judge_entry(
    wish: Wish,
    side: Side,
    instrument: Instrument,
    exposure: Exposure,
    limits: Limits,
    checks: list[str],
) -> Ticket | Refusal:
    held = exposure.position(wish.symbol)
    if held * side.sign > 0:
        return Refusal(Reason.POSITION_HELD, f"{plain_side(held)} {wish.symbol} is held already")
    checks.append("position_held")
    misplaced = _misplaced(wish, side, instrument)
    if misplaced is not None:
        return misplaced
    checks += ["stop_side", "target_side", "prices"]
    entry = instrument.whole_quantity(limits.order_notional / wish.price)
    if entry * wish.price < instrument.min_notional:
        return Refusal(Reason.DUST, f"{entry} of {wish.symbol} is below the minimum notional")
    checks.append("min_notional")
    quantity = entry + abs(held)  # an opposite position is closed by the same order
    if quantity > min(limits.order_quantity_max, instrument.max_quantity):
        return Refusal(Reason.MAX_QUANTITY, f"{quantity} of {wish.symbol}")
    checks.append("max_quantity")
    if quantity * wish.price > limits.order_notional_max:
        return Refusal(Reason.MAX_NOTIONAL, f"{quantity * wish.price} of {wish.symbol}")
    checks.append("max_notional")
    if entry * wish.price > limits.position_notional_max:
        return Refusal(Reason.MAX_POSITION, f"{entry * wish.price} of {wish.symbol}")
    checks.append("max_position")
    gross = exposure.gross_notional(without=wish.symbol) + quantity * wish.price
    if gross > limits.gross_notional_max:
        return Refusal(Reason.MAX_GROSS, f"{gross} over all symbols")
    checks.append("max_gross")
    return Ticket(
        symbol=wish.symbol,
        side=side,
        quantity=quantity,
        reduce_only=False,
        limit_price=None,
        reference_price=wish.price,
        stop_price=wish.stop_price,
        signal_id=wish.signal_id,
        checks=tuple(checks),
        data_age_us=wish.data_age_us,
        target_price=wish.target_price,
        strategy=wish.strategy,
    )


def _misplaced(wish: Wish, side: Side, instrument: Instrument) -> Refusal | None:
    """A stop that is not on the losing side of the price, a target that is not on the winning one, or none that can be reached."""
    if wish.stop_price is not None and (wish.price - wish.stop_price) * side.sign <= 0:
        return Refusal(Reason.STOP_ON_WRONG_SIDE, f"stop {wish.stop_price} at {wish.price}")
    if wish.target_price is not None and (wish.target_price - wish.price) * side.sign <= 0:
        return Refusal(Reason.TARGET_ON_WRONG_SIDE, f"target {wish.target_price} at {wish.price}")
    for price in (wish.stop_price, wish.target_price):
        if price is not None and not instrument.has_price(price):
            return Refusal(Reason.NO_SUCH_PRICE, f"{price} of {wish.symbol} cannot be reached")
    return None


def _closing_ticket(
    wish: Wish, instrument: Instrument, held: Decimal, checks: tuple[str, ...]
) -> Ticket | Refusal:
    quantity = instrument.whole_quantity(abs(held))
    if quantity == 0:
        return Refusal(Reason.DUST, f"{held} of {wish.symbol} is below the smallest order")
    return Ticket(
        symbol=wish.symbol,
        side=Side.of(held).opposite,
        quantity=quantity,
        reduce_only=True,
        limit_price=None,
        reference_price=wish.price,
        stop_price=None,
        signal_id=wish.signal_id,
        checks=checks,
        data_age_us=wish.data_age_us,
        strategy=wish.strategy,
    )


def closing_tickets(
    exposure: Exposure, instruments: Mapping[str, Instrument]
) -> list[Ticket | Refusal]:
    """Reduce-only tickets that make the account flat: for the end of a run, allowed even when halted."""
    tickets = []
    for symbol, held in sorted(exposure.held()):
        if held != 0 and symbol in instruments:  # what is not ours to trade is not ours to close
            wish = Wish(0, symbol, None, exposure.mark(symbol), None, 0)
            tickets.append(_closing_ticket(wish, instruments[symbol], held, ("reduces",)))
    return tickets


def plain_side(held: Decimal) -> str:
    """Long or short, for a sentence."""
    return "long" if held > 0 else "short"
