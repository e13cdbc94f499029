"""What a paper run trades when it is not told, and how much any run can be told to."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SYMBOLS_MAX", "is_symbol", "paper_symbols"]

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
_NAME: Final = re.compile(r"""[^\s@/?&=!,"'\\]{1,40}""")
"""No narrower than the shipped exchange's own rule: a recording may have any name that it takes."""

SYMBOLS_MAX: Final = 4096
"""Of one run: the names of more would not fit the command line of the shipped exchange, nor the orders of the worker."""


def paper_symbols(count: int = _DEFAULT) -> tuple[str, ...]:
    """So many symbols: well-known names first, then numbered ones, which the shipped exchange makes up."""
    names = [*_COINS, *(f"COIN{number}" for number in range(len(_COINS) + 1, count + 1))]
    return tuple(f"{name}USDT" for name in names[:count])


def is_symbol(text: str) -> bool:
    """Whether a symbol can be called that: what can stand in a stream's name and in a query, and has a letter."""
    return _NAME.fullmatch(text) is not None and text.isprintable() and any(map(str.isalpha, text))
