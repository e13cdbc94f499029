"""The feed on an exchange that misbehaves on command: whole again within its deadline, and every gap marked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import msgspec
import pytest
import trio

from aegis.actors.feed_protocol import SocketTerms
from aegis.kernel.clock import SystemClock
from aegis.sim import ExchangeOptions, Server, TapeRate, serve_exchange
from aegis.sim.connection import SocketTerms as ServerTerms
from aegis.sim.frames import text_frame
from aegis.sim.misbehaviour import Manner
from aegis.sim.routes import Route
from aegis.venue.binance_streams import tick_streams

pytestmark = pytest.mark.processes

SYMBOLS = ("BTCUSDT", "ETHUSDT")
EVERY_SYMBOL = [0, 1]


def wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    """A lively exchange."""
    terms = ExchangeOptions(
        seed=5,
        symbols=SYMBOLS,
        rate=TapeRate(quotes_a_second=60.0, trades_a_second=30.0),
        **options,
    )
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_exchange, terms, wall_ms=wall_ms))
        nursery.cancel_scope.cancel()


@pytest.fixture
def feeding(watching: Any, terms: SocketTerms, as_tick: Any) -> Any:
    """An exchange, and a feed on it; what the exchange publishes is noted before it is sent."""

    @asynccontextmanager
    async def feed(
        server_terms: ServerTerms | None = None, feed_terms: SocketTerms = terms, **orders: Any
    ) -> AsyncIterator[tuple[Server, Any]]:
        async with serving(sockets=server_terms or ServerTerms()) as server:
            streams = tick_streams(SYMBOLS, "aggTrade")
            async with watching(
                server.streams_url, SYMBOLS, streams, feed_terms, **orders
            ) as watch:
                publish = server.hub.publish

                def note(name: str, payload: bytes) -> None:
                    if name in streams and b"kline" not in payload:
                        watch.published.append(as_tick(payload, SYMBOLS))
                    publish(name, payload)

                server.hub.publish = note  # type: ignore[method-assign]
                await watch.until_whole()
                yield server, watch

    return feed


Break = Callable[[Server], None]
BREAKS: dict[str, Break] = {
    "cut": lambda server: server.faults.drop_connections(Route.MARKET),
    "half-open socket": lambda server: server.faults.misbehave(Route.MARKET, Manner.HALF_OPEN),
    "close mid-frame": lambda server: server.faults.misbehave(Route.MARKET, Manner.MID_FRAME),
    "ping timeout": lambda server: server.faults.send_away(Route.MARKET, "Pong timeout"),
    "masked frame": lambda server: server.faults.inject(Route.MARKET, b"\x81\x85abcdhello"),
    "oversized frame": lambda server: server.faults.inject(
        Route.MARKET, b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"x" * 100
    ),
    "bad UTF-8": lambda server: server.faults.inject(Route.MARKET, b"\x81\x04\xff\xfe\xfd\xfc"),
    "reserved bits": lambda server: server.faults.inject(Route.MARKET, b"\xc1\x02{}"),
    "control frame in parts": lambda server: server.faults.inject(Route.MARKET, b"\x09\x02hi"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_feed_is_whole_again_after_a_break(feeding: Any, name: str) -> None:
    """Whatever ends a connection, or kills it in silence: it is replaced, and each of its symbols has a GAP."""
    async with feeding() as (server, watch):
        BREAKS[name](server)
        await watch.until(lambda status: status.connects >= 3)
        await watch.until_whole()
        assert watch.gaps() == EVERY_SYMBOL
        assert watch.strays() == []


async def test_feed_hears_a_silent_stream_again(feeding: Any) -> None:
    """A mark price that fails to come is asked for again, then its socket replaced, without a break for the others."""
    async with feeding() as (server, watch):
        server.faults.silence("btcusdt@markPrice@1s")
        await watch.until(lambda status: sum(shard.resubscribed for shard in status.shards) == 1)
        await watch.until(lambda status: sum(shard.handovers for shard in status.shards) == 1)
        server.faults.speak("btcusdt@markPrice@1s")
        await watch.until(lambda status: not any(shard.stale for shard in status.shards))
        await watch.until_whole()
        assert watch.gaps() == [0]
        assert watch.strays() == []


async def test_feed_is_not_fooled_by_an_acknowledgement(feeding: Any) -> None:
    """A subscription that was acknowledged and brings nothing, as on the wrong route, is found out and made anew."""
    async with feeding() as (server, watch):
        server.faults.deafen("ethusdt@markPrice@1s")
        server.faults.drop_connections(Route.MARKET)
        await watch.until(lambda status: status.connects == 3 and status.subscribed)
        await watch.until(lambda status: sum(shard.stale for shard in status.shards) == 1)
        server.faults.listen("ethusdt@markPrice@1s")
        await watch.until(lambda status: not any(shard.stale for shard in status.shards))
        await watch.until_whole()
        assert watch.gaps() == [
            *EVERY_SYMBOL,
            1,
        ]  # of the cut, by which the test began, and of the deaf stream
        assert watch.strays() == []


async def test_feed_survives_a_slow_drip(feeding: Any) -> None:
    """Frames that come in pieces of a few bytes are late, and complete."""
    async with feeding() as (server, watch):
        server.faults.misbehave(Route.MARKET, Manner.DRIP)
        await watch.until_whole(20)
        server.faults.misbehave(Route.MARKET, Manner.NORMAL)
        await watch.until_whole()
        assert watch.gaps() == watch.strays() == []


async def test_feed_without_a_deadline_gives_nobody_up(feeding: Any, terms: SocketTerms) -> None:
    """All four silences 0: a socket that hears nothing is kept, and goes on when the exchange does."""
    patient = msgspec.structs.replace(
        terms, silence_ms=0, deadlines_ms=dict.fromkeys(terms.deadlines_ms, 0)
    )
    async with feeding(feed_terms=patient) as (server, watch):
        await watch.until_whole()
        quotes = [f"{symbol.lower()}@bookTicker" for symbol in SYMBOLS]
        for stream in quotes:
            server.faults.silence(stream)
        for _ in range(
            2
        ):  # a line a second: longer than the silence that ends a socket in the other tests
            await watch.until(lambda status: status.subscribed)
        for stream in quotes:
            server.faults.speak(stream)
        await watch.until_whole()
        status = watch.worker.status()
        assert status.connects == len(status.shards)
        assert watch.gaps() == []


async def test_feed_answers_pings_in_a_flood(feeding: Any) -> None:
    """A flood that only the slow path can read keeps no ping waiting for too long, and loses nothing."""
    kline = {
        "t": 1,
        "T": 2,
        "i": "1m",
        "o": "1",
        "c": "1",
        "h": "1",
        "l": "1",
        "v": "1",
        "x": False,
    }
    payload = json.dumps({"e": "kline", "E": 1, "s": "BTCUSDT", "k": kline}).encode()
    terms = ServerTerms(ping_every_s=0.05, pong_within_s=5.0)
    async with feeding(terms) as (server, watch):
        server.faults.flood("btcusdt@aggTrade", payload, 5_000)
        await watch.until_whole()
        status = await watch.until(lambda status: status.subscribed)
        assert status.connects == 2
        assert watch.gaps() == watch.strays() == []


async def test_feed_outlives_the_age_of_a_socket(feeding: Any, terms: SocketTerms) -> None:
    """Sockets that the exchange would cut are replaced before: no tick is lost, none comes twice."""
    young = msgspec.structs.replace(terms, lifetime_s=0.6)
    async with feeding(ServerTerms(lifetime_s=4.0), young) as (server, watch):
        del server
        await watch.until(lambda status: all(shard.handovers >= 3 for shard in status.shards))
        await watch.until_whole()
        status = await watch.until(lambda status: status.subscribed)
        assert status.duplicates > 0  # both sockets brought them
        assert {shard.last_end for shard in status.shards} == {"its age"}
        assert watch.gaps() == watch.strays() == []


async def test_feed_marks_the_cut_of_a_socket_that_grew_too_old(feeding: Any) -> None:
    """A socket that is cut at its age all the same is a break like any other."""
    async with feeding(ServerTerms(lifetime_s=3.0)) as (_, watch):
        await watch.until(lambda status: status.connects >= 4)
        await watch.until_whole()
        assert sorted(watch.gaps()) == [0, 0, 1, 1]
        assert watch.strays() == []


async def test_feed_leaves_a_server_that_shuts_down(feeding: Any) -> None:
    """The socket is replaced at once, while the old one still speaks."""
    async with feeding() as (server, watch):
        announcement = b'{"event":{"e":"serverShutdown","E":1}}'
        server.faults.inject(Route.PUBLIC, text_frame(announcement))
        status = await watch.until(lambda s: any(shard.handovers for shard in s.shards))
        assert [shard.last_end for shard in status.shards if shard.handovers] == [
            "the server shuts down"
        ]
        await watch.until_whole()
        assert watch.gaps() == watch.strays() == []


@pytest.mark.parametrize("overlap_ms", [0, 1_500])
async def test_feed_marks_what_a_handover_has_lost(
    feeding: Any, terms: SocketTerms, overlap_ms: int
) -> None:
    """An old socket that dies before all has come together leaves a GAP where something is missing, and no more."""
    slow = msgspec.structs.replace(terms, overlap_ms=overlap_ms)
    async with feeding(feed_terms=slow) as (server, watch):
        (old,) = server._connections_of(Route.MARKET)
        server.faults.inject(Route.MARKET, text_frame(b'{"e":"serverShutdown","E":1}'))
        await watch.until(lambda status: status.connects == 3)
        old.drop()
        await watch.until(lambda status: status.subscribed)
        await watch.until_whole()
        assert watch.strays() == []


@pytest.mark.parametrize("death", ["silent", "gone"])
async def test_feed_goes_on_with_the_newcomer_once_the_old_socket_is_dead(
    feeding: Any, terms: SocketTerms, death: str
) -> None:
    """Also where it is half-open, and only silent: what the newcomer brings is not held back until the handover's time is over."""
    long = msgspec.structs.replace(terms, overlap_ms=60_000, handover_ms=600_000)
    if death == "silent":
        long = msgspec.structs.replace(long, overlap_ms=100)
    async with feeding(feed_terms=long) as (server, watch):
        (old,) = server._connections_of(Route.PUBLIC)
        server.faults.inject(Route.PUBLIC, text_frame(b'{"e":"serverShutdown","E":1}'))
        await watch.until(lambda status: status.connects == 3)
        if death == "silent":
            old.unsubscribe(old.streams)
        else:
            old.drop()
        await watch.until(lambda status: sum(shard.handovers for shard in status.shards) == 1)
        await watch.until_whole()
        assert watch.strays() == []


