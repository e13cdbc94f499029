"""The wire formats of order books: changes (`depthUpdate`) and snapshots (`GET /depth`), protocol §4 and §5.

A change is decoded by msgspec alone, and its levels by Decimal: that is what the lane's compiled reading is checked against, and what decides
where that is not sure. A snapshot, two thousand levels at once, is read by the compiled code where that reads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import attrs
import msgspec
import numpy as np
import numpy.typing as npt

from aegis.compiled import entry_point
from aegis.errors import Refused
from aegis.market.book import LEVEL
from aegis.market.book_top import PRICE_ONE
from aegis.market.records import MAX_EVENT_NS
from aegis.venue.binance_market import DepthUpdate
from aegis.venue.fastlane_bytes import BEYOND
from aegis.venue.fastlane_depth import read_levels

__all__ = ["DepthSnapshot", "Levels", "change_levels", "check_place", "decode_snapshot"]

_PRICE_MAX: Final = (1 << 53) // PRICE_ONE
_NS_PER_MS: Final = 1_000_000
_ID_MAX: Final = 1 << 62
_LEVEL_BYTES_MIN: Final = len('["1","0"],')

Levels = npt.NDArray[np.void]

_read_levels: Final = entry_point(read_levels)


def change_levels(update: DepthUpdate) -> tuple[Levels, Levels]:
    """The bids and asks of a change as LEVEL records.

    Raises:
        Refused: a price or quantity that no market has.
    """
    return _levels(update.b), _levels(update.a)


def check_place(update: DepthUpdate) -> None:
    """See that a change has ids and a time.

    Raises:
        Refused: no market has such.
    """
    are_ids = 0 <= update.pu < _ID_MAX and 0 < update.u < _ID_MAX and abs(update.U) < _ID_MAX
    if not (are_ids and 0 < update.T * _NS_PER_MS < MAX_EVENT_NS):
        raise Refused(f"a change from {update.pu} to {update.u} at {update.T}")


class _Snapshot(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: msgspec.Raw
    asks: msgspec.Raw
    T: int = 0


@attrs.frozen(eq=False)
class DepthSnapshot:
    """The best levels of an order book as of an id, bids and asks as LEVEL records."""

    update_id: int
    match_ms: int
    bids: Levels
    asks: Levels
    limit: int
    """The most levels of a side that were asked for: one with as many has more behind them."""


_snapshot: Final = msgspec.json.Decoder(_Snapshot).decode
_rows: Final = msgspec.json.Decoder(list[list[str]]).decode


def decode_snapshot(body: bytes, limit: int) -> DepthSnapshot:
    """The answer to `GET /depth` with a limit.

    Raises:
        Refused: it is malformed, or holds a price or quantity that no market has.
    """
    try:
        found = _snapshot(body)
        sides = [_read(raw) for raw in (found.bids, found.asks)]
    except (msgspec.DecodeError, ValueError, RecursionError) as why:
        raise Refused(f"a depth snapshot cannot be read: {why}") from None
    if not 0 < found.last_update_id < _ID_MAX or not 0 <= found.T * _NS_PER_MS < MAX_EVENT_NS:
        raise Refused(f"a depth snapshot of id {found.last_update_id} at {found.T}")
    return DepthSnapshot(found.last_update_id, found.T, sides[0], sides[1], limit)


def _read(raw: msgspec.Raw) -> Levels:
    """One side, as text."""
    text = np.frombuffer(bytes(raw) + bytes(BEYOND), np.uint8)
    levels = np.zeros(len(text) // _LEVEL_BYTES_MIN, LEVEL)
    count = _read_levels(text.ctypes.data, levels.ctypes.data, len(levels))
    return levels[:count] if count >= 0 else _levels(_rows(raw))


def _levels(rows: Sequence[Sequence[str]]) -> Levels:
    """Prices and quantities as a book holds them."""
    return np.array([_level(row) for row in rows], LEVEL)


def _level(row: Sequence[str]) -> tuple[int, float]:
    try:
        price, quantity = map(Decimal, row)
    except (ValueError, InvalidOperation):
        raise Refused(f"a level is a price and a quantity, not {row}") from None
    is_price = price.is_finite() and 0 < price <= _PRICE_MAX
    whole = int(price * PRICE_ONE) if is_price else 0
    size = float(quantity) if quantity.is_finite() else math.inf
    if whole == 0 or Decimal(whole) / PRICE_ONE != price or not 0.0 <= size < math.inf:
        raise Refused(f"no market has a level of {quantity} at {price}")
    return whole, size
