"""What an order must satisfy before it is matched, in the order in which the venue looks (protocol §10 and §11.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal

import attrs

from aegis.errors import Rejected
from aegis.sim.account import Exposure, Position
from aegis.sim.amounts import ZERO, plain
from aegis.sim.contract import Contract
from aegis.sim.margin import initial_margin, largest_notional
from aegis.sim.order import NewOrder, Order, OrderType, Side

__all__ = ["RULES", "Situation", "judge", "market_collar"]


@attrs.frozen
class Situation:
    """Everything that the rules look at beside the order itself."""

    contract: Contract
    mark: Decimal
    counter_price: Decimal  # the touch that a taker would meet first
    open_orders: Sequence[Order]  # of the symbol
    open_client_ids: Collection[str]  # of the account
    position: Position
    exposure: Exposure  # of the symbol
    spare_margin: Decimal  # margin balance less what all positions and orders tie up


Rule = Callable[[NewOrder, Situation], None]


def judge(asked: NewOrder, situation: Situation) -> None:
    """Hold an order against every rule.

    Raises:
        Rejected: with the published code of the first rule that it breaks.
    """
    for rule in RULES:
        rule(asked, situation)


def market_collar(side: Side, mark: Decimal, contract: Contract) -> Decimal:
    """Return the price at which the matching of a MARKET order stops: mark * (1 ± marketTakeBound)."""
    return mark * (1 + side.sign * contract.market_take_bound)


def _precision(asked: NewOrder, situation: Situation) -> None:
    contract = situation.contract
    if _places(asked.price) > contract.price_places or (
        _places(asked.quantity) > contract.quantity_places
    ):
        raise Rejected(-1111, "Precision is over the maximum defined for this asset.")


def _price_filter(asked: NewOrder, situation: Situation) -> None:
    contract = situation.contract
    if asked.type is OrderType.MARKET:
        return
    if asked.price <= 0:
        raise Rejected(-4001, "Price less than 0.")
    if asked.price < contract.min_price:
        raise Rejected(-4013, f"Price less than min price {plain(contract.min_price)}.")
    if asked.price > contract.max_price:
        raise Rejected(-4002, f"Price greater than max price {plain(contract.max_price)}.")
    if (asked.price - contract.min_price) % contract.tick:
        raise Rejected(-4014, "Price not increased by tick size.")


def _lot_size(asked: NewOrder, situation: Situation) -> None:
    contract = situation.contract
    market = asked.type is OrderType.MARKET
    if asked.quantity <= 0:
        raise Rejected(-4003, "Quantity less than or equal to zero.")
    if asked.quantity < contract.step:
        raise Rejected(-4004, "Quantity less than min quantity.")
    if asked.quantity > (contract.market_max_quantity if market else contract.max_quantity):
        raise Rejected(-4005, "Quantity greater than max quantity.")
    if asked.quantity % contract.step:
        raise Rejected(-4023, "Qty not increased by step size.")


def _percent_price(asked: NewOrder, situation: Situation) -> None:
    contract, buys = situation.contract, asked.side is Side.BUY
    cap, floor = situation.mark * contract.multiplier_up, situation.mark * contract.multiplier_down
    if asked.type is OrderType.MARKET:
        beyond = situation.counter_price > cap if buys else situation.counter_price < floor
        if beyond:
            raise Rejected(
                -4131,
                "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
            )
    elif buys and asked.price > cap:
        raise Rejected(-4016, f"Limit price can't be higher than {plain(cap)}.")
    elif not buys and asked.price < floor:
        raise Rejected(-4024, f"Limit price can't be lower than {plain(floor)}.")


def _min_notional(asked: NewOrder, situation: Situation) -> None:
    price = situation.mark if asked.type is OrderType.MARKET else asked.price
    least = situation.contract.min_notional
    if not asked.reduce_only and asked.quantity * price < least:
        raise Rejected(
            -4164,
            f"Order's notional must be no smaller than {plain(least)} (unless you choose reduce only).",
        )


def _order_count(asked: NewOrder, situation: Situation) -> None:
    if asked.type is OrderType.LIMIT and (
        len(situation.open_orders) >= situation.contract.max_open_orders
    ):
        raise Rejected(-2025, "Reach max open order limit.")


def _client_id(asked: NewOrder, situation: Situation) -> None:
    if asked.client_id in situation.open_client_ids:
        raise Rejected(-4116, "ClientOrderId is duplicated.")


def _reduce_only(asked: NewOrder, situation: Situation) -> None:
    """Hold the order and the open reduce-only ones of its side against the position (§16.7)."""
    if not asked.reduce_only:
        return
    waiting = (
        each.remaining
        for each in situation.open_orders
        if each.asked.reduce_only and each.asked.side is asked.side
    )
    closable = -situation.position.quantity * asked.side.sign
    if sum(waiting, asked.quantity) > closable:
        raise Rejected(-2022, "ReduceOnly Order is rejected.")


def _margin(asked: NewOrder, situation: Situation) -> None:
    """Ask for the margin that the order adds, plus what it would lose at once; closing adds none (§16.4)."""
    if asked.reduce_only:
        return
    before = situation.exposure
    assumed = _assumed_price(asked, situation)
    worth = asked.quantity * assumed
    buys = asked.side is Side.BUY
    after = attrs.evolve(
        before,
        bids=before.bids + (worth if buys else ZERO),
        asks=before.asks + (ZERO if buys else worth),
    )
    if after.worst <= before.worst:
        return
    if after.worst > largest_notional(before.leverage):
        raise Rejected(-2027, "Exceeded the maximum allowable position at current leverage.")
    open_loss = asked.quantity * max(ZERO, (assumed - situation.mark) * asked.side.sign)
    added = initial_margin(after.worst - before.worst, before.leverage)
    if added + open_loss > situation.spare_margin:
        raise Rejected(-2019, "Margin is insufficient.")


def _assumed_price(asked: NewOrder, situation: Situation) -> Decimal:
    """Return the price that the margin check assumes: a buy's own, a sell's never below the mark."""
    if asked.type is OrderType.MARKET:
        return situation.counter_price
    return asked.price if asked.side is Side.BUY else max(asked.price, situation.mark)


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


# §10's suggested order; what a symbol and its parameters must look like is checked while they are read.
RULES: tuple[Rule, ...] = (
    _precision,
    _price_filter,
    _lot_size,
    _percent_price,
    _min_notional,
    _order_count,
    _client_id,
    _reduce_only,
    _margin,
)
