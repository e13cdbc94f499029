"""Reads the parameters of `POST /fapi/v1/order` into an order (protocol §11.1)."""

from __future__ import annotations

import re

from aegis.errors import Rejected
from aegis.sim.amounts import ZERO
from aegis.sim.order import NewOrder, OrderType, SelfTrade, Side, TimeInForce
from aegis.sim.params import Params

__all__ = ["read_order"]

_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
_LONGEST_CLIENT_ID = 36
_CONDITIONAL = {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
_OF_CONDITIONAL = ("closePosition", "stopPrice", "activationPrice", "callbackRate")
"""What only orders of the algo service take: an order that forgot them would be another one."""


def read_order(params: Params) -> NewOrder:
    """Read an order.

    Raises:
        Rejected: -11xx for what is missing, malformed or not wanted; -4015, -4060, -4061, -4120, -1130.
    """
    side = params.choice("side", Side, Rejected(-1117, "Invalid side."))
    kind = _type(params)
    _check_position_side(params)
    for name in ("priceMatch", "goodTillDate"):
        if params.get(name, "NONE") not in {"NONE", "0"}:
            raise Rejected(-1130, f"Data sent for parameter '{name}' is not valid.")
    for name in _OF_CONDITIONAL:
        if params.get(name, "false").lower() not in {"", "false", "0"}:
            raise Rejected(-1106, f"Parameter '{name}' sent when not required.")
    market = kind is OrderType.MARKET
    if market:
        _refuse_unwanted(params)
    return NewOrder(
        symbol=params.text("symbol"),
        side=side,
        type=kind,
        quantity=params.decimal("quantity"),
        price=ZERO if market else params.decimal("price"),
        time_in_force=TimeInForce.GTC if market else _time_in_force(params),
        client_id=_client_id(params),
        reduce_only=params.flag("reduceOnly", default=False),
        self_trade=_self_trade(params),
    )


def _type(params: Params) -> OrderType:
    if params.text("type") in _CONDITIONAL:
        raise Rejected(
            -4120,
            "Order type not supported for this endpoint."
            " Please use the Algo Order API endpoints instead.",
        )
    return params.choice("type", OrderType, Rejected(-1116, "Invalid orderType."))


def _time_in_force(params: Params) -> TimeInForce:
    return params.choice("timeInForce", TimeInForce, Rejected(-1115, "Invalid timeInForce."))


def _refuse_unwanted(params: Params) -> None:
    """Turn down what a MARKET order must not bring."""
    for name in ("price", "timeInForce"):
        if name in params:
            raise Rejected(-1106, f"Parameter '{name}' sent when not required.")


def _check_position_side(params: Params) -> None:
    """Take BOTH only: the account is in one-way mode."""
    side = params.get("positionSide", "BOTH")
    if side in {"LONG", "SHORT"}:
        raise Rejected(-4061, "Order's position side does not match user's setting.")
    if side != "BOTH":
        raise Rejected(-4060, "Invalid position side.")


def _client_id(params: Params) -> str:
    client_id = params.get("newClientOrderId", "")
    if len(client_id) > _LONGEST_CLIENT_ID:
        raise Rejected(-4015, "Client order id length should not be more than 36 chars")
    if client_id and not _CLIENT_ID.match(client_id):
        raise Rejected(
            -1100,
            "Illegal characters found in parameter 'newClientOrderId';"
            r" legal range is '^[\.A-Z\:/a-z0-9_-]{1,36}$'.",
        )
    return client_id


def _self_trade(params: Params) -> SelfTrade:
    name = "selfTradePreventionMode"
    if name not in params:
        return SelfTrade.EXPIRE_MAKER
    return params.choice(
        name, SelfTrade, Rejected(-1130, f"Data sent for parameter '{name}' is not valid.")
    )
