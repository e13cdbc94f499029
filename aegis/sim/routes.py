"""Which route carries which stream, and what a WebSocket URL asks for (protocol §1)."""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import parse_qs, unquote

import attrs

__all__ = ["MAX_STREAMS", "Route", "Target", "read_target", "route_of"]

MAX_STREAMS = 1024
_PUBLIC_STREAM = re.compile(r"(!bookTicker|.+@(bookTicker|depth.*|rpiDepth.*))\Z")


class Route(StrEnum):
    """The three entrances for WebSocket connections."""

    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


@attrs.frozen
class Target:
    """What a connection asks for by its URL. On the private route a stream is a listen key."""

    route: Route
    combined: bool
    streams: tuple[str, ...] = ()
    events: frozenset[str] | None = None  # user-data events wanted; None: all


def route_of(stream: str) -> Route:
    """Return the route on which a market stream speaks; on the other one it stays silent."""
    return Route.PUBLIC if _PUBLIC_STREAM.match(stream) else Route.MARKET


def read_target(path: str) -> Target | None:
    """Read the path and query of a WebSocket request; None for one that the venue does not serve."""
    path, _, arguments = path.partition("?")
    parts = unquote(path).split("/")[1:]
    if len(parts) < 2 or parts[0] not in set(Route) or parts[1] not in {"ws", "stream"}:
        return None
    query = parse_qs(arguments)
    route, is_combined, names = Route(parts[0]), parts[1] == "stream", parts[2:]
    if any(not each for each in names) or (is_combined and names):
        return None
    events = frozenset("/".join(query["events"]).split("/")) if "events" in query else None
    if route is Route.PRIVATE:
        names += query.get("listenKey", [])
    elif is_combined:
        names += [name for each in query.get("streams", []) for name in each.split("/") if name]
    if len(names) > MAX_STREAMS:
        return None
    return Target(route, is_combined, tuple(dict.fromkeys(names)), events)
