"""Which streams share a socket: by their route, and so that the sockets of a route carry about the same load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from aegis.errors import Refused
from aegis.venue.binance_streams import Route, by_route, kind_of

__all__ = ["STREAMS_PER_SOCKET_MAX", "Shard", "plan_shards", "symbol_of"]

STREAMS_PER_SOCKET_MAX: Final = 1024
_LOADS: Final = {"bookTicker": 8, "depth": 8, "trade": 4, "aggTrade": 3}
"""How much a stream brings beside others, roughly; 1 for those not named here."""


@attrs.frozen
class Shard:
    """The streams of one socket."""

    route: Route
    number: int
    """Among those of its route."""
    streams: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.route.value}/{self.number}"


@attrs.define
class _Draft:
    load: int = 0
    streams: list[str] = attrs.Factory(list)


def plan_shards(
    streams: Iterable[str], streams_per_socket: int = STREAMS_PER_SOCKET_MAX
) -> tuple[Shard, ...]:
    """Share the streams out: as few sockets as there can be, the streams of one symbol together.

    Every socket of `/market` so has the mark prices of its own symbols, which show that it is alive.

    Args:
        streams: their names; one that comes twice counts once.
        streams_per_socket: at most.

    Raises:
        Refused: a stream has no route, or the streams of one symbol do not fit a socket.
    """
    if not 0 < streams_per_socket <= STREAMS_PER_SOCKET_MAX:
        raise Refused(f"a socket carries 1 to {STREAMS_PER_SOCKET_MAX} streams")
    return tuple(
        Shard(route, number, tuple(names))
        for route, wanted in by_route(dict.fromkeys(streams)).items()
        for number, names in enumerate(_share_out(wanted, streams_per_socket))
    )


def _share_out(streams: list[str], most: int) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for stream in streams:
        groups.setdefault(symbol_of(stream), []).append(stream)
    if too_many := [symbol for symbol, group in groups.items() if len(group) > most]:
        raise Refused(f"the streams of {too_many[0]} do not fit a socket of {most}")
    heaviest_first = sorted(groups.values(), key=_load, reverse=True)
    count = -(-len(streams) // most)
    while (drafts := _fill(heaviest_first, count, most)) is None:
        count += 1
    return [draft.streams for draft in drafts]


def _fill(groups: list[list[str]], count: int, most: int) -> list[_Draft] | None:
    """Each group into the lightest socket that has room for it; None if there is one without."""
    drafts = [_Draft() for _ in range(count)]
    for group in groups:
        open_ones = [draft for draft in drafts if len(draft.streams) + len(group) <= most]
        if not open_ones:
            return None
        lightest = min(open_ones, key=lambda draft: draft.load)
        lightest.load += _load(group)
        lightest.streams += group
    return drafts


def _load(streams: list[str]) -> int:
    return sum(_LOADS.get(kind_of(stream), 1) for stream in streams)


def symbol_of(stream: str) -> str:
    """The symbol of a stream, as the exchange writes it elsewhere; of a stream of all symbols, its name."""
    return stream.partition("@")[0].upper()
