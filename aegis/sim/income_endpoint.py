"""The REST endpoint of every change of the wallet, whatever made it (protocol §9.3)."""

from __future__ import annotations

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
    rows = [
        _row(income, trade_id)
        for income, trade_id in _incomes(desk.exchange)
        if first <= income.time_ms <= last
        and kind in {None, income.kind.value}
        and symbol in {None, income.symbol}
    ]
    rows.sort(key=lambda row: row["time"])
    return rows[-limit:] if start is None else rows[:limit]


def _incomes(exchange: Exchange) -> Iterator[tuple[Income, str]]:
    """What trades brought and cost, each with its trade, and all else. An id is unique in its kind."""
    for number, trade in enumerate(exchange.trades, 1):
        paid = Income(number, IncomeKind.COMMISSION, trade.symbol, -trade.fee, trade.time_ms)
        yield paid, str(trade.id)
        if trade.realised:
            kind = IncomeKind.REALIZED_PNL
            yield Income(number, kind, trade.symbol, trade.realised, trade.time_ms), str(trade.id)
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
