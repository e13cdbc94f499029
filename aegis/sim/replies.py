"""What REST says about orders, trades, positions and the account (protocol §11.2 and §13)."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Any

from aegis.sim.account import MARGIN_ASSET, Exposure
from aegis.sim.amounts import ZERO, mean, money, padded, plain
from aegis.sim.exchange import Exchange
from aegis.sim.listing import Listing
from aegis.sim.margin import bracket_at, largest_notional, liquidation_price
from aegis.sim.order import Order, OrderType, Side, Trade

__all__ = [
    "account_reply",
    "balance_reply",
    "order_query_reply",
    "order_reply",
    "position_reply",
    "trade_reply",
]

Reply = dict[str, Any]


def order_reply(order: Order, listing: Listing) -> Reply:
    """Describe an order as placing and cancelling it do."""
    asked, contract = order.asked, listing.contract
    executed = padded(order.executed, contract.quantity_places)
    limit = asked.type is OrderType.LIMIT
    return {
        "orderId": order.id,
        "symbol": asked.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": padded(asked.price, contract.price_places) if limit else "0",
        "avgPrice": padded(order.average_price, contract.price_places + 3),
        "origQty": padded(asked.quantity, contract.quantity_places),
        "executedQty": executed,
        "cumQty": executed,
        "cumQuote": plain(order.quote),
        "timeInForce": asked.time_in_force,
        "type": asked.type,
        "reduceOnly": asked.reduce_only,
        "closePosition": False,
        "side": asked.side,
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": asked.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": asked.self_trade,
        "goodTillDate": 0,
        "updateTime": order.updated_ms,
    }


def order_query_reply(order: Order, listing: Listing) -> Reply:
    """Describe an order as asking for it does."""
    return {**order_reply(order, listing), "time": order.created_ms}


def trade_reply(trade: Trade, listing: Listing) -> Reply:
    """Describe one fill of an own order."""
    contract = listing.contract
    quantity = padded(trade.quantity, contract.quantity_places)
    return {
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": padded(trade.price, contract.price_places),
        "qty": quantity,
        "baseQty": quantity,
        "realizedPnl": money(trade.realised),
        "marginAsset": contract.quote_asset,
        "quoteQty": plain(trade.price * trade.quantity),
        "commission": money(trade.fee),
        "commissionAsset": contract.quote_asset,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "buyer": trade.side is Side.BUY,
        "maker": trade.maker,
        "pair": trade.symbol,
    }


def position_reply(exchange: Exchange, listing: Listing, exposure: Exposure, *, v2: bool) -> Reply:
    """Describe a position as `positionRisk` does; version 2 has a few keys more."""
    symbol, account = listing.contract.symbol, exchange.account
    position = account.position(symbol)
    margin, order_margin = exposure.position_margin, exposure.order_margin
    reply = {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": padded(position.quantity, listing.contract.quantity_places),
        "entryPrice": mean(position.entry),
        "breakEvenPrice": mean(position.break_even),
        "markPrice": money(listing.mark),
        "unRealizedProfit": money(position.unrealised(listing.mark)),
        "liquidationPrice": plain(_liquidation_price(exchange, listing)),
        "isolatedMargin": "0",
        "notional": money(exposure.notional),
        "marginAsset": listing.contract.quote_asset,
        "isolatedWallet": "0",
        "initialMargin": money(margin + order_margin),
        "maintMargin": money(exposure.maintenance),
        "positionInitialMargin": money(margin),
        "openOrderInitialMargin": money(order_margin),
        "adl": 0,
        "bidNotional": plain(exposure.bids),
        "askNotional": plain(exposure.asks),
        "updateTime": position.updated_ms,
    }
    if v2:
        reply |= {
            "leverage": str(exposure.leverage),
            "marginType": "cross",
            "maxNotionalValue": plain(largest_notional(exposure.leverage)),
            "isAutoAddMargin": "false",
        }
    return reply


def _liquidation_price(exchange: Exchange, listing: Listing) -> Decimal:
    """Return where this position alone would be liquidated, all other marks standing still."""
    symbol, account = listing.contract.symbol, exchange.account
    position, balance = account.position(symbol), account.wallet
    if not position.quantity:
        return ZERO
    for other, mark in exchange.marks().items():
        if other != symbol:
            held = account.position(other)
            notional = abs(held.quantity * mark)
            bracket = bracket_at(notional)
            balance += held.unrealised(mark) - (notional * bracket.rate - bracket.cumulative)
    return liquidation_price(position.quantity, position.entry, balance)


def balance_reply(exchange: Exchange, now_ms: int) -> list[Reply]:
    """Describe the one balance."""
    wallet = exchange.account.wallet
    available = money(max(ZERO, exchange.spare_margin()))
    return [
        {
            "accountAlias": "aegis",
            "asset": MARGIN_ASSET,
            "balance": money(wallet),
            "crossWalletBalance": money(wallet),
            "crossUnPnl": money(exchange.account.equity(exchange.marks()) - wallet),
            "availableBalance": available,
            "maxWithdrawAmount": available,
            "marginAvailable": True,
            "updateTime": now_ms,
        }
    ]


def account_reply(exchange: Exchange, now_ms: int, *, v2: bool) -> Reply:
    """Describe the account: version 3 lists positions and open orders only, version 2 every symbol."""
    exposures = exchange.exposures()
    totals = _totals(exchange, exposures.values())
    usdt = {"asset": MARGIN_ASSET, **totals, "updateTime": now_ms}
    symbols = exchange.listings if v2 else exposures
    reply: Reply = {
        "totalInitialMargin": totals["initialMargin"],
        "totalMaintMargin": totals["maintMargin"],
        "totalWalletBalance": totals["walletBalance"],
        "totalUnrealizedProfit": totals["unrealizedProfit"],
        "totalMarginBalance": totals["marginBalance"],
        "totalPositionInitialMargin": totals["positionInitialMargin"],
        "totalOpenOrderInitialMargin": totals["openOrderInitialMargin"],
        "totalCrossWalletBalance": totals["crossWalletBalance"],
        "totalCrossUnPnl": totals["crossUnPnl"],
        "availableBalance": totals["availableBalance"],
        "maxWithdrawAmount": totals["maxWithdrawAmount"],
        "assets": [usdt],
        "positions": [
            _account_position(exchange, exchange.listings[each], exposures.get(each), v2=v2)
            for each in symbols
        ],
    }
    if v2:
        reply |= {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }
    return reply


def _totals(exchange: Exchange, exposures: Collection[Exposure]) -> dict[str, str]:
    wallet, equity = exchange.account.wallet, exchange.account.equity(exchange.marks())
    positions = sum((each.position_margin for each in exposures), ZERO)
    orders = sum((each.order_margin for each in exposures), ZERO)
    available = money(max(ZERO, equity - positions - orders))
    return {
        "walletBalance": money(wallet),
        "unrealizedProfit": money(equity - wallet),
        "marginBalance": money(equity),
        "maintMargin": money(sum((each.maintenance for each in exposures), ZERO)),
        "initialMargin": money(positions + orders),
        "positionInitialMargin": money(positions),
        "openOrderInitialMargin": money(orders),
        "crossWalletBalance": money(wallet),
        "crossUnPnl": money(equity - wallet),
        "availableBalance": available,
        "maxWithdrawAmount": available,
    }


def _account_position(
    exchange: Exchange, listing: Listing, exposure: Exposure | None, *, v2: bool
) -> Reply:
    symbol, account = listing.contract.symbol, exchange.account
    exposure = exposure or account.exposure(symbol, listing.mark, ())
    position = account.position(symbol)
    reply = {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": padded(position.quantity, listing.contract.quantity_places),
        "unrealizedProfit": money(position.unrealised(listing.mark)),
        "isolatedMargin": "0",
        "notional": money(exposure.notional),
        "isolatedWallet": "0",
        "initialMargin": money(exposure.position_margin + exposure.order_margin),
        "maintMargin": money(exposure.maintenance),
        "updateTime": position.updated_ms,
    }
    if v2:
        reply |= {
            "positionInitialMargin": money(exposure.position_margin),
            "openOrderInitialMargin": money(exposure.order_margin),
            "leverage": str(exposure.leverage),
            "isolated": False,
            "entryPrice": mean(position.entry),
            "breakEvenPrice": mean(position.break_even),
            "maxNotional": plain(largest_notional(exposure.leverage)),
            "bidNotional": plain(exposure.bids),
            "askNotional": plain(exposure.asks),
        }
    return reply
