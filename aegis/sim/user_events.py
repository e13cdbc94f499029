"""What the account's owner is told: the JSON of user-data events (protocol §6)."""

from __future__ import annotations

import msgspec

from aegis.sim.account import MARGIN_ASSET, Account, Exposure
from aegis.sim.amounts import mean, money, padded, plain
from aegis.sim.funding import Income, IncomeKind
from aegis.sim.listing import Listing
from aegis.sim.order import Execution, Order, OrderType, Step, Trade

__all__ = [
    "account_config_update",
    "account_update",
    "balance_update",
    "listen_key_expired",
    "order_trade_update",
    "trade_lite",
]

_encode = msgspec.json.Encoder().encode


def order_trade_update(
    execution: Execution, listing: Listing, exposure: Exposure, now_ms: int
) -> bytes:
    """Write one step of an order's life (§6.3)."""
    order, trade = execution.order, execution.trade
    asked, asset = order.asked, listing.contract.quote_asset
    fields = {
        "s": asked.symbol,
        "c": order.client_id,
        "S": asked.side,
        "o": asked.type,
        "f": asked.time_in_force,
        "q": plain(asked.quantity),
        "p": plain(asked.price),
        "ap": mean(order.average_price),
        "sp": "0",
        "x": execution.step,
        "X": order.status,
        "i": order.id,
        "l": plain(trade.quantity) if trade else "0",
        "z": plain(order.executed),
        "L": plain(trade.price) if trade else "0",
        "n": plain(trade.fee) if trade else "0",
        "N": asset,
        "T": now_ms,
        "t": trade.id if trade else 0,
        "b": plain(exposure.bids),
        "a": plain(exposure.asks),
        "m": bool(trade and trade.maker),
        "R": asked.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": asked.type,
        "ps": "BOTH",
        "cp": False,
        "rp": plain(trade.realised) if trade else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": asked.self_trade,
        "pm": "NONE",
        "gtd": 0,
        "er": order.expiry.value if execution.step is Step.EXPIRED else "0",
    }
    return _encode({"e": "ORDER_TRADE_UPDATE", "T": now_ms, "E": now_ms, "o": fields})


def account_update(account: Account, listing: Listing, now_ms: int) -> bytes:
    """Write wallet and the one position that orders have changed (§6.4)."""
    symbol, asset = listing.contract.symbol, listing.contract.quote_asset
    position = account.position(symbol)
    wallet = money(account.wallet)
    row = {
        "s": symbol,
        "pa": plain(position.quantity),
        "ep": mean(position.entry),
        "cr": plain(position.realised),
        "up": money(position.unrealised(listing.mark)),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": asset,
        "bep": mean(position.break_even),
    }
    balance = {"a": asset, "wb": wallet, "cw": wallet, "bc": "0"}
    update = {"B": [balance], "P": [row], "m": "ORDER"}
    return _encode({"e": "ACCOUNT_UPDATE", "T": now_ms, "E": now_ms, "a": update})


def balance_update(account: Account, income: Income) -> bytes:
    """Write a change of the wallet alone, as crossed positions have it: no position beside it (§6.4)."""
    wallet = money(account.wallet)
    balance = {"a": MARGIN_ASSET, "wb": wallet, "cw": wallet, "bc": money(income.amount)}
    came = "DEPOSIT" if income.amount > 0 else "WITHDRAW"
    update: dict[str, object] = {"B": [balance], "P": [], "m": came}
    if income.kind is IncomeKind.FUNDING_FEE:
        update |= {"m": "FUNDING_FEE", "S": income.symbol}
    return _encode({"e": "ACCOUNT_UPDATE", "T": income.time_ms, "E": income.time_ms, "a": update})


def trade_lite(order: Order, trade: Trade, listing: Listing, now_ms: int) -> bytes:
    """Write the short form of a fill: no fee, no status (§6.5)."""
    asked, contract = order.asked, listing.contract
    limit = asked.type is OrderType.LIMIT
    fields = {
        "e": "TRADE_LITE",
        "E": now_ms,
        "T": now_ms,
        "s": asked.symbol,
        "q": padded(asked.quantity, contract.quantity_places),
        "p": padded(asked.price, contract.price_places) if limit else "0",
        "m": trade.maker,
        "c": order.client_id,
        "S": asked.side,
        "L": padded(trade.price, contract.price_places),
        "l": padded(trade.quantity, contract.quantity_places),
        "t": trade.id,
        "i": order.id,
    }
    return _encode(fields)


def account_config_update(symbol: str, leverage: int, now_ms: int) -> bytes:
    """Write a change of leverage (§6.5)."""
    change = {"s": symbol, "l": leverage}
    return _encode({"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, "ac": change})


def listen_key_expired(key: str, now_ms: int) -> bytes:
    """Write the last thing that a listen key's stream says (§6.1)."""
    return _encode({"e": "listenKeyExpired", "E": now_ms, "listenKey": key})
