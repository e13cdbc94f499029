"""The engine under an even load: the very run that `python -m aegis run --load` makes, watched from inside."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from aegis.config import Config
from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.market.parameters import Parameters
from aegis.ops.allocations import AllocationCounter
from aegis.ops.run import RunOptions, run
from aegis.ops.screen import Silent
from aegis.ops.summary import brain_ticks
from aegis.ops.verify.facts import Allocations, Load
from aegis.paper import paper_symbols

if TYPE_CHECKING:
    from aegis.engine import EngineReport

__all__ = ["LoadWatch", "measure_load", "state_folder"]

_SYMBOLS: Final = 300
_OFFERED: Final = 105_000
"""A little more than what has to be kept up with: the exchange, too, loses its core at times."""
_WARM_S: Final = 2.0
_COUNTED_S: Final = 3.0
"""So long, at the end, allocations are counted. Each then takes longer, and with them all that is in Python: by a sixth from
tick to order. So whatever is timed is timed before."""
_BARS: Final = Parameters(interval_ms=500, pivot_bars=2, atr_period=4)
"""600 bars a second over all symbols, with some tens of signals and a handful of orders among them."""


@attrs.frozen
class _Mark:
    """What had been counted by a moment."""

    at_ns: int
    ticks: int
    blocks: int
    busy_collections: int
    idle_collections: int


class LoadWatch(Silent):
    """Takes the engine's figures each second: once it is warm, when what is timed is over, and while allocations are counted.

    Args:
        timed_s: when, after the start, timing ends and counting begins.
    """

    def __init__(self, timed_s: float) -> None:
        self._timed_s = timed_s
        self._counting = ExitStack()
        self._allocations = AllocationCounter()
        self.warm: _Mark | None = None
        self.timed: _Mark | None = None
        self.report: EngineReport | None = None
        self.counting: _Mark | None = None
        self.counted: _Mark | None = None

    def __exit__(self, *_: object) -> None:
        self._counting.close()

    def show(self, report: EngineReport, elapsed_s: float) -> None:
        """Note what there is to note."""
        mark = self._mark(report)
        if self.warm is None:
            self.warm = mark if elapsed_s > _WARM_S else None
        elif elapsed_s < self._timed_s:
            self.timed, self.report = mark, report
        elif self.counting is None:
            self._counting.enter_context(self._allocations)
            self.counting = mark
        else:
            self.counted = mark

    def _mark(self, report: EngineReport) -> _Mark:
        garbage = report.garbage
        return _Mark(
            at_ns=SystemClock.monotonic_ns(),
            ticks=brain_ticks(report),
            blocks=self._allocations.blocks,
            busy_collections=sum(garbage.busy),
            idle_collections=sum(garbage.idle),
        )


async def measure_load(
    seconds: float,
    *,
    symbols: int = _SYMBOLS,
    offered: int = _OFFERED,
    config: Config | None = None,
) -> Load:
    """Trade under so many ticks a second: two seconds to get warm, then for so long, then three more to count allocations in.

    Ticks and seconds are those between; latencies are of the beginning as well.

    Raises:
        Refused, Unavailable, Broken: the engine did not get so far.
    """
    timed_s = _WARM_S + seconds
    watch = LoadWatch(timed_s)
    with tempfile.TemporaryDirectory(dir=state_folder(), prefix="verify-") as folder:
        settings = config or Config(strategy=_BARS)
        settings = attrs.evolve(
            settings,
            symbols=paper_symbols(symbols),
            run=attrs.evolve(settings.run, journal=str(Path(folder) / "journal.db")),
        )
        options = RunOptions(settings, "paper", 7, timed_s + _COUNTED_S, load=offered)
        summary = await run(options, watch)
    if summary is None:
        raise Unavailable("the engine did not trade for long enough")
    return _facts(symbols, offered, watch, summary)


def _facts(symbols: int, offered: int, watch: LoadWatch, summary: dict[str, Any]) -> Load:
    warm, timed, report = watch.warm, watch.timed, watch.report
    counting, counted = watch.counting, watch.counted
    if not (warm and timed and report and counting and counted):
        raise Unavailable(
            "the engine did not trade for long enough, or was too busy to say how it does"
        )
    times = report.executor.times
    pids = {name: pid for name, pid in summary["pids"].items() if pid}
    feed = summary["feed"]
    return Load(
        symbols=symbols,
        offered_a_second=offered,
        seconds=(timed.at_ns - warm.at_ns) / 1e9,
        ticks=timed.ticks - warm.ticks,
        lost=summary["ticks_lost"] + feed["gaps"] + feed["restarts"],
        pids=pids,
        alive=frozenset({report.feed.worker_pid, os.getpid(), summary["pids"]["exchange"]}),
        loop_thread=report.brain.loop_thread,
        structure_thread=report.brain.step_thread,
        allocations=Allocations(
            counted.ticks - counting.ticks,
            counted.blocks - counting.blocks,
            counted.busy_collections - warm.busy_collections,
            counted.idle_collections - warm.idle_collections,
        ),
        signals=report.proposed,
        orders=report.executor.sent,
        reconciled=summary["reconciled"],
        tick_to_signal_us=report.brain.tick_to_signal_us,
        tick_to_order_us=times.tick_to_order_us,
        hops_us={
            "signal": report.brain.tick_to_signal_us,
            "judged": times.judged_us,
            "durable": times.durable_us,
            "sent": times.sent_us,
            "answered": times.answered_us,
        },
    )


def state_folder() -> Path:
    """Where the journals of paper runs are: what is measured there is the disk that they use."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    folder = state / "aegis" / "sim"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
