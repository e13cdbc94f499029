"""What a paper run trades when it is not told."""

from __future__ import annotations

from typing import Final

__all__ = ["SYMBOLS_MAX", "paper_symbols"]

_COINS: Final = (
    "BTC",
    "ETH",
    "SOL",
    "BNB",
    "XRP",
    "DOGE",
    "ADA",
    "AVAX",
    "LINK",
    "LTC",
    "DOT",
    "SUI",
)
_DEFAULT: Final = 8

SYMBOLS_MAX: Final = 4096
"""Of one run: the names of more would not fit the command line of the shipped exchange, nor the orders of the worker."""


def paper_symbols(count: int = _DEFAULT) -> tuple[str, ...]:
    """So many symbols: well-known names first, then numbered ones, which the shipped exchange makes up."""
    names = [*_COINS, *(f"COIN{number}" for number in range(len(_COINS) + 1, count + 1))]
    return tuple(f"{name}USDT" for name in names[:count])