@attrs.define
class Cuts:
    """In place of the books: what was cut, and when."""

    streams: list[list[str]] = attrs.Factory(list)

    def cut(self, streams: Iterable[str]) -> None:
        self.streams.append(list(streams))


@pytest.mark.parametrize("is_alone", [True, False])
async def test_books_rest_where_a_socket_ends_that_nobody_has_succeeded_yet(
    feeding: Any, terms: SocketTerms, *, is_alone: bool
) -> None:
    """While its successor is being connected nobody brings what changes: they must not stand there as valid."""
    long = msgspec.structs.replace(terms, overlap_ms=60_000, handover_ms=600_000)
    async with feeding(feed_terms=long) as (server, watch):
        (keeper,) = (k for k in watch.worker._keepers if k.status().name == "public/0")
        (old,) = server._connections_of(Route.PUBLIC)
        cuts, connect, made = Cuts(), keeper._connect, list[Any]()
        keeper._parts = attrs.evolve(keeper._parts, books=cuts)

        async def connect_late(*args: Any) -> Any:
            keeper._connect = connect  # once
            if is_alone:
                old.drop()
                await keeper._socket.ended.wait()
                for _ in range(3):  # whoever waited for that end as well has his turn
                    await trio.lowlevel.checkpoint()
                made.append(len(cuts.streams))
                return None
            made.append(await connect(*args))
            return made[0]

        keeper._connect = connect_late
        server.faults.inject(Route.PUBLIC, text_frame(b'{"e":"serverShutdown","E":1}'))
        await watch.until(lambda _: len(made) == 1)
        if is_alone:
            assert made == [1]
        else:
            await watch.until(lambda _: made[0].is_subscribed)
            old.drop()
            await watch.until(lambda status: sum(shard.handovers for shard in status.shards) == 1)
            assert cuts.streams == []
        await watch.until(lambda status: status.subscribed)
        await watch.until_whole()
        assert watch.strays() == []


