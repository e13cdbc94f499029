"""REST endpoints that place, cancel and look up orders (protocol §9.2 and §11)."""

from __future__ import annotations

from typing import TypeVar

from aegis.errors import Rejected
from aegis.sim.endpoint import Desk, Endpoint, Security, Table
from aegis.sim.order import Order, OrderType, Status, TimeInForce
from aegis.sim.order_form import read_order
from aegis.sim.params import Params
from aegis.sim.replies import order_query_reply, order_reply, trade_reply

__all__ = ["TRADE_ENDPOINTS"]

Row = TypeVar("Row")
_SPAN_MS = 7 * 86_400_000
_AT_ONCE = {TimeInForce.IOC, TimeInForce.FOK}


def _place(desk: Desk, params: Params, now_ms: int) -> object:
    """Place an order; the ACK never says what was filled, RESULT does for orders that end at once (§11.2)."""
    asked = read_order(params)
    form = params.get("newOrderRespType", "ACK")
    if form not in {"ACK", "RESULT"}:
        raise Rejected(-1136, "Invalid newOrderRespType.")
    order = desk.exchange.place(asked, now_ms)
    ends_at_once = asked.type is OrderType.MARKET or asked.time_in_force in _AT_ONCE
    if form == "ACK" or not ends_at_once:
        order = Order(order.id, asked, order.client_id, order.created_ms, order.created_ms)
    return order_reply(order, desk.exchange.listing(asked.symbol))


def _ids(params: Params) -> tuple[str, int | None, str | None]:
    """Read which order is meant: by `orderId`, or else by `origClientOrderId`."""
    order_id, client_id = params.optional_integer("orderId"), params.get("origClientOrderId")
    if order_id is None and client_id is None:
        raise Rejected(
            -1102,
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        )
    return params.text("symbol"), order_id, client_id


def _cancel(desk: Desk, params: Params, now_ms: int) -> object:
    symbol, order_id, client_id = _ids(params)
    order = desk.exchange.cancel(symbol, order_id, client_id, now_ms)
    return order_reply(order, desk.exchange.listing(symbol))


def _cancel_all(desk: Desk, params: Params, now_ms: int) -> object:
    desk.exchange.cancel_all(params.text("symbol"), now_ms)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _query(desk: Desk, params: Params, _now_ms: int) -> object:
    symbol, order_id, client_id = _ids(params)
    order = desk.exchange.order(symbol, order_id, client_id)
    return order_query_reply(order, desk.exchange.listing(symbol))


def _query_open(desk: Desk, params: Params, _now_ms: int) -> object:
    symbol, order_id, client_id = _ids(params)
    order = desk.exchange.order(symbol, order_id, client_id)
    if order.status not in {Status.NEW, Status.PARTIALLY_FILLED}:
        raise Rejected(-2013, "Order does not exist.")
    return order_query_reply(order, desk.exchange.listing(symbol))


def _open_orders(desk: Desk, params: Params, _now_ms: int) -> object:
    orders = desk.exchange.open_orders(params.get("symbol"))
    return [order_query_reply(each, desk.exchange.listing(each.asked.symbol)) for each in orders]


def _all_orders(desk: Desk, params: Params, _now_ms: int) -> object:
    symbol = params.text("symbol")
    listing = desk.exchange.listing(symbol)
    first = params.optional_integer("orderId") or 0
    start, end = _span(params)
    mine = [
        each
        for each in desk.exchange.orders
        if each.asked.symbol == symbol
        and (start is None or each.created_ms >= start)
        and (end is None or each.created_ms <= end)
    ]
    chosen = _page([each for each in mine if each.id >= first], params, ascending_from="orderId")
    return [order_query_reply(each, listing) for each in chosen]


def _span(params: Params) -> tuple[int | None, int | None]:
    """The times between which a client asks; a week at most (protocol §9.2)."""
    start, end = params.optional_integer("startTime"), params.optional_integer("endTime")
    if start is not None and end is not None:
        if start > end:
            raise Rejected(-1023, "Start time is greater than end time.")
        if end - start > _SPAN_MS:
            raise Rejected(-4165, "Maximum time interval is 7 days.")
    return start, end


def _user_trades(desk: Desk, params: Params, _now_ms: int) -> object:
    symbol = params.text("symbol")
    listing = desk.exchange.listing(symbol)
    first, order_id = params.optional_integer("fromId"), params.optional_integer("orderId")
    start, end = _span(params)
    if first is not None and (start is not None or end is not None):
        raise Rejected(-1128, "Combination of optional parameters invalid.")
    mine = [
        each
        for each in desk.exchange.trades
        if each.symbol == symbol
        and (first is None or each.id >= first)
        and (order_id is None or each.order_id == order_id)
        and (start is None or each.time_ms >= start)
        and (end is None or each.time_ms <= end)
    ]
    return [trade_reply(each, listing) for each in _page(mine, params, ascending_from="fromId")]


def _page(rows: list[Row], params: Params, *, ascending_from: str) -> list[Row]:
    """Return at most `limit` rows: the first ones where the client named a start, by id or by time, else the last ones."""
    limit = params.optional_integer("limit")
    limit = 500 if limit is None else limit
    if not 0 < limit <= 1000:
        raise Rejected(-1130, "Data sent for parameter 'limit' is not valid.")
    is_ascending = ascending_from in params or "startTime" in params
    return rows[:limit] if is_ascending else rows[-limit:]


def _countdown(desk: Desk, params: Params, now_ms: int) -> object:
    symbol, countdown_ms = params.text("symbol"), params.integer("countdownTime")
    if countdown_ms < 0:
        raise Rejected(-1130, "Data sent for parameter 'countdownTime' is not valid.")
    desk.exchange.arm_countdown(symbol, countdown_ms, now_ms)
    return {"symbol": symbol, "countdownTime": str(countdown_ms)}


TRADE_ENDPOINTS: Table = {
    ("POST", "/fapi/v1/order"): Endpoint(_place, Security.SIGNED, weight=0, places_order=True),
    ("GET", "/fapi/v1/order"): Endpoint(_query, Security.SIGNED),
    ("DELETE", "/fapi/v1/order"): Endpoint(_cancel, Security.SIGNED),
    ("DELETE", "/fapi/v1/allOpenOrders"): Endpoint(_cancel_all, Security.SIGNED),
    ("GET", "/fapi/v1/openOrder"): Endpoint(_query_open, Security.SIGNED),
    ("GET", "/fapi/v1/openOrders"): Endpoint(
        _open_orders, Security.SIGNED, weight=lambda params: 1 if "symbol" in params else 40
    ),
    ("GET", "/fapi/v1/allOrders"): Endpoint(_all_orders, Security.SIGNED, weight=5),
    ("GET", "/fapi/v1/userTrades"): Endpoint(_user_trades, Security.SIGNED, weight=5),
    ("POST", "/fapi/v1/countdownCancelAll"): Endpoint(_countdown, Security.SIGNED, weight=10),
}
