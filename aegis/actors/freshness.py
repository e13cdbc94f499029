"""Which streams of a socket have been silent for too long, and what is to be done about it.

Silence means different things. A mark price comes every second whatever happens, so that its silence is a fault; the
best quotes of a liquid symbol nearly so; nobody has to trade. So every kind of stream has a deadline of its own, or
none. A stream that misses it is subscribed to again; if it misses twice that, and its kind never rests, the socket is
replaced. From then on it is given twice the time after each attempt: a contract that was delisted costs less and less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from aegis.errors import check
from aegis.venue.binance_streams import kind_of

__all__ = ["RESTLESS", "Freshness", "Look"]

RESTLESS: Final = frozenset({"bookTicker", "markPrice"})
"""Kinds that are never silent for long while the exchange works: one that is has lost something."""
_DOUBLINGS_MAX: Final = 10

Counts = npt.NDArray[np.int64]


@attrs.frozen
class Look:
    """What is to be done now."""

    resubscribe: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    """The streams for whose sake the socket is replaced, if there are any."""


class Freshness:
    """Follows the streams of one shard, over all its sockets.

    Args:
        streams: their names.
        deadlines_ms: by kind; a kind that is not named, or 0, has none.
    """

    def __init__(self, streams: Sequence[str], deadlines_ms: Mapping[str, int]) -> None:
        kinds = [kind_of(stream) for stream in streams]
        self._streams: Final = tuple(streams)
        self._deadline_ms: Final = np.array([deadlines_ms.get(kind, 0) for kind in kinds], np.int64)
        self._is_restless: Final = np.array([kind in RESTLESS for kind in kinds], bool)
        self._counts: Counts = np.full(len(kinds), -1, np.int64)
        self._since_ms: Counts = np.zeros(len(kinds), np.int64)
        self._misses: Counts = np.zeros(len(kinds), np.int64)

    def begin(self, counts: Counts, now_ms: int) -> None:
        """A socket has subscribed to all of them: their time runs from here. What was missed is not forgotten."""
        self._counts = counts.copy()
        self._since_ms[:] = now_ms

    def look(self, counts: Counts, now_ms: int) -> Look:
        """Find out who is silent.

        Args:
            counts: how many events each stream has brought so far, in the order of the streams.
            now_ms: the monotonic clock.
        """
        check(len(counts) == len(self._streams), "each stream has a count")
        heard = counts != self._counts
        self._counts = counts.copy()
        self._since_ms[heard] = now_ms
        self._misses[heard] = 0
        allowed_ms = self._deadline_ms << np.minimum(self._misses, _DOUBLINGS_MAX)
        missed = (self._deadline_ms > 0) & (now_ms - self._since_ms > allowed_ms)
        self._misses[missed] += 1
        is_again = self._misses > 1
        return Look(
            self._named(missed & ~(is_again & self._is_restless)),
            self._named(missed & is_again & self._is_restless),
        )

    @property
    def stale(self) -> int:
        """How many streams have missed their deadline and not been heard since."""
        return int((self._misses > 0).sum())

    def _named(self, which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(self._streams[index] for index in np.flatnonzero(which))
