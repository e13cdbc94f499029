"""Control frames: what a client may send over a stream connection, and what it is answered (protocol §3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from aegis.errors import Rejected
from aegis.sim.routes import MAX_STREAMS

__all__ = ["INVALID_JSON", "Session", "answer"]

INVALID_JSON = 3  # the one error after which the venue disconnects
_encode = msgspec.json.Encoder().encode


class Session(Protocol):
    """The connection that control frames work on."""

    combined: bool

    @property
    def streams(self) -> list[str]:
        """The names subscribed to, whether or not they exist or speak on this route."""

    def subscribe(self, names: list[str]) -> None:
        """Add streams."""

    def unsubscribe(self, names: list[str]) -> None:
        """Remove streams; one that was not subscribed to is no error."""


def answer(message: str | bytes, session: Session) -> tuple[bytes, bool]:
    """Carry out a control frame.

    Returns:
        The reply, and whether the connection is to be closed after it.
    """
    request: dict[str, Any] = {}
    try:
        request = _read(message)
        method = _METHODS.get(str(request.get("method")))
        if method is None:
            raise _unknown_method(request)
        result = method(session, _checked_params(request))
    except Rejected as refusal:
        error: dict[str, Any] = {"error": {"code": refusal.code, "msg": refusal.text}}
        if _is_identity(request.get("id")):
            error["id"] = request["id"]
        return _encode(error), refusal.code == INVALID_JSON
    return _encode({"result": result, "id": request["id"]}), False


def _read(message: str | bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the last: nested too deep
        raise Rejected(INVALID_JSON, "Invalid JSON: expected value at line 1 column 1") from None
    return request if isinstance(request, dict) else {}


def _unknown_method(request: dict[str, Any]) -> Rejected:
    if "method" not in request:
        return Rejected(2, "Invalid request: missing field `method` at line 1 column 73")
    expected = ", ".join(f"`{each}`" for each in _METHODS)
    return Rejected(
        2,
        f"Invalid request: unknown variant {request['method']}, expected one of {expected}"
        " at line 1 column 28",
    )


def _checked_params(request: dict[str, Any]) -> list[Any]:
    if not _is_identity(request.get("id")):
        raise Rejected(2, "Invalid request: request ID must be an unsigned integer")
    params = request.get("params", [])
    return params if isinstance(params, list) else [params]


def _is_identity(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**64


def _names(params: list[Any]) -> list[str]:
    if not all(isinstance(each, str) for each in params):
        raise Rejected(2, "Invalid request: property name must be a string")
    return params


def _subscribe(session: Session, params: list[Any]) -> object:
    names = _names(params)
    if len({*session.streams, *names}) > MAX_STREAMS:
        raise Rejected(2, "Invalid request: too many parameters")
    session.subscribe(names)
    return None


def _unsubscribe(session: Session, params: list[Any]) -> object:
    session.unsubscribe(_names(params))
    return None


def _list_subscriptions(session: Session, _params: list[Any]) -> object:
    return session.streams


def _property(params: list[Any], expected: int) -> None:
    """Check that the parameters name the one property there is."""
    if len(params) > expected:
        raise Rejected(2, "Invalid request: too many parameters")
    if not params or not isinstance(params[0], str):
        raise Rejected(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise Rejected(0, "Unknown property")


def _set_property(session: Session, params: list[Any]) -> object:
    _property(params, expected=2)
    if len(params) < 2 or not isinstance(params[1], bool):
        raise Rejected(1, "Invalid value type: expected Boolean")
    session.combined = params[1]
    return None


def _get_property(session: Session, params: list[Any]) -> object:
    _property(params, expected=1)
    return session.combined


_METHODS: dict[str, Callable[[Session, list[Any]], object]] = {
    "SUBSCRIBE": _subscribe,
    "UNSUBSCRIBE": _unsubscribe,
    "LIST_SUBSCRIPTIONS": _list_subscriptions,
    "SET_PROPERTY": _set_property,
    "GET_PROPERTY": _get_property,
}