async def test_feed_keeps_the_old_socket_when_a_new_one_fails(
    feeding: Any, terms: SocketTerms
) -> None:
    """A handover to a socket that hears nothing is given up; the old one goes on, and nothing is lost."""
    hasty = msgspec.structs.replace(terms, lifetime_s=1.0, handover_ms=300)
    async with feeding(feed_terms=hasty) as (server, watch):
        names = [f"{symbol.lower()}@bookTicker" for symbol in SYMBOLS]
        for name in names:
            server.faults.deafen(name)
        (keeper,) = (k for k in watch.worker._keepers if k.status().name == "public/0")
        await watch.until(lambda _: keeper._retry_s > 0)
        assert (
            keeper._due_s <= trio.current_time()
        )  # it is as old as it was, whatever the newcomer's age
        await watch.until(lambda status: status.connects >= 4)
        for name in names:
            server.faults.listen(name)
        await watch.until(lambda status: all(shard.handovers for shard in status.shards))
        await watch.until_whole()
        assert watch.gaps() == watch.strays() == []


async def test_feed_paces_what_it_asks_for(feeding: Any) -> None:
    """However often streams are asked for again, no connection sends more than the exchange takes."""
    streams = [f"coin{number}usdt@bookTicker" for number in range(900)]
    async with feeding() as (_, watch):
        (keeper,) = (k for k in watch.worker._keepers if k.status().name == "public/0")
        for _ in range(6):
            keeper._socket.resubscribe(tuple(streams))
        await watch.until(lambda _: keeper._socket._unacknowledged == -30)
        await watch.until_whole()
        assert (await watch.until(lambda _: True)).connects == 2
        assert watch.gaps() == []


