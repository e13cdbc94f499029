"""Contiguous ids that several hands draw from."""

from __future__ import annotations

__all__ = ["Sequence"]


class Sequence:
    """Counts upwards: each id is given once, none is left out."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def take(self, amount: int = 1) -> int:
        """Take so many consecutive ids and return the first of them."""
        first = self._next
        self._next += amount
        return first
