"""A run from its first process to its summary: exchange, engine, signals, screen, and what is left at the end."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    nullcontext,
    suppress,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
import structlog
import trio

from aegis.actors.feed import start_worker
from aegis.config import Config
from aegis.errors import Refused, Unavailable
from aegis.kernel.clock import SystemClock, process_started_ns
from aegis.kernel.process import Child, own_children
from aegis.market.book_top import BOOK_TOP
from aegis.market.records import TICK
from aegis.ops.compiling import compile_kernels
from aegis.ops.screen import Screen
from aegis.ops.shipped_exchange import ShippedExchange, arguments, attend_exchange
from aegis.ops.summary import Clean, RunFacts, brain_ticks, summarise
from aegis.shm import Ring
from aegis.shm.board import Board
from aegis.store.journal import Journal
from aegis.venue.addresses import TESTNET, Addresses
from aegis.venue.signing import Credentials

if TYPE_CHECKING:
    from aegis.engine import Engine, EngineReport

__all__ = ["RunOptions", "load_everything", "run"]

_DRAIN_S: Final = 30.0
_STOP_GRACE_S: Final = 1.0
_POLL_S: Final = 0.02
_RECORDED_MAX: Final = 1024
"""Symbols in the recordings of a replay that keeps order books."""

_log = structlog.get_logger(__name__)


@attrs.frozen
class RunOptions:
    """What a run was asked for."""

    config: Config
    mode: Literal["paper", "replay"]
    seed: int
    for_s: float | None
    recordings: tuple[Path, ...] = ()
    speed: str = "1x"
    port: int = 0
    load: int = 0
    """Ticks a second of an even market, for measuring; 0: a lively one."""


@attrs.define
class _Ending:
    """Who ends the run, and how soon."""

    asked: trio.Event = attrs.Factory(trio.Event)
    by: str = ""
    result: tuple[RunFacts, EngineReport] | None = None

    def ask(self, by: str) -> None:
        self.by = self.by or by
        self.asked.set()


async def run(options: RunOptions, screen: Screen) -> dict[str, Any] | None:
    """Trade until the end; the summary, or None where a second signal ended it at once.

    Raises:
        Refused: something that was asked for cannot be done; nothing is left running.
        Unavailable, Broken: the engine stopped on a fault.
    """
    ending = _Ending()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, ending, nursery.cancel_scope)
            await _trade(options, ending, screen)
            nursery.cancel_scope.cancel()
    if ending.result is None:
        return None
    clean = Clean(processes=len(own_children()), segments=_segments_left())
    return summarise(*ending.result, clean)


async def _trade(options: RunOptions, ending: _Ending, screen: Screen) -> None:
    """Open the exchange and the engine, trade until asked to end, and wind down."""
    clock = SystemClock()
    path = _journal_path(options, clock.wall_ns())
    with (
        closing(Journal(path)) as journal,
        Ring.create(TICK, options.config.feed.ring_capacity) as ring,
        _board(options) as board,
    ):
        compile_kernels(load_everything)
        if not options.recordings:  # whose symbols are not known yet
            _check_strategies(options.config)
        pass_fds = ring.pass_fds if board is None else (*ring.pass_fds, board.fd)
        async with _open_venue(options, pass_fds) as venue:
            open_engine = load_engine()
            async with open_engine(
                venue.config,
                venue.addresses,
                venue.credentials,
                journal,
                ring=ring,
                board=board,
                worker=venue.worker,
                seed=options.seed,
            ) as engine:
                began_ns = clock.monotonic_ns()
                with screen:
                    await _until_asked(engine, venue.shipped, options, ending, screen)
                report = await engine.wind_down(ending.by)
    facts = RunFacts(
        mode=options.mode,
        venue=options.config.venue.name,
        seed=options.seed,
        started_ns=process_started_ns(),
        duration_s=(clock.monotonic_ns() - began_ns) / 1e9,
        main_pid=os.getpid(),
        exchange_pid=venue.shipped.ready.pid if venue.shipped else None,
        ended_by=ending.by,
    )
    ending.result = facts, report


def _board(options: RunOptions) -> AbstractContextManager[Board | None]:
    """A board for the order books, if there are to be any; which symbols a recording has is not known yet."""
    config = options.config
    if not config.feed.depth:
        return nullcontext()
    return Board.create(BOOK_TOP, _RECORDED_MAX if options.recordings else len(config.symbols))


async def _obey(signals: Any, ending: _Ending, everything: trio.CancelScope) -> None:
    """The first signal stops the run in order, the second at once."""
    signalled = False
    async for number in signals:
        name = signal.Signals(number).name
        if signalled:
            _log.warning("stopping_at_once", signal=name)
            everything.cancel()
            return
        _log.info("stopping_in_order", signal=name, again="stops at once")
        signalled = True
        ending.ask(name)


@attrs.frozen
class _Venue:
    """An exchange that can be traded at, and the configuration as it fits it."""

    addresses: Addresses
    credentials: Credentials
    config: Config
    worker: Child
    shipped: ShippedExchange | None


@asynccontextmanager
async def _open_venue(options: RunOptions, pass_fds: tuple[int, ...]) -> AsyncIterator[_Venue]:
    """Make an exchange available, and a worker for it: they start while the engine is still loading."""
    config = options.config
    if config.venue.name == "sim":
        command = arguments(
            seed=options.seed,
            symbols=() if options.recordings else config.symbols,
            recordings=options.recordings,
            speed=options.speed,
            port=options.port,
            load=options.load,
        )
        async with _held(Child(command)) as exchange, _held(start_worker(pass_fds)) as worker:
            load_engine()
            async with attend_exchange(exchange) as shipped:
                yield _at_shipped(config, shipped, worker)
        return
    addresses = TESTNET
    if config.venue.name == "custom":
        addresses = Addresses(config.venue.rest_url, config.venue.streams_url)
        if not addresses.rest or not addresses.streams:
            raise Refused("venue.rest_url and venue.streams_url are needed for the venue 'custom'")
    credentials = Credentials.from_environment()
    async with _held(start_worker(pass_fds)) as worker:
        yield _Venue(addresses, credentials, config, worker, None)


@asynccontextmanager
async def _held(child: Child) -> AsyncIterator[Child]:
    """A child for the time of a block: stopped in order at its end, killed when the block fails."""
    try:
        yield child
        await child.stop(_STOP_GRACE_S)
    finally:
        child.kill()
        await child.stop()


def _at_shipped(config: Config, shipped: ShippedExchange, worker: Child) -> _Venue:
    ready = shipped.ready
    feed = attrs.evolve(config.feed, trade_stream=shipped.trade_stream())
    return _Venue(
        Addresses(ready.rest, ready.streams),
        Credentials(ready.api_key, ready.api_secret),
        attrs.evolve(config, symbols=tuple(ready.symbols), feed=feed),
        worker,
        shipped,
    )


def load_everything() -> None:
    """Import all that is compiled: the engine's part, and that of the feed worker, whose process must not wait for it."""
    importlib.import_module("aegis.actors.feed_worker")
    load_engine()


