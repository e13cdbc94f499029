from __future__ import annotations

import numpy as np

from aegis.actors.freshness import Freshness, Look

STREAMS = ("btcusdt@markPrice@1s", "btcusdt@bookTicker", "btcusdt@aggTrade", "btcusdt@kline_1m")
DEADLINES = {"markPrice": 1_000, "bookTicker": 5_000, "aggTrade": 10_000}


class Watched:
    """Streams, and how many events each has brought."""

    def __init__(self) -> None:
        self.freshness = Freshness(STREAMS, DEADLINES)
        self.counts = np.zeros(len(STREAMS), np.int64)
        self.freshness.begin(self.counts, 0)

    def look(self, now_ms: int, *heard: int) -> Look:
        self.counts[list(heard)] += 1
        return self.freshness.look(self.counts, now_ms)


def test_streams_that_speak_in_time_are_left_alone() -> None:
    """Nothing is done while each is heard within its deadline."""
    watched = Watched()
    for now_ms in range(0, 20_000, 900):
        assert watched.look(now_ms, 0, 1, 2) == Look()
    assert watched.freshness.stale == 0


def test_a_stream_without_a_first_message_is_asked_for_again() -> None:
    """Acknowledged and silent is a fault: first the stream is asked for again, then its socket replaced."""
    watched = Watched()
    assert watched.look(1_000) == Look()
    assert watched.look(1_001) == Look(resubscribe=(STREAMS[0],))
    assert watched.look(2_000) == Look()
    assert watched.look(2_001) == Look(replace=(STREAMS[0],))
    assert watched.freshness.stale == 1


def test_each_kind_has_a_deadline_of_its_own_or_none() -> None:
    """A mark price that fails to come is missed soon, a trade late, a candle never."""
    watched = Watched()
    missed = {name for now_ms in range(0, 30_000, 500) for name in watched.look(now_ms).resubscribe}
    assert missed == set(STREAMS[:3])


def test_a_trade_that_rests_replaces_no_socket() -> None:
    """Nobody has to trade: the stream is only asked for again, less and less often."""
    watched = Watched()
    looks = [watched.look(now_ms, 0, 1) for now_ms in range(0, 200_000, 500)]
    assert all(look.replace == () for look in looks)
    asked = [number * 500 for number, look in enumerate(looks) if look.resubscribe]
    assert asked == [10_500, 20_500, 40_500, 80_500, 160_500]


def test_a_stream_that_is_heard_again_is_fresh() -> None:
    """What was missed before counts no more."""
    watched = Watched()
    watched.look(1_001)
    assert watched.look(1_500, 0) == Look()
    assert watched.freshness.stale == 0
    assert watched.look(2_501) == Look(resubscribe=(STREAMS[0],))


def test_a_new_socket_does_not_forget_what_was_missed() -> None:
    """A contract that is dead on every socket does not have one opened for it again and again at the same pace."""
    watched = Watched()
    replaced = []
    for now_ms in range(0, 100_000, 100):
        if watched.look(now_ms, 1, 2).replace:
            replaced.append(now_ms)
            watched.freshness.begin(watched.counts, now_ms)
    pauses = np.diff(replaced)
    assert (pauses[1:] >= 2 * pauses[:-1] - 200).all()
