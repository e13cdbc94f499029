"""What we believe beside what the exchange shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

import attrs

from aegis.orders.ids import is_ours
from aegis.orders.portfolio import Position

__all__ = ["Books", "differences", "lasting"]

_ROUNDING: Final = Decimal("1e-8")
"""What one trade may add to the difference of two wallets: the exchange books in units of 1e-8."""


@attrs.frozen
class Books:
    """One side's view of the account."""

    wallet: Decimal
    positions: Mapping[str, Position]
    open_orders: frozenset[str]
    """Client ids of what may still fill."""


def differences(
    ours: Books, theirs: Books, trades: int, unsettled: frozenset[str] = frozenset()
) -> list[str]:
    """Every difference, as a sentence; none means that the account is what we think it is.

    Args:
        ours: from the ledger.
        theirs: from the exchange.
        trades: how many we booked, which bounds the rounding of the wallet.
        unsettled: client ids of orders that we do not know to be at the exchange; that it does not show them is no
            difference, and what became of them is being asked.
    """
    found = []
    for symbol in sorted(set(ours.positions) | set(theirs.positions)):
        held = ours.positions.get(symbol, Position()).quantity
        shown = theirs.positions.get(symbol, Position()).quantity
        if held != shown:
            found.append(f"position {symbol}: ours {held}, the exchange shows {shown}")
    if abs(ours.wallet - theirs.wallet) > _ROUNDING * (trades + 1):
        found.append(f"wallet: ours {ours.wallet}, the exchange shows {theirs.wallet}")
    found += _missing(theirs.open_orders - ours.open_orders, "open at the exchange, unknown to us")
    missing = ours.open_orders - theirs.open_orders - unsettled
    found += _missing(missing, "open here, not at the exchange")
    return found


def lasting(before: Iterable[str], now: Iterable[str]) -> list[str]:
    """Those of the differences now that were there before: in the same position, order or balance, by whatever amount."""
    subjects = {each.partition(":")[0] for each in before}
    return [each for each in now if each.partition(":")[0] in subjects]


def _missing(client_ids: Iterable[str], how: str) -> list[str]:
    return [f"order {client_id}: {how}" for client_id in sorted(filter(is_ours, client_ids))]
