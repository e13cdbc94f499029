"""REST endpoints that anyone may ask: time, contracts, book, marks and candles (protocol §9.1 and §10)."""

from __future__ import annotations

from typing import Any

from aegis.errors import Rejected
from aegis.sim.amounts import money, padded, plain
from aegis.sim.candles import INTERVALS_MS, Candle
from aegis.sim.contract import Contract
from aegis.sim.endpoint import Desk, Endpoint, Table
from aegis.sim.funding import FUNDING_RATE, next_funding_ms
from aegis.sim.listing import Listing
from aegis.sim.order import TimeInForce
from aegis.sim.params import Params
from aegis.sim.request_limits import RATE_LIMITS

__all__ = ["MARKET_ENDPOINTS"]

_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}


def _ping(_desk: Desk, _params: Params, _now_ms: int) -> object:
    return {}


def _time(_desk: Desk, _params: Params, now_ms: int) -> object:
    return {"serverTime": now_ms}


def _exchange_info(desk: Desk, _params: Params, now_ms: int) -> object:
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [_symbol_info(each.contract) for each in desk.exchange.listings.values()],
    }


def _symbol_info(contract: Contract) -> dict[str, Any]:
    return {
        "symbol": contract.symbol,
        "pair": contract.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": contract.base_asset,
        "quoteAsset": contract.quote_asset,
        "marginAsset": contract.quote_asset,
        "pricePrecision": contract.price_places,
        "quantityPrecision": contract.quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": plain(contract.market_take_bound),
        "maxMoveOrderLimit": 10_000,
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": list(TimeInForce),
        "filters": _filters(contract),
    }


def _filters(contract: Contract) -> list[dict[str, Any]]:
    step = plain(contract.step)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": padded(contract.min_price, contract.price_places),
            "maxPrice": plain(contract.max_price),
            "tickSize": padded(contract.tick, contract.price_places),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": step,
            "maxQty": plain(contract.max_quantity),
            "stepSize": step,
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": step,
            "maxQty": plain(contract.market_max_quantity),
            "stepSize": step,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": contract.max_open_orders},
        {"filterType": "MIN_NOTIONAL", "notional": plain(contract.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": padded(contract.multiplier_up, 4),
            "multiplierDown": padded(contract.multiplier_down, 4),
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]


def _depth_limit(params: Params) -> int:
    limit = params.optional_integer("limit")
    limit = 500 if limit is None else limit
    if limit not in _DEPTH_WEIGHTS:
        raise Rejected(-4021, f"{limit} is not valid depth limit.")
    return limit


def _depth(desk: Desk, params: Params, now_ms: int) -> object:
    listing = desk.exchange.listing(params.text("symbol"))
    shown = listing.public_book.show(_depth_limit(params))
    return {
        "lastUpdateId": shown.update_id,
        "E": now_ms,
        "T": now_ms,
        "bids": shown.bids,
        "asks": shown.asks,
    }


def _asked_listings(desk: Desk, params: Params) -> tuple[list[Listing], bool]:
    """Return the listing that was asked for, or all; and whether it was one."""
    if "symbol" in params:
        return [desk.exchange.listing(params["symbol"])], True
    return list(desk.exchange.listings.values()), False


def _book_ticker(desk: Desk, params: Params, now_ms: int) -> object:
    listings, single = _asked_listings(desk, params)
    rows = [_book_ticker_row(each, now_ms) for each in listings if single or each.book.quote]
    return rows[0] if single else rows


def _book_ticker_row(listing: Listing, now_ms: int) -> dict[str, Any]:
    contract, quote = listing.contract, listing.quote
    return {
        "symbol": contract.symbol,
        "bidPrice": padded(quote.bid, contract.price_places),
        "bidQty": padded(quote.bid_quantity, contract.quantity_places),
        "askPrice": padded(quote.ask, contract.price_places),
        "askQty": padded(quote.ask_quantity, contract.quantity_places),
        "time": now_ms,
    }


def _premium_index(desk: Desk, params: Params, now_ms: int) -> object:
    listings, single = _asked_listings(desk, params)
    rows = [_premium_index_row(each, now_ms) for each in listings]
    return rows[0] if single else rows


def _premium_index_row(listing: Listing, now_ms: int) -> dict[str, Any]:
    mark = money(listing.mark)
    return {
        "symbol": listing.contract.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": money(FUNDING_RATE),
        "interestRate": "0.00010000",
        "nextFundingTime": next_funding_ms(now_ms),
        "time": now_ms,
    }


def _kline_limit(params: Params) -> int:
    limit = params.optional_integer("limit")
    limit = 500 if limit is None else limit
    if not 0 < limit <= 1500:
        raise Rejected(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _klines(desk: Desk, params: Params, _now_ms: int) -> object:
    """Answer from the market's own trades and the past that a synthetic market begins with."""
    listing = desk.exchange.listing(params.text("symbol"))
    interval = params.text("interval")
    if interval not in INTERVALS_MS:
        raise Rejected(-1120, "Invalid interval.")
    start, end = params.optional_integer("startTime"), params.optional_integer("endTime")
    if start is not None and end is not None and start > end:
        raise Rejected(-1023, "Start time is greater than end time.")
    candles = [
        each
        for each in listing.candles.at(interval)
        if (start is None or each.open_ms >= start) and (end is None or each.open_ms <= end)
    ]
    limit = _kline_limit(params)
    chosen = candles[-limit:] if start is None else candles[:limit]
    return [_kline(each, interval, listing.contract) for each in chosen]


def _kline(candle: Candle, interval: str, contract: Contract) -> list[Any]:
    def price(ticks: int) -> str:
        return padded(ticks * contract.tick, contract.price_places)

    def volume(steps: int) -> str:
        return padded(steps * contract.step, contract.quantity_places)

    def quote(tick_steps: int) -> str:
        return plain(tick_steps * contract.tick * contract.step)

    return [
        candle.open_ms,
        price(candle.open),
        price(candle.high),
        price(candle.low),
        price(candle.close),
        volume(candle.volume),
        candle.open_ms + INTERVALS_MS[interval] - 1,
        quote(candle.quote),
        candle.trades,
        volume(candle.bought),
        quote(candle.bought_quote),
        "0",
    ]


def _kline_weight(params: Params) -> int:
    limit = _kline_limit(params)
    return next((weight for below, weight in ((100, 1), (500, 2), (1001, 5)) if limit < below), 10)


MARKET_ENDPOINTS: Table = {
    ("GET", "/fapi/v1/ping"): Endpoint(_ping),
    ("GET", "/fapi/v1/time"): Endpoint(_time),
    ("GET", "/fapi/v1/exchangeInfo"): Endpoint(_exchange_info),
    ("GET", "/fapi/v1/depth"): Endpoint(
        _depth, weight=lambda params: _DEPTH_WEIGHTS[_depth_limit(params)]
    ),
    ("GET", "/fapi/v1/ticker/bookTicker"): Endpoint(
        _book_ticker, weight=lambda params: 2 if "symbol" in params else 5
    ),
    ("GET", "/fapi/v1/premiumIndex"): Endpoint(
        _premium_index, weight=lambda params: 1 if "symbol" in params else 10
    ),
    ("GET", "/fapi/v1/klines"): Endpoint(_klines, weight=_kline_weight),
}
