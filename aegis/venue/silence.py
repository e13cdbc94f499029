"""Silence: for how long the exchange wants to hear nothing of us.

Who goes on asking after a 429 is banned by address (418), from two minutes to three days; and who goes on after that is
banned for longer (protocol §7.2). A 403 is the word of a firewall, which stops an address for minutes. So each of the three ends
every request until its time is over; the streams stay up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from aegis.venue.outcome import Outcome, Unavailable

__all__ = ["Silence"]

_FORBIDDEN: Final = 403
_BANNED: Final = 418
_LIMITED: Final = 429
_BAN_MS: Final = 120_000
"""The shortest ban: for one that names no end."""
_PAUSES_MS: Final = {_FORBIDDEN: 60_000, _BANNED: _BAN_MS, _LIMITED: 10_000}
"""For answers without a word on when to come back. A minute's weight comes back a sixth at a time; that of a firewall is
nowhere written down, and who asks once a minute does not feed it."""


@attrs.define
class Silence:
    """Until when nothing is asked, by the exchange's time."""

    until_ms: int = 0

    def lasts(self, now_ms: int) -> bool:
        """Whether nothing may be asked now."""
        return now_ms < self.until_ms

    def follow(
        self, status: int, headers: Mapping[str, str], answer: Outcome | None, now_ms: int
    ) -> None:
        """Take an answer: one that says too much was asked makes it silent, and nothing makes it shorter.

        Args:
            status: the HTTP status.
            headers: names in lower case.
            answer: what `outcome.classify` made of the body; it may name the end of a ban.
            now_ms: the exchange's time.
        """
        if status not in _PAUSES_MS:
            return
        pause_ms = _PAUSES_MS[status]
        seconds = headers.get("retry-after", "").strip()
        if seconds.isascii() and seconds.isdigit():
            pause_ms = 1000 * int(seconds)
        until_ms = now_ms + pause_ms
        if isinstance(answer, Unavailable) and answer.banned_until_ms is not None:
            until_ms = answer.banned_until_ms
        self.until_ms = max(self.until_ms, until_ms)
