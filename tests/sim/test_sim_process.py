from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

CODE = """
import sys
from pathlib import Path
from aegis.sim import ExchangeOptions, run_exchange
port, watch, *recordings = sys.argv[1:]
options = ExchangeOptions(port=int(port), seed=7, symbols=("BTCUSDT",), recordings=tuple(map(Path, recordings)))
sys.exit(run_exchange(options, watch_stdin=watch == "watch"))
"""


@contextmanager
def exchange(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the exchange as a child; kill it at the end, whatever happened."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AEGIS_PARENT_PID": str(os.getpid())},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> dict[str, object]:
    """Read the line that says where the exchange listens."""
    assert process.stdout is not None
    event: dict[str, object] = json.loads(process.stdout.readline())
    assert event["event"] == "ready"
    return event


def test_process_says_when_it_is_ready() -> None:
    """One JSON line names the addresses, the paper credentials, the pid and the symbols."""
    with exchange("0", "watch") as process:
        event = ready(process)
        with urllib.request.urlopen(f"{event['rest']}/fapi/v1/ping") as reply:  # noqa: S310  # loopback
            assert reply.status == 200
    assert event["pid"] == process.pid
    assert event["symbols"] == ["BTCUSDT"]
    assert event["driving"] == []


def test_child_gives_way_to_its_parent() -> None:
    """It goes behind the engine on the cores that they share, and leaves it the last of them."""
    cores = sorted(os.sched_getaffinity(0))
    with exchange("0", "watch") as process:
        event = ready(process)
        # By the time it answers it has given way.
        urllib.request.urlopen(f"{event['rest']}/fapi/v1/ping").close()  # noqa: S310  # loopback
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH
        assert sorted(os.sched_getaffinity(process.pid)) == (cores[:-1] or cores)


def test_process_ends_with_its_stdin() -> None:
    """When the parent closes stdin the process is over, with exit code 0."""
    with exchange("0", "watch") as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=5) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_ends_in_order_on_a_signal(number: signal.Signals) -> None:
    """A standalone process ignores the end of stdin and obeys signals, with exit code 0."""
    with exchange("0", "standalone") as process:
        ready(process)
        assert process.stdin is not None
        process.stdin.close()
        process.send_signal(number)
        assert process.wait(timeout=5) == 0


def test_taken_port_is_told() -> None:
    """A second process on the same port says why it cannot start: in one line to people, as an event to a parent."""
    with exchange("0", "watch") as first:
        port = str(ready(first)["rest"]).rpartition(":")[2]
        with exchange(port, "standalone") as second:
            output, errors = second.communicate(timeout=10)
        assert (second.returncode, output, errors.count("\n")) == (2, "", 1)
        assert f"127.0.0.1:{port}" in errors
        with exchange(port, "watch") as third:
            output, errors = third.communicate(timeout=10)
    assert (third.returncode, errors) == (2, "")
    assert json.loads(output)["event"] == "refused"
    assert f"127.0.0.1:{port}" in json.loads(output)["error"]


def test_unreadable_recording_ends_with_one_line(tmp_path: Path) -> None:
    """A recording that cannot be read is named in one line, with exit code 2."""
    path = tmp_path / "absent.gz"
    with exchange("0", "standalone", str(path)) as process:
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors.count("\n")) == (2, "", 1)
    assert str(path) in errors
