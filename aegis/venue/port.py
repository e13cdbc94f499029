"""What the order path needs of an exchange. The actors know this; the REST client and the tests' fakes are this."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

import attrs

from aegis.orders.instrument import Instrument
from aegis.orders.order import Ticket, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening
from aegis.venue.outcome import Outcome

__all__ = ["AccountView", "OrderUpdate", "OrderView", "Paid", "Placed", "Venue"]


@attrs.frozen
class Placed:
    """The outcome of a send, and when its bytes went out."""

    outcome: Outcome
    sent_ns: int
    """Monotonic, when its last byte had been given to the system; just before the request where that is not known."""
    cutoff_ms: int
    """Exchange time after which the request, if not seen by then, can no longer be executed."""


@attrs.frozen
class OrderView:
    """An order as the exchange shows it when asked."""

    client_id: str
    symbol: str
    exchange_id: int
    happening: Happening
    filled: Decimal


@attrs.frozen
class OrderUpdate:
    """One ORDER_TRADE_UPDATE of the user stream."""

    client_id: str
    symbol: str
    exchange_id: int
    happening: Happening | None
    """None where the event only amends."""
    filled: Decimal
    """Cumulative: a final event that names more than we have booked hides a fill that we did not see."""
    trade: Trade | None
    event_ms: int


@attrs.frozen
class AccountView:
    """The account as the exchange shows it."""

    wallet: Decimal
    positions: dict[str, Position]


@attrs.frozen
class Paid:
    """Payments, as the exchange tells of them."""

    payments: tuple[Payment, ...]
    until_ms: int
    """Exchange time up to which these are all that it had to tell."""


class Venue(Protocol):
    """An exchange account."""

    async def place(self, client_id: str, ticket: Ticket) -> Placed:
        """Send an order, once. Every failure is an outcome; nothing is raised for one."""

    async def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Ask to cancel an order."""

    async def find(self, symbol: str, client_id: str) -> OrderView | None:
        """The order of that client id, or None where the exchange shows none.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    async def open_orders(self, symbol: str | None = None) -> list[OrderView]:
        """Every open order of the account, or of one symbol: which costs a fortieth.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    async def trades_of(self, symbol: str, client_id: str, exchange_id: int) -> list[Trade]:
        """The executions of one order.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    async def obstacle(self) -> str:
        """Why the account cannot be traded with as it is; empty where it can.

        Raises:
            Unavailable: the exchange could not be asked.
            LockedOut: it does not take our key.
        """

    async def account(self) -> AccountView:
        """The balance and the positions.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    async def payments(self, since_ms: int) -> Paid:
        """Money that came or went without a trade, from a moment of exchange time on. It is dear, and may take its time.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    async def instruments(self, symbols: Iterable[str]) -> dict[str, Instrument]:
        """The trading rules of the given symbols.

        Raises:
            Unavailable: the exchange could not be asked.
            Refused: a symbol is not traded there.
        """

    async def sync_clock(self) -> int:
        """Measure the exchange's clock; returns by how much it is ahead of our wall clock, in ms.

        Raises:
            Unavailable: the exchange could not be asked.
        """

    def exchange_ms(self) -> int:
        """The exchange's time as we know it."""

    def cutoff_ms(self) -> int:
        """The exchange time after which a request that was sent by now can no longer be executed."""