BAD_PAYLOADS = [
    b"{",
    b'{"e":"aggTrade","s":"BTCUSDT"}',
    b'{"e":"aggTrade","E":1,"s":"BTCUSDT","p":"NaN","q":"1","T":1,"m":true}',
    b'{"e":"aggTrade","E":1,"s":"BTCUSDT","p":"-1","q":"1","T":1,"m":true}',
    b'{"e":"aggTrade","E":1,"s":"BTCUSDT","p":"1e300","q":"1","T":1,"m":true}',
    b'{"e":"nothing that was ever heard of"}',
]


async def test_feed_keeps_bad_frames_for_people(feeding: Any) -> None:
    """Frames that are whole and say nonsense are quarantined, each of them; the connection goes on."""
    async with feeding() as (server, watch):
        for payload in BAD_PAYLOADS:
            server.faults.inject(Route.MARKET, text_frame(payload))
        status = await watch.until(lambda status: status.malformed == len(BAD_PAYLOADS))
        assert status.quarantine == tuple(payload.decode() for payload in BAD_PAYLOADS)
        await watch.until_whole()
        assert (await watch.until(lambda _: True)).connects == 2
        assert watch.gaps() == watch.strays() == []


async def test_feed_keeps_out_what_comes_from_the_future_or_nowhere(feeding: Any) -> None:
    """Neither tomorrow's trade nor one at ten times the price reaches the ring."""
    async with feeding() as (server, watch):
        server.faults.silence("btcusdt@aggTrade")
        trade = {"e": "aggTrade", "E": wall_ms(), "s": "BTCUSDT", "q": "1", "m": True}
        tomorrow = trade | {"p": "1", "T": wall_ms() + 86_400_000}
        absurd = trade | {"p": "999999", "T": wall_ms()}
        for event in (tomorrow, absurd):
            server.faults.inject(Route.MARKET, text_frame(json.dumps(event).encode()))
        status = await watch.until(lambda status: status.malformed == 2)
        assert (status.future, status.outliers) == (1, 1)
        server.faults.speak("btcusdt@aggTrade")
        watch.take()
        assert not {tick[3] for tick in watch.written} & {1.0, 999_999.0}
