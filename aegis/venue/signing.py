"""Signing: the one file that touches a secret.

`totalParams` is the query string immediately followed by the body, and the signature is the hex HMAC-SHA256 of
exactly the bytes that go out (protocol §8). So the caller builds the bytes once, signs them, and sends them as
they are; an HTTP library that encodes them again would break the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from typing import Final, final
from urllib.parse import quote

from aegis.errors import Refused

__all__ = ["Credentials", "encode"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII).fullmatch


@final
class Credentials:
    """An API key with its secret. The secret cannot be read back, printed or pickled."""

    __slots__ = ("__mac", "key")

    def __init__(self, key: str, secret: str) -> None:
        if not key or not secret:
            raise Refused("an API key and its secret are both needed")
        self.key = key
        self.__mac = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        """The hex signature of the exact bytes that go out."""
        mac = self.__mac.copy()  # the keyed state is computed once: signing is two hash blocks
        mac.update(payload)
        return mac.hexdigest()

    def signed(self, params: Mapping[str, object]) -> str:
        """The query string of a signed request, its signature last."""
        query = encode(params)
        return f"{query}&signature={self.sign(query.encode())}"

    def __repr__(self) -> str:
        return f"<credentials of key {self.key[:4]}…>"

    def __reduce__(self) -> str:
        raise Refused("credentials are not pickled")

    @classmethod
    def from_environment(cls) -> Credentials:
        """The credentials in BINANCE_API_KEY and BINANCE_API_SECRET, removed from the environment once read.

        Removed, so that no child process and no crash report inherits them.

        Raises:
            Refused: one of them is not set.
        """
        key, secret = (os.environ.pop(f"BINANCE_API_{part}", "") for part in ("KEY", "SECRET"))
        if not key or not secret:
            raise Refused("set BINANCE_API_KEY and BINANCE_API_SECRET in the environment")
        return cls(key, secret)


def encode(params: Mapping[str, object]) -> str:
    """A query string in the given order, percent-encoded in UTF-8; None values are left out."""
    return "&".join(
        [
            # Most are plain, and an order does not wait for the library to find that out.
            f"{name}={text if _PLAIN(text := str(value)) else quote(text, safe='')}"
            for name, value in params.items()
            if value is not None
        ]
    )
