"""A run from its first process to its summary.

The processes that it needs are started before the engine is loaded, which takes a second: what is imported up here is
what that needs, and no more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import structlog
import trio

from aegis.config import Config
from aegis.errors import Refused
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import Child, held
from aegis.loading import uncollected
from aegis.ops.compiling import compile_kernels
from aegis.ops.ending import Ending, asked_by_signal, insistence
from aegis.ops.options import RunOptions
from aegis.ops.screen import Screen
from aegis.ops.shipped_exchange import arguments
from aegis.store.journal import Journal

__all__ = ["RunOptions", "run"]

_log = structlog.get_logger(__name__)


async def run(options: RunOptions, screen: Screen) -> dict[str, Any] | None:
    """Trade until the end; the summary, or None where a second signal ended it at once.

    Raises:
        Refused: something that was asked for cannot be done; nothing is left running.
        Unavailable, Broken: the engine stopped on a fault.
    """
    ending = Ending()
    summary: dict[str, Any] | None = None
    numbers = asked_by_signal()
    with trio.open_signal_receiver(*numbers) as signals, insistence(numbers):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, signals, ending, nursery.cancel_scope)
            summary = await _trade(options, ending, screen)
            nursery.cancel_scope.cancel()
    return summary


async def _trade(options: RunOptions, ending: Ending, screen: Screen) -> dict[str, Any]:
    """Start what trading needs, load the engine, and trade."""
    path = _journal_path(options, SystemClock.wall_ns())
    with closing(Journal(path)) as journal:
        await compile_kernels()
        if options.config.strategies and not options.recordings:  # whose symbols are not known yet
            _check_strategies(options.config)
        async with _shipped_exchange(options) as exchange:
            with uncollected():
                from aegis.ops.trading import sum_up, trade  # noqa: PLC0415  # see above
            result = await trade(options, ending, screen, journal, exchange)
    return sum_up(*result)


async def _obey(signals: Any, ending: Ending, everything: trio.CancelScope) -> None:
    """The first signal stops the run in order, the second at once; a third one is not heard here any more."""
    signalled = False
    async for number in signals:
        name = signal.Signals(number).name
        if signalled:
            _log.warning("stopping_at_once", signal=name)
            everything.cancel()
            return
        _log.info(
            "stopping_in_order", signal=name, again="stops at once", thrice="whatever it is at"
        )
        signalled = True
        ending.ask(name)


@asynccontextmanager
async def _shipped_exchange(options: RunOptions) -> AsyncIterator[Child | None]:
    """The process of the exchange that ships with the engine, where it is the one that is traded at."""
    if options.config.venue.name != "sim":
        yield None
        return
    command = arguments(
        seed=options.seed,
        symbols=() if options.recordings else options.config.symbols,
        recordings=options.recordings,
        speed=options.speed,
        port=options.port,
        load=options.load,
    )
    async with held(Child(command)) as exchange:
        yield exchange


def _check_strategies(config: Config) -> None:
    """Whatever is wrong with a strategy is said before anything is started."""
    from aegis.playbook import read_playbook  # noqa: PLC0415  # it imports numba

    read_playbook(config)


def _journal_path(options: RunOptions, wall_ns: int) -> Path:
    """The configured journal, or a new one for a paper run: its account begins anew each time."""
    if options.config.run.journal:
        return Path(options.config.run.journal).expanduser()
    if options.config.venue.name != "sim":
        raise Refused("run.journal: name one; this venue's account, and its orders, outlive a run")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "aegis" / options.config.venue.name / f"{wall_ns // 1_000_000}-{os.getpid()}.db"
