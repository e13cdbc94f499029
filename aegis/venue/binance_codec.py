"""The wire formats of Binance USD-M Futures: bytes in, typed values out. No input or output of its own.

Unknown fields are ignored and optional ones may be absent: the exchange adds fields several times a year. Prices
and quantities of *ticks* become float64 (they feed indicators); those of orders, trades and balances stay Decimal.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from aegis.errors import Refused
from aegis.orders.instrument import Side
from aegis.orders.order import Trade
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening
from aegis.venue.depth_codec import DepthUpdate
from aegis.venue.port import AccountView, OrderUpdate, OrderView

__all__ = [
    "AggTrade",
    "BookTicker",
    "DepthUpdate",
    "ListenKeyExpired",
    "MarketTrade",
    "Reply",
    "account_view",
    "decode_market",
    "decode_user",
    "my_trades",
    "order_view",
]


class BookTicker(msgspec.Struct, tag_field="e", tag="bookTicker"):
    """Best bid and ask."""

    s: str
    b: float
    B: float
    a: float
    A: float
    E: int


class AggTrade(msgspec.Struct, tag_field="e", tag="aggTrade"):
    """The fills of one taker order at one price."""

    s: str
    p: float
    q: float
    T: int
    m: bool


class MarketTrade(msgspec.Struct, tag_field="e", tag="trade"):
    """One fill: undocumented for futures today, and what recordings of 2024 hold."""

    s: str
    p: float
    q: float
    T: int
    m: bool


class Reply(msgspec.Struct):
    """The answer to a control frame, or a frame without an event."""

    id: int | None = None
    error: Any = None
    code: int | None = None

    @property
    def is_acknowledgement(self) -> bool:
        """Whether it says yes to a request: a refusal comes as `error`, or bare as `code`."""
        return self.id is not None and self.error is None and self.code is None


class _OrderFields(msgspec.Struct):
    """`o` of ORDER_TRADE_UPDATE (protocol §6.3)."""

    s: str
    c: str
    S: str
    x: str
    X: str
    i: int
    l: Decimal  # noqa: E741  # the wire's spelling
    L: Decimal
    z: Decimal
    T: int
    t: int
    n: Decimal = Decimal(0)
    N: str = "USDT"


class _OrderTradeUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    E: int
    o: _OrderFields


class _BalanceFields(msgspec.Struct):
    a: str
    wb: Decimal


class _PositionFields(msgspec.Struct):
    s: str
    pa: Decimal
    ep: Decimal
    ps: str = "BOTH"


class _AccountFields(msgspec.Struct):
    m: str
    B: list[_BalanceFields] = []
    P: list[_PositionFields] = []


class _AccountUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    E: int
    a: _AccountFields


class ListenKeyExpired(msgspec.Struct, tag_field="e", tag="listenKeyExpired"):
    """The user stream is over: nothing comes on it any more, though the socket stays open."""


MarketEvent = BookTicker | AggTrade | MarketTrade | DepthUpdate
_UserEvent = _OrderTradeUpdate | _AccountUpdate | ListenKeyExpired


class _Envelope(msgspec.Struct):
    """Any frame, as far as needed to tell a combined one (`data`), a raw one (`e`) and a reply apart."""

    data: msgspec.Raw = msgspec.Raw()
    e: str = ""


class _Event(msgspec.Struct):
    """The name of an event."""

    e: str = ""


_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_event: Final = msgspec.json.Decoder(_Event).decode
_reply: Final = msgspec.json.Decoder(Reply).decode
_user: Final = msgspec.json.Decoder(_UserEvent, strict=False).decode
_market: Final[Callable[[bytes | str | msgspec.Raw], MarketEvent]] = msgspec.json.Decoder(
    MarketEvent, strict=False
).decode
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""ValueError: bad UTF-8, an unheard-of side. RecursionError: deeper than any answer, even in a field that is skipped."""
_KNOWN_USER: Final = frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "listenKeyExpired"})


def decode_market(frame: bytes | str) -> MarketEvent | Reply:
    """One frame of a market socket, raw or combined.

    Raises:
        Refused: it is malformed, or an event that was never subscribed to.
    """
    try:
        envelope = _envelope(frame)
        if envelope.data:
            return _market(envelope.data)
        return _market(frame) if envelope.e else _reply(frame)
    except _UNREADABLE as why:
        raise Refused(f"a market frame cannot be read: {why}") from None


def decode_user(frame: bytes | str) -> OrderUpdate | AccountView | ListenKeyExpired | None:
    """One frame of the user stream, raw or combined; None for an event that changes nothing of ours.

    An ACCOUNT_UPDATE lists only what changed: its view holds just those positions.

    Raises:
        Refused: it is malformed.
    """
    try:
        body = _envelope(frame).data or frame
        if _event(body).e not in _KNOWN_USER:
            return None
        update = _user(body)
        if isinstance(update, _OrderTradeUpdate):
            return _order_update(update)
    except _UNREADABLE as why:
        raise Refused(f"a user event cannot be read: {why}") from None
    return _account_update(update) if isinstance(update, _AccountUpdate) else update


_EXECUTIONS: Final = {
    "NEW": Happening.ACCEPTED,
    "CANCELED": Happening.CANCELLED,
    "EXPIRED": Happening.EXPIRED,
}
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


def _order_update(update: _OrderTradeUpdate) -> OrderUpdate:
    fields = update.o
    trade = None
    if fields.t > 0 and fields.l > 0:  # TRADE, or CALCULATED in a liquidation
        trade = Trade(
            symbol=fields.s,
            trade_id=fields.t,
            client_id=fields.c,
            side=Side(fields.S),
            quantity=fields.l,
            price=fields.L,
            fee=fields.n,
            fee_asset=fields.N,
            event_ms=fields.T,
        )
    happening = _EXECUTIONS.get(fields.x)
    return OrderUpdate(fields.c, fields.s, fields.i, happening, fields.z, trade, update.E)


def _account_update(update: _AccountUpdate) -> AccountView | None:
    wallet = next((row.wb for row in update.a.B if row.a == "USDT"), None)
    if wallet is None:
        return None
    return AccountView(
        wallet, {row.s: Position(row.pa, row.ep) for row in update.a.P if row.ps == "BOTH"}
    )


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


class _AccountRow(msgspec.Struct, rename="camel"):
    total_wallet_balance: Decimal


_order_rows: Final = msgspec.json.Decoder(_OrderRow | list[_OrderRow]).decode
_trade_rows: Final = msgspec.json.Decoder(list[_TradeRow]).decode
_position_rows: Final = msgspec.json.Decoder(list[_PositionRow]).decode
_account_row: Final = msgspec.json.Decoder(_AccountRow).decode


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
    """The balance (`account`) and the open positions (`positionRisk`)."""
    rows = _position_rows(positions)
    return AccountView(
        _account_row(account).total_wallet_balance,
        {
            row.symbol: Position(row.position_amt, row.entry_price)
            for row in rows
            if row.position_side == "BOTH" and row.position_amt != 0
        },
    )
