"""Who may trade: the paper key pair, and the check of a signed request (protocol §7.1 and §8)."""

from __future__ import annotations

import hashlib
import hmac
import re

import attrs

from aegis.errors import Rejected
from aegis.sim.params import Params, missing

__all__ = ["PAPER_KEY", "PAPER_SECRET", "Credentials", "signed_payload"]

# Public on purpose: they open nothing but the simulated exchange on this machine.
PAPER_KEY = "aegisPaperKey00000000000000000000000000000000000000000000000000"
PAPER_SECRET = "aegisPaperSecret0000000000000000000000000000000000000000000000"  # noqa: S105  # public, as said

_KEY_FORMAT = re.compile(r"[A-Za-z0-9]{16,128}\Z")
_SIGNATURE = re.compile(rb"(?:^|&)signature=([^&]*)")
_EARLIEST_MS = 1000
_DEFAULT_WINDOW_MS = 5000
_LARGEST_WINDOW_MS = 60_000


def signed_payload(query: bytes, body: bytes) -> tuple[bytes, bytes | None]:
    """Split a request into the bytes that were signed and the signature.

    The signed bytes are the query string immediately followed by the body, as sent, less the signature itself.
    """
    for part in (query, body):
        found = _SIGNATURE.search(part)
        if found:
            bare = (part[: found.start()] + part[found.end() :]).removeprefix(b"&")
            payload = bare + body if part is query else query + bare
            return payload, found.group(1)
    return query + body, None


@attrs.frozen
class Credentials:
    """The key pair of the one account."""

    key: str = PAPER_KEY
    secret: str = attrs.field(default=PAPER_SECRET, repr=False)

    def check_key(self, key: str | None) -> None:
        """Hold an X-MBX-APIKEY header against the account's key.

        Raises:
            Rejected: -2014 for what cannot be a key, -2015 for another one; status 401.
        """
        if key is None or not _KEY_FORMAT.match(key):
            raise Rejected(-2014, "API-key format invalid.", 401)
        if not hmac.compare_digest(key, self.key):
            raise Rejected(-2015, "Invalid API-key, IP, or permissions for action.", 401)

    def sign(self, payload: bytes) -> str:
        """Return the hexadecimal HMAC-SHA256 of a payload."""
        return hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()

    def check_signature(self, query: bytes, body: bytes) -> None:
        """Hold a request's signature against its bytes; hexadecimal case does not matter.

        Raises:
            Rejected: -1102 without a signature, -1022 for a wrong one.
        """
        payload, signature = signed_payload(query, body)
        if not signature:
            raise missing("signature")
        if not hmac.compare_digest(signature.lower(), self.sign(payload).encode()):
            raise Rejected(-1022, "Signature for this request is not valid.")

    @staticmethod
    def check_time(params: Params, now_ms: int) -> None:
        """Hold a request's timestamp against the clock: not 1000 ms early, not older than its recvWindow.

        Raises:
            Rejected: -1102 without a timestamp, -1021 for a wrong one, -1131 for a recvWindow beyond 60000.
        """
        timestamp = params.integer("timestamp")
        window_ms = params.optional_integer("recvWindow")
        window_ms = _DEFAULT_WINDOW_MS if window_ms is None else window_ms
        if not 0 < window_ms <= _LARGEST_WINDOW_MS:
            raise Rejected(-1131, "recvWindow must be less than 60000.")
        if timestamp >= now_ms + _EARLIEST_MS:
            raise Rejected(
                -1021, "Timestamp for this request was 1000ms ahead of the server's time."
            )
        if now_ms - timestamp > window_ms:
            raise Rejected(-1021, "Timestamp for this request is outside of the recvWindow.")
