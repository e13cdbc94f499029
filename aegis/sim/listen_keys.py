"""The key of the account's user-data stream, and how long it lives (protocol §6.1)."""

from __future__ import annotations

import random
import string

from aegis.errors import Rejected

__all__ = ["ListenKeys"]

LIFE_MS = 60 * 60_000
_ALPHABET = string.ascii_letters + string.digits
_LENGTH = 64


class ListenKeys:
    """At most one key at a time; an expired one never comes back."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._key: str | None = None
        self._expires_ms = 0

    @property
    def active(self) -> str | None:
        """The key that events go to."""
        return self._key

    def start(self, now_ms: int) -> str:
        """Return the active key, or a new one, good for 60 minutes from now."""
        if self._key is None:
            self._key = "".join(self._rng.choices(_ALPHABET, k=_LENGTH))
        self._expires_ms = now_ms + LIFE_MS
        return self._key

    def extend(self, now_ms: int) -> str:
        """Give the active key another 60 minutes.

        Raises:
            Rejected: -1125 when there is none.
        """
        if self._key is None:
            raise Rejected(-1125, "This listenKey does not exist.")
        return self.start(now_ms)

    def stop(self) -> None:
        """Invalidate the key; its stream stays silent from now on."""
        self._key = None

    def expire(self, now_ms: int) -> str | None:
        """Invalidate the key if its time has come and return it, so that its stream can be told."""
        if self._key is None or now_ms < self._expires_ms:
            return None
        key, self._key = self._key, None
        return key

    def expire_now(self) -> str | None:
        """Invalidate the key whatever its time, as an incident at the venue does, and return it."""
        return self.expire(self._expires_ms)
