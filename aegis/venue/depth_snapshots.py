"""Snapshots of order books over REST, within a share of the exchange's request weight (protocol §7.3 and §9.1)."""

from __future__ import annotations

from typing import Final, Self

import httpx
import trio

from aegis.errors import Unavailable
from aegis.kernel.clock import Clock
from aegis.venue.depth_codec import DepthSnapshot, decode_snapshot
from aegis.venue.outcome import classify
from aegis.venue.silence import Silence
from aegis.venue.throttle import Throttle

__all__ = ["LIMIT", "DepthSnapshots"]

LIMIT: Final = 1000
"""Levels of a side: the most there are, so that the price takes longest to leave them."""
_WEIGHT: Final = 20
_SHARE: Final = 600
"""A quarter of the 2,400 a minute: thirty snapshots. A full bucket may add as many in the first minute."""
_USED_MAX: Final = 1920
"""Nothing is asked for while everybody here together has used 80 % of the minute."""
_MINUTE_MS: Final = 60_000
_LOOK_S: Final = 0.5
_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 1.0
_BANS: Final = frozenset({418, 429})
_NS_PER_MS: Final = 1_000_000


class DepthSnapshots:
    """Asks for one snapshot at a time."""

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._clock = clock
        self._weight = Throttle(limit=_SHARE, window_ms=_MINUTE_MS)
        self._silence = Silence()
        self._http = httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_S, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections, whatever is going on around."""
        with trio.move_on_after(_CLOSE_S, shield=True):
            await self._http.aclose()

    async def budget(self) -> None:
        """Wait until the next snapshot is within the share, and the exchange will hear us."""
        while self._silence.lasts(self._wall_ms()):
            await trio.sleep(_LOOK_S)
        while not self._weight.take(self._now_ms(), _WEIGHT):
            await trio.sleep(_LOOK_S)

    async def fetch(self, symbol: str) -> DepthSnapshot:
        """Ask for a snapshot; `budget` comes first.

        Raises:
            Unavailable: there was no answer, or one that says to come later.
            Refused: the answer cannot be read.
        """
        params: dict[str, str | int] = {"symbol": symbol, "limit": LIMIT}
        try:
            response = await self._http.get("/fapi/v1/depth", params=params)
        except httpx.HTTPError as why:
            raise Unavailable(f"GET /fapi/v1/depth: {type(why).__name__}") from None
        used = response.headers.get("x-mbx-used-weight-1m", "")
        if used.isdigit():
            self._weight.correct(self._now_ms(), int(used) - (_USED_MAX - _SHARE))
        if response.status_code in _BANS:
            self._weight.correct(self._now_ms(), _SHARE)  # nothing more in this minute
            answer = classify(response.status_code, response.content)
            headers, now_ms = response.headers, self._wall_ms()
            self._silence.follow(response.status_code, headers, answer, now_ms)
        if response.status_code != 200:
            raise Unavailable(f"GET /fapi/v1/depth: HTTP {response.status_code}")
        return decode_snapshot(response.content, LIMIT)

    def _now_ms(self) -> int:
        return self._clock.monotonic_ns() // _NS_PER_MS

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // _NS_PER_MS
