"""The exchange as a process of its own."""

from __future__ import annotations

import os
import signal
import sys

import msgspec
import trio

from aegis.errors import Refused
from aegis.kernel.clock import SystemClock
from aegis.kernel.cores import leave_the_last_core
from aegis.kernel.process import die_with_parent
from aegis.sim.options import ExchangeOptions
from aegis.sim.replay import Replay
from aegis.sim.server import Server

__all__ = ["run_exchange"]

_STDIN = 0
_NICE = 10


def run_exchange(options: ExchangeOptions, *, watch_stdin: bool) -> int:
    """Serve until told to stop, writing one JSON line on stdout when ready and one when a recording has ended.

    Args:
        options: what to serve.
        watch_stdin: stop at once when stdin ends, and die with the parent, whom it gives way to: for a child process. A venue started
            from a terminal stops by SIGINT or SIGTERM alone.

    Returns:
        The exit code: 0 after being stopped, 2 when the options cannot be served (one line says why: on stderr,
        or as a JSON line on stdout for a parent).
    """
    if watch_stdin:
        die_with_parent()
    code = 0
    try:
        server = Server(options, _wall_ms)
        trio.run(_run, server, watch_stdin)
    except* Refused as group:
        code = 2
        why = str(group.exceptions[0])
        if watch_stdin:
            _say({"event": "refused", "error": why})  # the parent has the one line for people
        else:
            sys.stderr.write(f"aegis: refused: {why}\n")
    return code


def _wall_ms() -> int:
    return SystemClock.wall_ns() // 1_000_000


async def _run(server: Server, watch_stdin: bool) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            _say(_ready(server))
            if server.replay is not None:
                nursery.start_soon(_report_end, server.replay)
            if watch_stdin:
                _give_way()
                nursery.start_soon(_until_stdin_ends, nursery.cancel_scope)
            await anext(signals)
            nursery.cancel_scope.cancel()


def _give_way() -> None:
    """Let the engine go first, which shares this machine's cores with its exchange only where that is simulated.

    At 100,000 ticks a second on two cores an order had its signal and left twice as late where the exchange was
    their equal: whoever was woken by its ticks had to wait until it had sent them all. And another fifth later where it
    had all cores.
    """
    os.nice(_NICE)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    leave_the_last_core()


def _ready(server: Server) -> dict[str, object]:
    return {
        "event": "ready",
        "rest": server.rest_url,
        "streams": server.streams_url,
        "api_key": server.options.api_key,
        "api_secret": server.options.api_secret,
        "pid": os.getpid(),
        "symbols": list(server.exchange.listings),
        "driving": server.replay.driving if server.replay is not None else [],
    }


async def _report_end(replay: Replay) -> None:
    await replay.ended.wait()
    frames = dict(replay.frames)
    _say({"event": "recording_ended", "frames": frames, "malformed": replay.malformed})


def _say(event: dict[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
    sys.stdout.flush()


async def _until_stdin_ends(scope: trio.CancelScope) -> None:
    """Read stdin in a thread: a file or /dev/null cannot be waited for any other way."""
    while await trio.to_thread.run_sync(os.read, _STDIN, 4096, abandon_on_cancel=True):
        continue
    scope.cancel()
