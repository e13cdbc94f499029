"""REST endpoints about the account: positions, balance, leverage, modes, listen key (protocol §9.3)."""

from __future__ import annotations

from functools import partial
from typing import Any

from aegis.errors import Rejected
from aegis.sim.amounts import plain
from aegis.sim.endpoint import Answer, Desk, Endpoint, Security, Table
from aegis.sim.margin import BRACKETS, MAKER_RATE, TAKER_RATE, largest_notional
from aegis.sim.params import Params
from aegis.sim.replies import account_reply, balance_reply, position_reply

__all__ = ["ACCOUNT_ENDPOINTS"]

_HIGHEST_LEVERAGE = 125


def _account(desk: Desk, _params: Params, now_ms: int, *, v2: bool) -> object:
    return account_reply(desk.exchange, now_ms, v2=v2)


def _balance(desk: Desk, _params: Params, now_ms: int) -> object:
    return balance_reply(desk.exchange, now_ms)


def _position_risk(desk: Desk, params: Params, _now_ms: int, *, v2: bool) -> object:
    """Answer for the symbol asked for; else version 3 lists what is busy, version 2 everything."""
    exchange, exposures = desk.exchange, desk.exchange.exposures()
    symbols = [exchange.listing(params["symbol"]).contract.symbol] if "symbol" in params else None
    if symbols is None:
        symbols = list(exchange.listings if v2 else exposures)
    rows = []
    for symbol in symbols:
        listing = exchange.listings[symbol]
        flat = exchange.account.exposure(symbol, listing.mark, ())
        rows.append(position_reply(exchange, listing, exposures.get(symbol, flat), v2=v2))
    return rows


def _leverage(desk: Desk, params: Params, now_ms: int) -> object:
    symbol, leverage = params.text("symbol"), params.integer("leverage")
    desk.exchange.listing(symbol)
    if not 0 < leverage <= _HIGHEST_LEVERAGE:
        raise Rejected(-4028, f"Leverage {leverage} is not valid")
    desk.exchange.set_leverage(symbol, leverage, now_ms)
    cap = plain(largest_notional(leverage))
    return {"leverage": leverage, "maxNotionalValue": cap, "symbol": symbol}


def _leverage_bracket(desk: Desk, params: Params, _now_ms: int) -> object:
    listings = desk.exchange.listings
    symbols = (
        [desk.exchange.listing(params["symbol"]).contract.symbol]
        if "symbol" in params
        else list(listings)
    )
    return [{"symbol": each, "brackets": _BRACKET_ROWS} for each in symbols]


def _number(text: str) -> int | float:
    """Return the JSON number that the bracket endpoint writes: the one place where it is no string."""
    return float(text) if "." in text else int(text)


_BRACKET_ROWS: list[dict[str, Any]] = [
    {
        "bracket": each.number,
        "initialLeverage": each.leverage,
        "notionalCap": _number(plain(each.cap)),
        "notionalFloor": _number(plain(each.floor)),
        "maintMarginRatio": _number(plain(each.rate)),
        "cum": _number(plain(each.cumulative)),
    }
    for each in BRACKETS
]


def _commission_rate(desk: Desk, params: Params, _now_ms: int) -> object:
    symbol = params.text("symbol")
    desk.exchange.listing(symbol)
    return {
        "symbol": symbol,
        "makerCommissionRate": plain(MAKER_RATE),
        "takerCommissionRate": plain(TAKER_RATE),
        "rpiCommissionRate": "0.00005",
    }


def _account_config(_desk: Desk, _params: Params, _now_ms: int) -> object:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": False,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def _mode(name: str) -> Answer:
    """Make the question for a mode that is always off here."""

    def answer(_desk: Desk, _params: Params, _now_ms: int) -> object:
        return {name: False}

    return answer


def _mode_change(name: str, code: int, text: str) -> Answer:
    """Make the change of a mode that is always off here: off is no change, on is not supported."""

    def answer(_desk: Desk, params: Params, _now_ms: int) -> object:
        if params.flag(name):
            raise Rejected(-1020, "This operation is not supported.")
        raise Rejected(code, text)

    return answer


def _margin_type(desk: Desk, params: Params, _now_ms: int) -> object:
    """Answer a change of margin type: all positions are crossed."""
    desk.exchange.listing(params.text("symbol"))
    if params.text("marginType") == "CROSSED":
        raise Rejected(-4046, "No need to change margin type.")
    raise Rejected(-1020, "This operation is not supported.")


def _listen_key_start(desk: Desk, _params: Params, now_ms: int) -> object:
    return {"listenKey": desk.listen_keys.start(now_ms)}


def _listen_key_extend(desk: Desk, _params: Params, now_ms: int) -> object:
    return {"listenKey": desk.listen_keys.extend(now_ms)}


def _listen_key_stop(desk: Desk, _params: Params, _now_ms: int) -> object:
    desk.listen_keys.stop()
    return {}


_DUAL = "dualSidePosition"
_MULTI = "multiAssetsMargin"

ACCOUNT_ENDPOINTS: Table = {
    ("GET", "/fapi/v2/account"): Endpoint(partial(_account, v2=True), Security.SIGNED, 5),
    ("GET", "/fapi/v3/account"): Endpoint(partial(_account, v2=False), Security.SIGNED, 5),
    ("GET", "/fapi/v2/balance"): Endpoint(_balance, Security.SIGNED, 5),
    ("GET", "/fapi/v3/balance"): Endpoint(_balance, Security.SIGNED, 5),
    ("GET", "/fapi/v2/positionRisk"): Endpoint(
        partial(_position_risk, v2=True), Security.SIGNED, 5
    ),
    ("GET", "/fapi/v3/positionRisk"): Endpoint(
        partial(_position_risk, v2=False), Security.SIGNED, 5
    ),
    ("POST", "/fapi/v1/leverage"): Endpoint(_leverage, Security.SIGNED),
    ("GET", "/fapi/v1/leverageBracket"): Endpoint(_leverage_bracket, Security.SIGNED),
    ("GET", "/fapi/v1/commissionRate"): Endpoint(_commission_rate, Security.SIGNED, 20),
    ("GET", "/fapi/v1/accountConfig"): Endpoint(_account_config, Security.SIGNED, 5),
    ("POST", "/fapi/v1/marginType"): Endpoint(_margin_type, Security.SIGNED),
    ("GET", "/fapi/v1/positionSide/dual"): Endpoint(_mode(_DUAL), Security.SIGNED, 30),
    ("POST", "/fapi/v1/positionSide/dual"): Endpoint(
        _mode_change(_DUAL, -4059, "No need to change position side."), Security.SIGNED
    ),
    ("GET", "/fapi/v1/multiAssetsMargin"): Endpoint(_mode(_MULTI), Security.SIGNED, 30),
    ("POST", "/fapi/v1/multiAssetsMargin"): Endpoint(
        _mode_change(_MULTI, -4171, "No need to change multi-assets mode."), Security.SIGNED
    ),
    ("POST", "/fapi/v1/listenKey"): Endpoint(_listen_key_start, Security.KEY),
    ("PUT", "/fapi/v1/listenKey"): Endpoint(_listen_key_extend, Security.KEY),
    ("DELETE", "/fapi/v1/listenKey"): Endpoint(_listen_key_stop, Security.KEY),
}
