"""Answers REST requests: finds the endpoint, holds the caller against its terms, and writes the reply (protocol §7)."""

from __future__ import annotations

import msgspec

from aegis.errors import Rejected
from aegis.sim.account_endpoints import ACCOUNT_ENDPOINTS
from aegis.sim.credentials import Credentials
from aegis.sim.endpoint import Desk, Endpoint, Security, Table
from aegis.sim.http1 import HttpReply, HttpRequest
from aegis.sim.income_endpoint import INCOME_ENDPOINTS
from aegis.sim.market_endpoints import MARKET_ENDPOINTS
from aegis.sim.params import Params
from aegis.sim.request_limits import RequestLimits
from aegis.sim.trade_endpoints import TRADE_ENDPOINTS

__all__ = ["ENDPOINTS", "Rest"]

ENDPOINTS: Table = {
    **MARKET_ENDPOINTS,
    **TRADE_ENDPOINTS,
    **ACCOUNT_ENDPOINTS,
    **INCOME_ENDPOINTS,
}
_encode = msgspec.json.Encoder().encode


class Rest:
    """The REST side of the venue without its sockets."""

    def __init__(self, desk: Desk, credentials: Credentials, limits: RequestLimits) -> None:
        self._desk = desk
        self._credentials = credentials
        self._limits = limits

    def answer(self, request: HttpRequest, now_ms: int) -> HttpReply:
        """Answer one request at a time of the venue's clock."""
        headers: dict[str, str] = {}
        try:
            endpoint = _find(request)
            params = Params(request.query, request.body)
            headers |= self._limits.request(endpoint.weigh(params), now_ms)
            self._check_caller(endpoint, request, params, now_ms)
            if endpoint.places_order:
                headers |= self._limits.order(now_ms)
            return HttpReply(200, _encode(endpoint.answer(self._desk, params, now_ms)), headers)
        except Rejected as refusal:
            if refusal.status in {418, 429}:
                headers["retry-after"] = "60"
            body = _encode({"code": refusal.code, "msg": refusal.text})
            return HttpReply(refusal.status, body, headers)

    def _check_caller(
        self, endpoint: Endpoint, request: HttpRequest, params: Params, now_ms: int
    ) -> None:
        if endpoint.security is Security.NONE:
            return
        self._credentials.check_key(request.headers.get("x-mbx-apikey"))
        if endpoint.security is Security.SIGNED:
            self._credentials.check_signature(request.query, request.body)
            self._credentials.check_time(params, now_ms)


def _find(request: HttpRequest) -> Endpoint:
    try:
        return ENDPOINTS[request.method, request.path]
    except KeyError:
        text = f"Path {request.path}, Method {request.method} is invalid"
        raise Rejected(-5000, text, 404) from None
