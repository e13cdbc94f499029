"""Starts the parties of a ring in processes of their own, and ends them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aegis.shm import Ring


class Crew:
    """A context: `start` gives the process id of a new party, `result` what the next one to end has said."""

    def __init__(self, ring: Ring | None = None) -> None:
        fds = ring.pass_fds if ring is not None else ()
        script = Path(__file__).with_name("parties.py")
        self._process = subprocess.Popen(
            [sys.executable, script, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._results: list[dict[str, Any]] = []
        assert "ready" in self._line()

    def start(self, role: str, **arguments: Any) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"role": role, **arguments}) + "\n")
        self._process.stdin.flush()
        while "pid" not in (line := self._line()):
            self._results.append(line)
        return int(line["pid"])

    def result(self) -> dict[str, Any]:
        return self._results.pop(0) if self._results else self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        assert line, "the parties' process has died"
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)  # its session is its own: only what we started
        self._process.communicate()


def kill(pid: int) -> None:
    """End one party at once."""
    os.kill(pid, signal.SIGKILL)


def is_stopped(pid: int) -> bool:
    """True when a process has been stopped by a signal."""
    state: str = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T"