def load_engine() -> Callable[..., AbstractAsyncContextManager[Engine]]:
    """Import the engine, and with it the compiled code: half a second in which others can start."""
    from aegis.engine import open_engine  # noqa: PLC0415  # importing is what this is for

    return open_engine


def _check_strategies(config: Config) -> None:
    """Whatever is wrong with a strategy is said before anything is started."""
    from aegis.playbook import read_playbook  # noqa: PLC0415  # it imports numba

    read_playbook(config)


async def _until_asked(
    engine: Engine,
    shipped: ShippedExchange | None,
    options: RunOptions,
    ending: _Ending,
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


async def _end_after(seconds: float, ending: _Ending) -> None:
    await trio.sleep(seconds)
    ending.ask("time")


async def _end_with_recording(engine: Engine, shipped: ShippedExchange, ending: _Ending) -> None:
    """End once every recorded tick has reached the Brain; one that is missing is waited for, but not for ever."""
    await shipped.recording_ended.wait()
    due = shipped.recorded_ticks()
    with trio.move_on_after(_DRAIN_S):
        while _accounted(await engine.report()) < due:
            await trio.sleep(_POLL_S)
    ending.ask("recording")


def _accounted(report: EngineReport) -> int:
    """Recorded ticks that reached the Brain, or are known not to."""
    feed = report.feed
    kept_out = feed.malformed + feed.strangers + feed.dropped + feed.duplicates
    return brain_ticks(report) + kept_out


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


def _journal_path(options: RunOptions, wall_ns: int) -> Path:
    """The configured journal, or a new one for a paper run: its account begins anew each time."""
    if options.config.run.journal:
        return Path(options.config.run.journal).expanduser()
    if options.config.venue.name != "sim":
        raise Refused("run.journal: name one; this venue's account, and its orders, outlive a run")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "aegis" / options.config.venue.name / f"{wall_ns // 1_000_000}-{os.getpid()}.db"
