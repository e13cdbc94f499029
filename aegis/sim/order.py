"""Orders and trades as values: an order changes only by becoming another order (protocol §11)."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from enum import Enum, StrEnum

import attrs

from aegis.sim.amounts import ZERO

__all__ = [
    "Execution",
    "ExpiryReason",
    "NewOrder",
    "Order",
    "OrderType",
    "SelfTrade",
    "Side",
    "Status",
    "Step",
    "TimeInForce",
    "Trade",
    "automatic_client_id",
]


class Side(StrEnum):
    """Which way an order goes."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """What the order endpoint takes; conditional types belong to the algo service."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    """How long a LIMIT order waits: until cancelled, not at all, whole or not at all, only as maker."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


class SelfTrade(StrEnum):
    """Which of two own orders gives way when they would meet (§11.4)."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class Status(StrEnum):
    """Where an order is in its life (§11.3)."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"


class Step(StrEnum):
    """What happened to an order: the `x` of ORDER_TRADE_UPDATE."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class ExpiryReason(Enum):
    """Why an order expired: the `er` of ORDER_TRADE_UPDATE."""

    NONE = "0"
    SELF_TRADE = "1"
    IOC_REMAINDER = "2"
    IOC_SELF_TRADE = "3"
    REDUCE_ONLY = "4"
    MARKET_REMAINDER = "9"


@attrs.frozen
class NewOrder:
    """What a client asks for. A MARKET order has price 0 and is written as GTC."""

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal = ZERO
    time_in_force: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    reduce_only: bool = False
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER


@attrs.frozen
class Order:
    """An order as it stands after its last event."""

    id: int
    asked: NewOrder
    client_id: str
    created_ms: int
    updated_ms: int
    status: Status = Status.NEW
    executed: Decimal = ZERO
    quote: Decimal = ZERO  # sum of quantity * price over its fills
    expiry: ExpiryReason = ExpiryReason.NONE

    @property
    def remaining(self) -> Decimal:
        """What is still to be filled, or was when the order ended."""
        return self.asked.quantity - self.executed

    @property
    def is_open(self) -> bool:
        """Whether the order can still be filled."""
        return self.status in {Status.NEW, Status.PARTIALLY_FILLED}

    @property
    def average_price(self) -> Decimal:
        """The mean fill price; 0 before the first fill."""
        return self.quote / self.executed if self.executed else ZERO

    def filled(self, quantity: Decimal, price: Decimal, now_ms: int) -> Order:
        """Return the order after one more fill."""
        executed = self.executed + quantity
        return attrs.evolve(
            self,
            executed=executed,
            quote=self.quote + quantity * price,
            status=Status.FILLED if executed == self.asked.quantity else Status.PARTIALLY_FILLED,
            updated_ms=now_ms,
        )

    def ended(self, status: Status, now_ms: int, expiry: ExpiryReason = ExpiryReason.NONE) -> Order:
        """Return the order after it was cancelled or has expired."""
        return attrs.evolve(self, status=status, expiry=expiry, updated_ms=now_ms)


@attrs.frozen
class Trade:
    """One fill of one order; the account adds what it realised and cost."""

    id: int
    order_id: int
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    maker: bool
    time_ms: int
    realised: Decimal = ZERO
    fee: Decimal = ZERO


@attrs.frozen
class Execution:
    """One arrow of the life cycle: the order as it stands after it, and the trade if it was one."""

    step: Step
    order: Order
    trade: Trade | None = None


def automatic_client_id(symbol: str, order_id: int) -> str:
    """Return the client id that the venue gives an order without one: 22 letters and digits."""
    return hashlib.sha256(f"{symbol}:{order_id}".encode()).hexdigest()[:22]
