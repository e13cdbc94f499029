"""The trading of a run: the ring, the worker, the engine, until the end is asked for, and what is left then."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from aegis.actors.feed import start_worker
from aegis.config import Config
from aegis.errors import Broken, Refused, Unavailable
from aegis.kernel.clock import SystemClock, process_started_ns
from aegis.kernel.process import Child, held, own_children
from aegis.market.book_top import BOOK_TOP
from aegis.market.records import TICK
from aegis.ops.ending import Ending
from aegis.ops.options import RunOptions
from aegis.ops.screen import Screen
from aegis.ops.shipped_exchange import ShippedExchange, attend_exchange
from aegis.ops.summary import Clean, RunFacts, brain_ticks, summarise
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.store.journal import Journal
from aegis.venue.addresses import TESTNET, Addresses
from aegis.venue.signing import Credentials

if TYPE_CHECKING:
    from aegis.engine import Engine, EngineReport

__all__ = ["sum_up", "trade"]

_DRAIN_S: Final = 30.0
_POLL_S: Final = 0.02
_RECORDED_MAX: Final = 1024
"""Symbols in the recordings of a replay that keeps order books."""


async def trade(
    options: RunOptions, ending: Ending, screen: Screen, journal: Journal, exchange: Child | None
) -> tuple[RunFacts, EngineReport]:
    """Trade until asked to end, and wind down.

    Args:
        options: what was asked for.
        ending: who asks for the end.
        screen: where the run shows itself.
        journal: of the account.
        exchange: the process of the shipped exchange, if it is the one to trade at; it may still be starting.
    """
    # Read before another process is started, which would inherit the credentials.
    remote = None if exchange is not None else _remote_venue(options.config)
    with Ring.create(TICK, options.config.feed.ring_capacity) as ring, _board(options) as board:
        pass_fds = ring.pass_fds if board is None else (*ring.pass_fds, board.fd)
        async with held(start_worker(pass_fds)) as worker:
            from aegis.engine import open_engine  # noqa: PLC0415  # both processes start meanwhile

            async with (
                _opened(options.config, exchange, remote) as venue,
                open_engine(
                    venue.config,
                    venue.addresses,
                    venue.credentials,
                    journal,
                    ring=ring,
                    board=board,
                    worker=worker,
                    seed=options.seed,
                ) as engine,
            ):
                began_ns, shipped = SystemClock.monotonic_ns(), venue.shipped
                with screen:
                    await _until_asked(engine, shipped, options, ending, screen)
                report = await engine.wind_down(ending.by)
    facts = RunFacts(
        mode=options.mode,
        venue=options.config.venue.name,
        seed=options.seed,
        started_ns=process_started_ns(),
        duration_s=(SystemClock.monotonic_ns() - began_ns) / 1e9,
        main_pid=os.getpid(),
        exchange_pid=None if exchange is None else exchange.pid,
        ended_by=ending.by,
        recording=None if not options.recordings or shipped is None else shipped.served(),
    )
    return facts, report


def sum_up(facts: RunFacts, report: EngineReport) -> dict[str, Any]:
    """The summary of a run, once everything that it has opened is closed: what is left is said as well."""
    return summarise(facts, report, Clean(len(own_children()), _segments_left()))


def _board(options: RunOptions) -> AbstractContextManager[Board | None]:
    """A board for the order books, if there are to be any; which symbols a recording has is not known yet."""
    config = options.config
    if not config.feed.depth:
        return nullcontext()
    return Board.create(BOOK_TOP, _RECORDED_MAX if options.recordings else len(config.symbols))


@attrs.frozen
class _Venue:
    """An exchange that can be traded at, and the configuration as it fits it."""

    addresses: Addresses
    credentials: Credentials
    config: Config
    shipped: ShippedExchange | None


@asynccontextmanager
async def _opened(
    config: Config, exchange: Child | None, remote: _Venue | None
) -> AsyncIterator[_Venue]:
    """The exchange of a run, once it can be traded at."""
    if exchange is not None:
        async with attend_exchange(exchange) as shipped:
            yield _shipped_venue(config, shipped)
    elif remote is not None:
        yield remote
    else:
        raise Broken("a run without the shipped exchange has another")


def _remote_venue(config: Config) -> _Venue:
    addresses = TESTNET
    if config.venue.name == "custom":
        addresses = Addresses(config.venue.rest_url, config.venue.streams_url)
        if not addresses.rest or not addresses.streams:
            raise Refused("venue.rest_url and venue.streams_url are needed for the venue 'custom'")
    return _Venue(addresses, Credentials.from_environment(), config, None)


def _shipped_venue(config: Config, shipped: ShippedExchange) -> _Venue:
    ready = shipped.ready
    feed = attrs.evolve(config.feed, trade_stream=shipped.trade_stream())
    return _Venue(
        Addresses(ready.rest, ready.streams),
        Credentials(ready.api_key, ready.api_secret),
        attrs.evolve(config, symbols=tuple(ready.symbols), feed=feed),
        shipped,
    )


async def _until_asked(
    engine: Engine,
    shipped: ShippedExchange | None,
    options: RunOptions,
    ending: Ending,
    screen: Screen,
) -> None:
    """Trade until somebody asks for the end."""
    async with trio.open_nursery() as nursery:
        if options.for_s is not None:
            nursery.start_soon(_end_after, options.for_s, ending)
        if shipped is not None and options.recordings:
            nursery.start_soon(_end_with_recording, engine, shipped, ending)
        nursery.start_soon(_draw, engine, screen)
        await ending.asked.wait()
        nursery.cancel_scope.cancel()


async def _end_after(seconds: float, ending: Ending) -> None:
    await trio.sleep(seconds)
    ending.ask("time")


async def _end_with_recording(engine: Engine, shipped: ShippedExchange, ending: Ending) -> None:
    """End once every recorded tick has reached the Brain, and every bar the strategies.

    A tick that is missing is waited for, but not for ever; a strategy, however slow it is.
    """
    await shipped.recording_ended.wait()
    due = shipped.recorded_ticks()
    with trio.move_on_after(_DRAIN_S):
        while not await _are_accounted(engine, due):
            await trio.sleep(_POLL_S)
    await engine.caught_up()
    ending.ask("recording")


async def _are_accounted(engine: Engine, due: int) -> bool:
    """Whether so many recorded ticks have reached the Brain, or are known not to."""
    try:
        report = await engine.report()
    except trio.TooSlowError:  # a strategy is behind
        return False
    feed = report.feed
    kept_out = feed.malformed + feed.strangers + feed.dropped + feed.duplicates
    return brain_ticks(report) + kept_out >= due


async def _draw(engine: Engine, screen: Screen) -> None:
    began = trio.current_time()
    while True:
        await trio.sleep(screen.period_s)
        with suppress(trio.TooSlowError, Unavailable):  # a picture that comes late is left out
            screen.show(await engine.report(), trio.current_time() - began)


def _segments_left() -> int:
    """Shared-memory segments of ours that this process still holds or that have a name in the system."""
    held = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            held += "memfd:aegis" in str(descriptor.readlink())
        except OSError:  # the descriptor of the listing itself
            continue
    named = len(list(Path("/dev/shm").glob(f"aegis-{os.geteuid()}-*")))  # noqa: S108  # where names live
    return held + named
