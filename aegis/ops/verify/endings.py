"""What a run leaves behind when it is interrupted, or when one of its processes is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from aegis.errors import Unavailable
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import children_of
from aegis.ops.verify.facts import Ending
from aegis.ops.verify.load import state_folder

__all__ = ["HOWS", "measure_ending"]

_START_S: Final = 60.0
_ORDERLY_S: Final = 15.0
"""A run that is interrupted cancels, closes what it holds, compares and seals."""
_KILLED_S: Final = 3.0
_POLL_S: Final = 0.01
_WORKER, _EXCHANGE = "aegis.actors.feed_process", "exchange"
HOWS: Final = ("SIGINT", "SIGKILL of main", "SIGKILL of the worker", "SIGKILL of the exchange")


class _Run:
    """`python -m aegis run` as a user starts it, and every process that it ever had."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self.pids = {process.pid}

    @property
    def ended(self) -> bool:
        """Whether its main process is over."""
        return self._process.poll() is not None

    async def until_trading(self) -> None:
        """Wait for its first line of figures."""
        output = self._process.stdout
        if output is None or not await output.receive_some(1):
            raise Unavailable("the run ended early")

    async def find(self, of: str, without: Iterable[int] = ()) -> int:
        """The pid of a child by what stands in its command line."""
        while True:
            children = children_of(self._process.pid)
            self.pids.update(children)
            for pid in children:
                if of in _command(pid) and pid not in without:
                    return pid
            await trio.sleep(_POLL_S)

    async def until_gone(self) -> None:
        """Wait until none of its processes lives."""
        while living(self.pids) or not self.ended:
            await trio.sleep(_POLL_S)


async def measure_ending(how: str, leave: Callable[[], object] = lambda: None) -> Ending:
    """Start a run, end it, and count what is left of it.

    Args:
        how: one of `HOWS`.
        leave: called while the run trades; for tests that leave something behind.

    Raises:
        Unavailable, trio.TooSlowError: there was no run to end.
    """
    before = named_segments()
    with tempfile.TemporaryDirectory(dir=state_folder(), prefix="verify-") as folder:
        config = Path(folder) / "aegis.toml"
        config.write_text(f'[run]\njournal = "{folder}/journal.db"\n')
        command = [sys.executable, "-m", "aegis", "run", "--for", "60s", "--config", str(config)]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        run = _Run(process)
        try:
            with trio.fail_after(_START_S):
                await run.until_trading()
                worker, exchange = await run.find(_WORKER), await run.find(_EXCHANGE)
                leave()
                began_ns = SystemClock.monotonic_ns()
                await _end(how, run, process, worker, exchange)
            with trio.move_on_after(_ORDERLY_S if "SIGKILL of m" not in how else _KILLED_S):
                await run.until_gone()
            seconds = (SystemClock.monotonic_ns() - began_ns) / 1e9
            left = living(run.pids)
            segments = len(named_segments() - before) + sum(map(_memfds, left))
            return Ending(how, len(left), segments, run.ended, seconds)
        finally:
            for pid in living(run.pids):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()
            if process.stdout is not None:
                await trio.aclose_forcefully(process.stdout)


async def _end(how: str, run: _Run, process: trio.Process, worker: int, exchange: int) -> None:
    """Do what is to end it. A killed worker is replaced: the run that goes on is then interrupted."""
    if how == "SIGKILL of main":
        process.kill()
    elif how == "SIGKILL of the exchange":
        os.kill(exchange, signal.SIGKILL)
    else:
        if how == "SIGKILL of the worker":
            os.kill(worker, signal.SIGKILL)
            await run.find(_WORKER, without={worker})
        process.send_signal(signal.SIGINT)


def living(pids: Iterable[int]) -> set[int]:
    """Which of these are processes that have not ended."""
    return {pid for pid in pids if _state(pid) not in {"", "Z"}}


def _state(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    return ""


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""


def named_segments() -> set[Path]:
    """Segments of ours that have a name in the system."""
    return set(Path("/dev/shm").glob(f"aegis-{os.geteuid()}-*"))  # noqa: S108  # where names live


def _memfds(pid: int) -> int:
    """Segments without a name that a process holds."""
    held = 0
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                held += "memfd:aegis" in str(descriptor.readlink())
    return held
