from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.venue.binance_streams import Route, kind_of, tick_streams
from aegis.venue.shards import plan_shards, symbol_of

SYMBOLS = [f"COIN{number}USDT" for number in range(300)]


def test_shards_are_few_and_by_route() -> None:
    """Three hundred symbols travel on two sockets: the exchange lets one carry 1,024 streams."""
    shards = plan_shards(tick_streams(SYMBOLS, "aggTrade"))
    assert [(shard.name, len(shard.streams)) for shard in shards] == [
        ("public/0", 300),
        ("market/0", 600),
    ]


def test_shards_carry_about_the_same() -> None:
    """With a lower limit the load is shared out evenly, and each socket has mark prices that show it is alive."""
    shards = plan_shards(tick_streams(SYMBOLS, "aggTrade"), 100)
    sizes = {
        route: [len(s.streams) for s in shards if s.route is route]
        for route in (Route.PUBLIC, Route.MARKET)
    }
    assert sizes == {Route.PUBLIC: [100] * 3, Route.MARKET: [100] * 6}
    for shard in shards:
        kinds = Counter(map(kind_of, shard.streams))
        assert kinds["markPrice"] == kinds["aggTrade"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SYMBOLS[:40]),
            st.sampled_from(["bookTicker", "depth@100ms", "depth5", "aggTrade", "markPrice@1s"]),
        )
    ),
    st.integers(3, 30),
)
def test_shards_lose_nothing_and_hold_the_limit(wanted: list[tuple[str, str]], most: int) -> None:
    """Each stream has one socket, no socket has too many, and the streams of a symbol stay together."""
    streams = [f"{symbol.lower()}@{kind}" for symbol, kind in wanted]
    shards = plan_shards(streams, most)
    planned = [stream for shard in shards for stream in shard.streams]
    assert sorted(planned) == sorted(set(streams))
    assert all(0 < len(shard.streams) <= most for shard in shards)
    homes = {(shard.route, symbol_of(s)): shard.number for shard in shards for s in shard.streams}
    for shard in shards:
        assert {homes[shard.route, symbol_of(s)] for s in shard.streams} == {shard.number}


@pytest.mark.parametrize("most", [0, 1, 1025])
def test_shards_refuse_a_limit_that_cannot_be_kept(most: int) -> None:
    """No socket at all, less than a symbol needs, and more than the exchange carries."""
    with pytest.raises(Refused, match=r"carries|do not fit"):
        plan_shards(tick_streams(["BTCUSDT"], "aggTrade"), most)
