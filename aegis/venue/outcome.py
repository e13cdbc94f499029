"""What an answer to an order means: accepted, refused, unavailable, or not known.

Not known is the one that costs money when it is taken for "no". It is everything that may have reached the
matching engine without an answer that proves otherwise: a timeout, a cut connection, any 5xx, -1007 and its kin,
an answer that cannot be read (protocol §7.2, §15; where two sources differ, the more cautious is taken).
"""

from __future__ import annotations

from typing import Final

import attrs
import msgspec

__all__ = ["Accepted", "Outcome", "Refused", "Unavailable", "Unknown", "classify"]


@attrs.frozen
class Accepted:
    """The exchange took it. It says nothing of fills: those come from trades alone."""

    exchange_id: int


@attrs.frozen
class Refused:
    """The exchange turned it down before its engine: nothing is open."""

    code: int
    message: str


@attrs.frozen
class Unknown:
    """It may be live, filled, or never placed: ask by client id, never send it again."""

    why: str


@attrs.frozen
class Unavailable:
    """It was not taken because of a limit or before a byte was sent: wait, then a *new* order may be made."""

    why: str
    banned_until_ms: int | None = None
    is_of_orders: bool = False
    """Too many orders; everything else may be asked on."""


Outcome = Accepted | Refused | Unknown | Unavailable

CLOCK_OFF: Final = -1021
"""The time of a request is not the exchange's."""
ORDER_MISSING: Final = -2013
"""Order does not exist: known to lag the truth by many seconds, so alone it proves nothing."""
CANCEL_MISSING: Final = -2011
NOT_OURS: Final = frozenset({-2014, -2015, -2017})
"""A key that is none, that is unknown or may not do this (from this address), and one that is locked."""

_UNPROVEN: Final = frozenset({-1000, -1001, -1006, -1007, -1008, -4116})
"""-4116, a client id that is open already, is evidence that an earlier request with it was taken."""
_TOO_MANY_ORDERS: Final = -1015
_LIMITED: Final = frozenset({-1003, _TOO_MANY_ORDERS})


class _Answer(msgspec.Struct, rename="camel"):
    """The parts of an order reply or of an error that decide."""

    order_id: int | None = None
    code: int | None = None
    msg: str = ""


_decode = msgspec.json.Decoder(_Answer, strict=False).decode  # a code may come as a string


def classify(status: int, body: bytes) -> Outcome:
    """Classify the answer to a request that places or cancels an order.

    Args:
        status: the HTTP status.
        body: the body as received; it may be HTML, empty or cut.
    """
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested too deep
        return Unknown(f"HTTP {status} with a body that is not an answer")
    code = answer.code or 0
    if status < 500 and (status in {418, 429} or code in _LIMITED):
        why = f"HTTP {status} {code} {answer.msg}"
        return Unavailable(why, _banned_until_ms(answer.msg), code == _TOO_MANY_ORDERS)
    if 200 <= status < 300:
        if answer.order_id is None:
            return Unknown(f"HTTP {status} without an order id")
        return Accepted(answer.order_id)
    if 400 <= status < 500 and status not in {403, 408, 409} and code < 0 and code not in _UNPROVEN:
        return Refused(code, answer.msg)
    return Unknown(f"HTTP {status} {code} {answer.msg}")


def _banned_until_ms(message: str) -> int | None:
    """The epoch in ms that a ban names ("… banned until 1615183669840. Please …"), if it does."""
    _, found, rest = message.partition("until ")
    digits = rest.split(".")[0].strip()
    return int(digits) if found and digits.isdigit() else None
