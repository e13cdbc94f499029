"""The user stream of Binance USD-M Futures (protocol §6): bytes in, typed values out. No input or output of its own.

Unknown fields are ignored and optional ones may be absent. Amounts stay Decimal.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from aegis.errors import Refused
from aegis.orders.instrument import Side
from aegis.orders.order import Trade
from aegis.orders.portfolio import WALLET_ASSET, Position
from aegis.orders.states import Happening
from aegis.venue.port import AccountView, OrderUpdate

__all__ = ["ListenKeyExpired", "decode_user"]


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
    N: str = WALLET_ASSET


class _OrderTradeUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    E: int
    o: _OrderFields
    st: int = 1  # 1: margined in USD, 2: in the coin


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


_UserEvent = _OrderTradeUpdate | _AccountUpdate | ListenKeyExpired


class _Envelope(msgspec.Struct):
    """Any frame, as far as needed to tell a combined one from a raw one."""

    data: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    """The name of an event."""

    e: str = ""


_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_event: Final = msgspec.json.Decoder(_Event).decode
_user: Final = msgspec.json.Decoder(_UserEvent, strict=False).decode
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""ValueError: bad UTF-8, an unheard-of side. RecursionError: deeper than any answer, even in a field that is skipped."""
_COIN_MARGINED: Final = 2
"""Contracts of the other half of the exchange: the account that we see holds none."""
_KNOWN: Final = frozenset({"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "listenKeyExpired"})


def decode_user(frame: bytes | str) -> OrderUpdate | AccountView | ListenKeyExpired | None:
    """One frame of the user stream, raw or combined; None for an event that changes nothing of ours.

    An ACCOUNT_UPDATE lists only what changed: its view holds just those positions.

    Raises:
        Refused: it is malformed.
    """
    try:
        body = _envelope(frame).data or frame
        if _event(body).e not in _KNOWN:
            return None
        update = _user(body)
        if isinstance(update, _OrderTradeUpdate):
            return None if update.st == _COIN_MARGINED else _order_update(update)
    except _UNREADABLE as why:
        raise Refused(f"a user event cannot be read: {why}") from None
    return _account_update(update) if isinstance(update, _AccountUpdate) else update


_EXECUTIONS: Final = {
    "NEW": Happening.ACCEPTED,
    "CANCELED": Happening.CANCELLED,
    "EXPIRED": Happening.EXPIRED,
}


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
    wallet = next((row.wb for row in update.a.B if row.a == WALLET_ASSET), None)
    if wallet is None:
        return None
    return AccountView(
        wallet, {row.s: Position(row.pa, row.ep) for row in update.a.P if row.ps == "BOTH"}
    )
