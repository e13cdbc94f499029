"""Which contracts the venue lists: a few with real filters, any other derived from its name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal

import attrs

from aegis.errors import Refused
from aegis.sim.contract import Contract

__all__ = ["DEFAULT_SYMBOLS", "contract", "recorded_contract"]

# symbol: typical price, tick, step, largest limit quantity, largest market quantity, least notional, depth a level
_KNOWN = {
    "BTCUSDT": ("61800", "0.10", "0.001", "1000", "120", "100", 60_000),
    "ETHUSDT": ("2680", "0.01", "0.001", "10000", "2000", "20", 50_000),
    "SOLUSDT": ("154.00", "0.0100", "1", "1000000", "5000", "5", 30_000),
    "BNBUSDT": ("510.00", "0.010", "0.01", "100000", "2000", "5", 20_000),
    "XRPUSDT": ("0.6100", "0.0001", "0.1", "10000000", "2000000", "5", 20_000),
    "DOGEUSDT": ("0.10800", "0.000010", "1", "50000000", "30000000", "5", 20_000),
    "ADAUSDT": ("0.34500", "0.00010", "1", "2000000", "300000", "5", 15_000),
    "AVAXUSDT": ("22.400", "0.0010", "1", "1000000", "10000", "5", 15_000),
    "LINKUSDT": ("10.600", "0.001", "0.01", "500000", "20000", "20", 15_000),
    "LTCUSDT": ("61.00", "0.01", "0.001", "10000", "5000", "20", 15_000),
    "DOTUSDT": ("4.600", "0.001", "0.1", "1000000", "50000", "5", 10_000),
    "SUIUSDT": ("0.8500", "0.000100", "0.1", "5000000", "300000", "5", 10_000),
}
DEFAULT_SYMBOLS = tuple(_KNOWN)[:8]
_FORBIDDEN = set("@/?&=!,\"'\\")
_LONGEST_NAME = 40


def contract(symbol: str) -> Contract:
    """Return the contract of that name: a known one, or one that the name itself determines.

    Raises:
        Refused: when the name cannot stand in a stream name or a query.
    """
    if symbol in _KNOWN:
        price, tick, step, most, market_most, notional, depth = _KNOWN[symbol]
        return Contract(
            symbol,
            Decimal(tick),
            Decimal(step),
            Decimal(price),
            Decimal(most),
            Decimal(market_most),
            Decimal(notional),
            Decimal(depth),
        )
    _check_name(symbol)
    return _derived(symbol)


def _check_name(symbol: str) -> None:
    clean = symbol.isprintable() and not any(
        each.isspace() or each in _FORBIDDEN for each in symbol
    )
    if not (clean and 0 < len(symbol) <= _LONGEST_NAME and symbol == symbol.upper()):
        raise Refused(f"symbol {symbol!r}: expected an upper-case name such as BTCUSDT")


def _derived(symbol: str) -> Contract:
    """Draw a price between 0.01 and 1000 from the name, with five digits of ticks and steps worth about 5 USDT."""
    digest = hashlib.sha256(symbol.encode()).digest()
    magnitude = digest[0] % 5 - 2
    price = Decimal(1_000 + int.from_bytes(digest[1:4], "big") % 9_000).scaleb(magnitude - 3)
    tick = Decimal(1).scaleb(magnitude - 4)
    step = Decimal(1).scaleb(-max(0, magnitude))
    return Contract(
        symbol,
        tick,
        step,
        price,
        max_quantity=Decimal(5_000_000).scaleb(-magnitude),
        market_max_quantity=Decimal(1_000_000).scaleb(-magnitude),
        level_notional=Decimal(10_000),
    )


def recorded_contract(
    symbol: str, prices: Sequence[Decimal], quantities: Sequence[Decimal]
) -> Contract:
    """Return the contract of a recorded symbol: the usual one, refined where the recording is finer.

    Args:
        symbol: the name in the recording.
        prices: some recorded prices; the first one becomes the typical price.
        quantities: some recorded quantities.
    """
    usual = contract(symbol)
    tick, step = min(map(_unit, prices)), min(map(_unit, quantities))
    if symbol in _KNOWN:
        tick, step = min(usual.tick, tick), min(usual.step, step)
    return attrs.evolve(usual, tick=tick, step=step, typical_price=prices[0])


def _unit(number: Decimal) -> Decimal:
    """Return the decimal unit that a number is a multiple of: 0.250 -> 0.01."""
    exponent = number.normalize().as_tuple().exponent
    return Decimal(1).scaleb(min(0, exponent)) if isinstance(exponent, int) else Decimal(1)
