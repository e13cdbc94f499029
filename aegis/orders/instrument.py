"""What the exchange accepts for one symbol: ticks, steps and bounds, and the rounding that meets them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import Enum
from typing import Any

import attrs

from aegis.errors import Refused, check

__all__ = ["Instrument", "Side", "plain"]

ZERO = Decimal(0)


class Side(Enum):
    """The side of an order or a trade, as the wire spells it."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY

    @classmethod
    def of(cls, signed: Decimal) -> Side:
        """The side that a signed quantity is on."""
        return cls.BUY if signed > 0 else cls.SELL


def plain(number: Decimal) -> str:
    """A Decimal as the wire wants it: never an exponent."""
    return format(number, "f")


@attrs.frozen
class Instrument:
    """The trading rules of one symbol (exchangeInfo filters; spec of the venue §10)."""

    symbol: str
    tick_size: Decimal
    min_price: Decimal
    max_price: Decimal
    step_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    """The largest MARKET order: MARKET_LOT_SIZE.maxQty where the venue has it."""
    min_notional: Decimal

    def __attrs_post_init__(self) -> None:
        check(self.tick_size > 0, f"{self.symbol} has a tick size above zero")
        check(self.step_size > 0, f"{self.symbol} has a step size above zero")

    def whole_quantity(self, quantity: Decimal) -> Decimal:
        """The largest tradable quantity that is not above the one given, or 0 when there is none.

        Quantities are always rounded down: a rounded-up close would open the other side.
        """
        steps = ((quantity - self.min_quantity) / self.step_size).to_integral_value(ROUND_FLOOR)
        whole = self.min_quantity + steps * self.step_size
        return min(whole, self.max_quantity) if whole >= self.min_quantity else ZERO

    def passive_price(self, side: Side, price: Decimal) -> Decimal:
        """The nearest price on the tick that is not more aggressive: down for a buy, up for a sell."""
        rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
        ticks = ((price - self.min_price) / self.tick_size).to_integral_value(rounding)
        return self.min_price + ticks * self.tick_size

    def has_price(self, price: Decimal) -> bool:
        """Whether anything can be traded at a price; a venue without a highest one says 0."""
        return price > ZERO and self.min_price <= price <= (self.max_price or price)

    @classmethod
    def from_exchange_info(cls, row: Mapping[str, Any]) -> Instrument:
        """Read one row of exchangeInfo's `symbols`.

        Raises:
            Refused: a filter that the rules need is missing.
        """
        symbol = str(row.get("symbol", "?"))
        filters = {entry["filterType"]: entry for entry in row.get("filters", ())}
        try:
            price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
            market_lot = filters.get("MARKET_LOT_SIZE", lot)
            # What both filters take: on the coarser one's steps, from where both begin.
            step, first = max(
                (Decimal(each["stepSize"]), Decimal(each["minQty"])) for each in (lot, market_lot)
            )
            least = max(Decimal(each["minQty"]) for each in (lot, market_lot))
            return cls(
                symbol=symbol,
                tick_size=Decimal(price["tickSize"]),
                min_price=Decimal(price["minPrice"]),
                max_price=Decimal(price["maxPrice"]),
                step_size=step,
                min_quantity=first
                + ((least - first) / step).to_integral_value(ROUND_CEILING) * step,
                max_quantity=min(Decimal(each["maxQty"]) for each in (lot, market_lot)),
                min_notional=Decimal(filters["MIN_NOTIONAL"]["notional"]),
            )
        except KeyError as missing:
            raise Refused(f"exchangeInfo of {symbol} lacks {missing}") from None
