"""The REST endpoint of every change of the wallet, whatever made it (protocol §9.3)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from aegis.errors import Rejected
from aegis.sim.account import MARGIN_ASSET
from aegis.sim.amounts import money
from aegis.sim.endpoint import Desk, Endpoint, Security, Table
from aegis.sim.exchange import Exchange
from aegis.sim.funding import Income, IncomeKind
from aegis.sim.params import Params

__all__ = ["INCOME_ENDPOINTS"]

_MOST = 1000
_WEEK_MS = 7 * 86_400_000


def _income(desk: Desk, params: Params, now_ms: int) -> object:
    """The last `limit` of the last week; with a start the first ones after it."""
    limit = params.optional_integer("limit")
    limit = 100 if limit is None else limit
    if not 0 < limit <= _MOST:
        raise Rejected(-1130, "Data sent for parameter 'limit' is not valid.")
    start, end = params.optional_integer("startTime"), params.optional_integer("endTime")
    first, last = now_ms - _WEEK_MS if start is None else start, now_ms if end is None else end
    kind, symbol = params.get("incomeType"), params.get("symbol")
    among = _trades(desk.exchange, first, last)
    if kind is None and symbol is None:  # then a page has room for so many of them at most
        among = among[:limit] if start is not None else among[-limit:]
    chosen = [
        (income, trade_id)
        for income, trade_id in _incomes(desk.exchange, among)
        if first <= income.time_ms <= last
        and kind in {None, income.kind.value}
        and symbol in {None, income.symbol}
    ]
    chosen.sort(key=lambda each: each[0].time_ms)
    page = chosen[-limit:] if start is None else chosen[:limit]
    return [_row(*each) for each in page]


def _trades(exchange: Exchange, first_ms: int, last_ms: int) -> range:
    """Where the trades of a span of time stand: they are in its order."""
    begin = bisect_left(exchange.trades, first_ms, key=lambda trade: trade.time_ms)
    return range(begin, bisect_right(exchange.trades, last_ms, key=lambda trade: trade.time_ms))


def _incomes(exchange: Exchange, places: range) -> Iterator[tuple[Income, str]]:
    """What these trades brought and cost, each with its trade, and all else. An id is unique in its kind."""
    for place in places:
        trade = exchange.trades[place]
        paid = Income(place, IncomeKind.COMMISSION, trade.symbol, -trade.fee, trade.time_ms)
        yield paid, str(trade.id)
        if trade.realised:
            kind = IncomeKind.REALIZED_PNL
            yield Income(place, kind, trade.symbol, trade.realised, trade.time_ms), str(trade.id)
    for income in exchange.account.incomes:
        yield income, ""


def _row(income: Income, trade_id: str) -> dict[str, Any]:
    return {
        "symbol": income.symbol,
        "incomeType": income.kind.value,
        "income": money(income.amount),
        "asset": MARGIN_ASSET,
        "info": income.kind.value,
        "time": income.time_ms,
        "tranId": income.id,
        "tradeId": trade_id,
    }


INCOME_ENDPOINTS: Table = {
    ("GET", "/fapi/v1/income"): Endpoint(_income, Security.SIGNED, weight=30),
}
