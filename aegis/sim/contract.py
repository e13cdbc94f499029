"""A perpetual contract as the venue lists it: its filters, precisions and typical size."""

from __future__ import annotations

from decimal import Decimal

import attrs

__all__ = ["Contract"]


@attrs.frozen
class Contract:
    """One listed symbol with the filters of protocol §10."""

    symbol: str
    tick: Decimal
    step: Decimal
    typical_price: (
        Decimal  # where a synthetic market starts, and what the filters' far ends are made from
    )
    max_quantity: Decimal
    market_max_quantity: Decimal
    min_notional: Decimal = Decimal(5)
    level_notional: Decimal = Decimal(
        20_000
    )  # USDT that a level behind the touch adds, level by level
    multiplier_up: Decimal = Decimal("1.0500")
    multiplier_down: Decimal = Decimal("0.9500")
    market_take_bound: Decimal = Decimal("0.05")
    max_open_orders: int = 200

    @property
    def quote_asset(self) -> str:
        """The asset that prices and profits are in."""
        return "USDC" if self.symbol.endswith("USDC") else "USDT"

    @property
    def base_asset(self) -> str:
        """The asset that quantities are in."""
        return self.symbol.removesuffix(self.quote_asset) or self.symbol

    @property
    def price_places(self) -> int:
        """Decimals of a price on the wire: as the tick is written, so `0.10` gives two (§10: a tick may be coarser)."""
        return _places(self.tick)

    @property
    def quantity_places(self) -> int:
        """Decimals of a quantity on the wire."""
        return _places(self.step)

    @property
    def min_price(self) -> Decimal:
        """The lowest price the filter lets through: a hundredth of the typical one, on the tick."""
        return max(self.tick, self.typical_price / 100 // self.tick * self.tick)

    @property
    def max_price(self) -> Decimal:
        """The highest price the filter lets through: a hundred times the typical one, on the tick."""
        return self.typical_price * 100 // self.tick * self.tick


def _places(unit: Decimal) -> int:
    exponent = unit.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
