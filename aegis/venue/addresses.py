"""Where an exchange is."""

from __future__ import annotations

from typing import Final

import attrs

__all__ = ["TESTNET", "Addresses"]


@attrs.frozen
class Addresses:
    """The bases of an exchange's URLs, without a route."""

    rest: str
    streams: str


TESTNET: Final = Addresses(
    rest="https://demo-fapi.binance.com", streams="wss://fstream.binancefuture.com"
)
"""Binance's own, for play money (protocol §1; its documents, SDK and clients disagree on the names)."""
