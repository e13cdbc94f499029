"""The words of the command line that stand for something else: symbols, durations and speeds."""

from __future__ import annotations

import re

from aegis.errors import Refused
from aegis.paper import SYMBOLS_MAX, is_symbol, paper_symbols

__all__ = ["read_seconds", "read_speed", "read_symbols"]


def read_symbols(text: str) -> tuple[str, ...]:
    """Names separated by commas, or how many of the shipped exchange's own.

    Raises:
        Refused: there are none of them, more than a run can have, or one that is no name.
    """
    if re.fullmatch(r"[0-9]{1,9}", text):
        count = int(text)
        names = list(paper_symbols(min(count, SYMBOLS_MAX)))
    else:
        names = list(dict.fromkeys(name.strip().upper() for name in text.split(",")))
        names = [name for name in names if name]
        count = len(names)
    if not 1 <= count <= SYMBOLS_MAX or not all(map(is_symbol, names)):
        expected = f"names, or a number from 1 to {SYMBOLS_MAX}"
        raise Refused(f"--symbols {_shortened(text)!r}: expected {expected}")
    return tuple(names)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def read_seconds(text: str | None) -> float | None:
    """A duration such as 30s, 1.5m or 2h.

    Raises:
        Refused: it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if match is None:
        raise Refused(f"--for {text}: expected a duration such as 30s, 5m or 2h")
    return float(match[1]) * {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600}[match[2]]


def read_speed(text: str) -> float | None:
    """A replay's speed as a factor; None is as fast as it goes.

    Raises:
        Refused: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)
    if text == "max":
        return None
    if match is None or float(match[1]) == 0:
        raise Refused(f"--speed {text}: expected a factor such as 1x or 20x, or max")
    return float(match[1])
