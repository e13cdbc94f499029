"""Client order ids: unique for ever, readable, and recognisable as ours.

An id is `aegis-<begin>-<epoch>-<number>`. The epoch is the number of the run in its journal, so a stale process can
never make an id of a newer one. The begin is when the run began, in seconds of exchange time to the base 36: an account
may have seen runs of another journal, one that was deleted, and to ask for an order by their ids would find theirs. An id
is never put on the wire twice: the exchange would accept it again once the first order is filled (it is unique among
*open* orders only), and a second send would buy twice.
"""

from __future__ import annotations

import attrs

from aegis.errors import check

__all__ = ["PREFIX", "ClientIds", "is_forced", "is_ours"]

PREFIX = "aegis-"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
_LENGTH_MAX = 36  # the exchange's limit: ^[\.A-Z\:/a-z0-9_-]{1,36}$


@attrs.define
class ClientIds:
    """The ids of one run, in order."""

    epoch: int
    began_ms: int = 0
    """When the run began, in exchange time."""
    issued: int = 0

    def next(self) -> str:
        """A new id."""
        self.issued += 1
        client_id = f"{PREFIX}{_base36(self.began_ms // 1000)}-{self.epoch}-{self.issued}"
        check(len(client_id) <= _LENGTH_MAX, "a client order id fits the exchange's 36 characters")
        return client_id


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def is_forced(client_id: str) -> bool:
    """Whether an order is the exchange's own: a liquidation, a deleveraging, or the end of a contract (protocol §6.3)."""
    return client_id.startswith(_FORCED)


def is_ours(client_id: str) -> bool:
    """Whether an order on the account was placed by this engine, in this run or another."""
    return client_id.startswith(PREFIX)
