"""How many requests and orders a client may send, and what happens when it does not listen (protocol §7.3)."""

from __future__ import annotations

from aegis.errors import Rejected

__all__ = ["RATE_LIMITS", "RequestLimits"]

WEIGHT_A_MINUTE = 2400
ORDERS_A_MINUTE = 1200
ORDERS_TEN_SECONDS = 300
_PATIENCE = 50  # refused requests within the minute before the ban; the venue publishes no figure
_BAN_MS = 120_000
_MINUTE_MS = 60_000
_TEN_SECONDS_MS = 10_000

RATE_LIMITS = [
    {"rateLimitType": kind, "interval": interval, "intervalNum": amount, "limit": limit}
    for kind, interval, amount, limit in (
        ("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_A_MINUTE),
        ("ORDERS", "MINUTE", 1, ORDERS_A_MINUTE),
        ("ORDERS", "SECOND", 10, ORDERS_TEN_SECONDS),
    )
]


class _Window:
    """A count that starts again with every full period of the clock."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._period = -1
        self._count = 0

    def add(self, amount: int, now_ms: int) -> int:
        if now_ms // self._period_ms != self._period:
            self._period, self._count = now_ms // self._period_ms, 0
        self._count += amount
        return self._count


class RequestLimits:
    """Counts for the one address and the one account that a loopback venue has."""

    def __init__(self, weight_a_minute: int = WEIGHT_A_MINUTE) -> None:
        self._limit = weight_a_minute
        self._weight = _Window(_MINUTE_MS)
        self._refused = _Window(_MINUTE_MS)
        self._orders_minute = _Window(_MINUTE_MS)
        self._orders_ten_seconds = _Window(_TEN_SECONDS_MS)
        self._banned_until_ms = 0

    def request(self, weight: int, now_ms: int) -> dict[str, str]:
        """Count a request.

        Returns:
            The header that says how much of the minute is used.

        Raises:
            Rejected: -1003 with status 429 beyond the limit, with 418 for those who go on regardless.
        """
        if now_ms >= self._banned_until_ms:
            used = self._weight.add(weight, now_ms)
            if used <= self._limit:
                return {"x-mbx-used-weight-1m": str(used)}
            if self._refused.add(1, now_ms) <= _PATIENCE:
                raise Rejected(-1003, self._too_many(), 429)
            self._banned_until_ms = now_ms + _BAN_MS
        raise Rejected(
            -1003,
            f"Way too many requests; IP(127.0.0.1) banned until {self._banned_until_ms}."
            " Please use the websocket for live updates to avoid bans.",
            418,
        )

    def order(self, now_ms: int) -> dict[str, str]:
        """Count an order.

        Returns:
            The headers that say how many were sent.

        Raises:
            Rejected: -1015 with status 429 beyond a limit.
        """
        ten_seconds = self._orders_ten_seconds.add(1, now_ms)
        minute = self._orders_minute.add(1, now_ms)
        if ten_seconds > ORDERS_TEN_SECONDS or minute > ORDERS_A_MINUTE:
            raise Rejected(
                -1015,
                "Too many new orders; current limit is"
                f" {ORDERS_TEN_SECONDS} orders per TEN_SECONDS and {ORDERS_A_MINUTE} per MINUTE.",
                429,
            )
        return {"x-mbx-order-count-10s": str(ten_seconds), "x-mbx-order-count-1m": str(minute)}

    def _too_many(self) -> str:
        return (
            f"Too many requests; current limit is {self._limit} requests per minute."
            " Please use the websocket for live updates to avoid polling the API."
        )
