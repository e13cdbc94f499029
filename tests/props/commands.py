"""The commands, as a person would run them: real processes, an empty home, no network but loopback."""

from __future__ import annotations

import gzip
import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

FAST = "[strategy]\ninterval_ms = 100\npivot_bars = 1\natr_period = 2\n"


class Command:
    """`python -m aegis` with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "aegis.toml"
        self.journal = folder / "j.db"
        self.environment: dict[str, str] = {}
        self.config.write_text(f'{FAST}[run]\njournal = "{self.journal}"\n')

    def start(
        self,
        *arguments: str,
        out: IO[str] | int = subprocess.PIPE,
        by: str = 'exec "$@"',
    ) -> subprocess.Popen[str]:
        """Start it by a line of the shell."""
        return subprocess.Popen(
            ["/bin/sh", "-c", by, "sh", sys.executable, "-m", "aegis", *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={
                **os.environ,
                "XDG_STATE_HOME": str(self.folder / "state"),
                **self.environment,
            },
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()  # or leaving the block waits for ever
                raise
            return process.returncode, out, err

    def trade(self, *arguments: str) -> dict[str, Any]:
        code, out, err = self.run(*arguments, "--config", str(self.config), "--json")
        assert code == 0, err
        summary: dict[str, Any] = json.loads(out)
        return summary

    def start_trading(self) -> tuple[subprocess.Popen[str], dict[str, int]]:
        """A run that trades, and the pids of its processes: found once it has its first order."""
        process = self.start("run", "--config", str(self.config), "--for", "60s", "--json")
        return process, self.pids_of(process)

    @staticmethod
    def pids_of(process: subprocess.Popen[str]) -> dict[str, int]:
        """The pids of a run's processes, as its log says them."""
        pids = {"main": process.pid}
        assert process.stderr is not None
        while len(pids) < 3:
            line = process.stderr.readline()
            assert line, "the run ended early"
            for name in ("exchange", "worker"):
                if f"{name}_started" in line:
                    pids[name] = json.loads(line)["pid"]
        return pids

    def verify(self) -> dict[str, Any]:
        code, out, err = self.run("journal", "verify", str(self.journal), "--json")
        assert code == 0, err
        result: dict[str, Any] = json.loads(out)
        return result


def wait_gone(pids: list[int], seconds: float = 2.0) -> None:
    """Wait for the end of processes that are not our children; the kernel tells by a pidfd."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([descriptor], [], [], seconds)
        os.close(descriptor)
        assert ended, f"process {pid} is still there"


def first_line(process: subprocess.Popen[str]) -> str:
    """What `| head -1` does: read a line, and close the pipe."""
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    return line


QUOTE = (
    '{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"{bid:.2f}",'
    '"B":"5.000","a":"{price:.2f}","A":"5.000","T":{ms},"E":{ms}}}}}'
)


TRADE = (
    '{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"T":{ms},"s":"BTCUSDT","t":{id},'
    '"p":"{price:.2f}","q":"0.010","X":"MARKET","m":false}}}}'
)


def recorded(path: Path) -> Path:
    """A recording of a few hundred frames: a market that rises and falls, a quote before each trade."""
    with gzip.open(path, "wt") as file:
        for number in range(600):
            ms = 1_723_161_256_000 + number * 20
            leg, step = divmod(number, 30)
            price = 60_000 + (step if leg % 2 == 0 else 30 - step) * 10 + leg
            for frame in (QUOTE, TRADE):
                text = frame.format(id=number + 1, ms=ms, price=price, bid=price - 0.1)
                file.write(f"{ms * 1_000_000} {text}\n")
    return path
