"""The exposure: what is held *and* what may still fill, the orders whose fate is unknown included.

It may be too high, never too low.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from aegis.errors import check

__all__ = ["Exposure"]

ZERO = Decimal(0)


class Exposure:
    """What is held and what may still be added, by symbol; the Gate's own copy, told by the Executor.

    What a symbol may come to be worth is worked out when something of it changes, not when somebody asks: a judgement
    asks about all symbols, and with 300 of them that took longer than everything else on an order's way.
    """

    def __init__(self) -> None:
        self._positions: dict[str, Decimal] = {}
        # Signed remaining quantity by symbol and client id (or reservation) of every order that may still fill.
        self._working: dict[str, dict[str, Decimal]] = {}
        # The price of a symbol's last signal, or of its entry: positions elsewhere are valued at it.
        self._marks: dict[str, Decimal] = {}
        # The worst-case value of each symbol that has one.
        self._values: dict[str, Decimal] = {}

    def position(self, symbol: str) -> Decimal:
        """The signed quantity held."""
        return self._positions.get(symbol, ZERO)

    def held(self) -> Iterator[tuple[str, Decimal]]:
        """Symbols with their signed quantity; it may be zero."""
        return iter(self._positions.items())

    def mark(self, symbol: str) -> Decimal:
        """The price that a symbol is valued at; zero before it had any."""
        return self._marks.get(symbol, ZERO)

    def is_working(self, symbol: str) -> bool:
        """Whether an order of the symbol may still fill."""
        return bool(self._working.get(symbol))

    def worst_case(self, symbol: str) -> Decimal:
        """The largest absolute quantity that may be held once the open orders have done their worst."""
        held = self.position(symbol)
        orders = self._working.get(symbol, {}).values()
        longest = held + sum((q for q in orders if q > 0), ZERO)
        shortest = held + sum((q for q in orders if q < 0), ZERO)
        return max(abs(longest), abs(shortest))

    def gross_notional(self, without: str) -> Decimal:
        """The worst-case value of every symbol but one, at the last prices."""
        return sum((value for each, value in self._values.items() if each != without), ZERO)

    def hold(self, symbol: str, quantity: Decimal) -> None:
        """Take note of the signed quantity that is held."""
        self._positions[symbol] = quantity
        self._revalue(symbol)

    def value_at(self, symbol: str, price: Decimal) -> None:
        """Value a symbol at a price from here on."""
        self._marks[symbol] = price
        self._revalue(symbol)

    def reserve(self, symbol: str, key: str, signed_remaining: Decimal) -> None:
        """Count an order's remaining quantity; 0 releases it."""
        orders = self._working.setdefault(symbol, {})
        if signed_remaining == 0:
            orders.pop(key, None)
        else:
            orders[key] = signed_remaining
        self._revalue(symbol)

    def _revalue(self, symbol: str) -> None:
        value = self.worst_case(symbol) * self.mark(symbol)
        check(value >= 0, f"an exposure is not negative, that of {symbol} neither")
        if value:
            self._values[symbol] = value
        else:
            self._values.pop(symbol, None)
