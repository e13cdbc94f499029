"""The REST replies of Binance USD-M Futures about orders and the account: bytes in, typed values out.

Unknown fields are ignored and optional ones may be absent. Amounts stay Decimal. What is malformed raises msgspec's
errors: the caller knows which request it was.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from aegis.orders.instrument import Side
from aegis.orders.order import Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import WALLET_ASSET, Position
from aegis.orders.states import Happening
from aegis.venue.port import AccountView, OrderView

__all__ = ["INCOMES_MAX", "account_view", "incomes", "my_trades", "obstacle", "order_view"]

INCOMES_MAX: Final = 1000
"""Rows of one answer to `income`."""
_OF_TRADES: Final = frozenset({"REALIZED_PNL", "COMMISSION"})
"""What trades tell of themselves."""

_STATUSES: Final = {
    "NEW": Happening.ACCEPTED,
    "PARTIALLY_FILLED": Happening.ACCEPTED,
    "FILLED": Happening.ACCEPTED,
    "CANCELED": Happening.CANCELLED,
    "EXPIRED": Happening.EXPIRED,
    "EXPIRED_IN_MATCH": Happening.EXPIRED,
    "REJECTED": Happening.REJECTED,
}
"""A queried status proves acceptance at most: fills come from trades alone. One that is not here stays watched."""


class _OrderRow(msgspec.Struct, rename="camel"):
    symbol: str
    client_order_id: str
    order_id: int
    status: str
    executed_qty: Decimal = Decimal(0)


class _TradeRow(msgspec.Struct, rename="camel"):
    symbol: str
    id: int
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int


class _PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: Decimal
    entry_price: Decimal
    position_side: str = "BOTH"


class _AssetRow(msgspec.Struct, rename="camel"):
    asset: str
    wallet_balance: Decimal


class _AccountRow(msgspec.Struct, rename="camel"):
    assets: list[_AssetRow]


class _ConfigRow(msgspec.Struct, rename="camel"):
    can_trade: bool
    dual_side_position: bool


class _IncomeRow(msgspec.Struct, rename="camel"):
    income_type: str
    income: Decimal
    asset: str
    time: int
    tran_id: int | str
    symbol: str | None = ""


_order_rows: Final = msgspec.json.Decoder(_OrderRow | list[_OrderRow]).decode
_trade_rows: Final = msgspec.json.Decoder(list[_TradeRow]).decode
_position_rows: Final = msgspec.json.Decoder(list[_PositionRow]).decode
_account_row: Final = msgspec.json.Decoder(_AccountRow).decode
_income_rows: Final = msgspec.json.Decoder(list[_IncomeRow]).decode
_config_row: Final = msgspec.json.Decoder(_ConfigRow).decode


def order_view(body: bytes) -> list[OrderView]:
    """The orders of a query (`order`, `openOrders`)."""
    rows = _order_rows(body)
    return [
        OrderView(
            r.client_order_id,
            r.symbol,
            r.order_id,
            _STATUSES.get(r.status, Happening.ACCEPTED),
            r.executed_qty,
        )
        for r in (rows if isinstance(rows, list) else [rows])
    ]


def my_trades(body: bytes, client_id: str) -> list[Trade]:
    """The executions of one order (`userTrades`), whose rows do not name the client id."""
    return [
        Trade(
            symbol=row.symbol,
            trade_id=row.id,
            client_id=client_id,
            side=Side(row.side),
            quantity=row.qty,
            price=row.price,
            fee=row.commission,
            fee_asset=row.commission_asset,
            event_ms=row.time,
        )
        for row in _trade_rows(body)
    ]


def account_view(account: bytes, positions: bytes) -> AccountView:
    """The balance (`account`) and the open positions (`positionRisk`).

    The balance is that of the one asset. The total is of all of them, in dollars, where they all are margin (multi-assets mode).
    """
    rows = _position_rows(positions)
    assets = _account_row(account).assets
    return AccountView(
        sum((row.wallet_balance for row in assets if row.asset == WALLET_ASSET), Decimal(0)),
        {
            row.symbol: Position(row.position_amt, row.entry_price)
            for row in rows
            if row.position_side == "BOTH" and row.position_amt != 0
        },
    )


def obstacle(config: bytes) -> str:
    """Why nothing can be traded with an account of that configuration (`accountConfig`); empty where it can."""
    row = _config_row(config)
    if not row.can_trade:
        return "the exchange does not let this account trade"
    if row.dual_side_position:
        return "it holds longs and shorts apart (hedge mode); switch it to one-way mode at the exchange"
    return ""


def incomes(body: bytes) -> tuple[list[Payment], int, int]:
    """The payments among the rows of `income`, which tells of trades as well; how many rows there are, and the last one's time."""
    rows = _income_rows(body)
    paid = [row for row in rows if row.income_type not in _OF_TRADES and row.asset == WALLET_ASSET]
    if not all(row.income.is_finite() for row in paid):
        raise ValueError("an amount that is none")
    payments = [
        Payment(f"{row.income_type} {row.tran_id}", row.symbol or "", row.income, row.time)
        for row in paid
    ]
    return payments, len(rows), rows[-1].time if rows else 0
