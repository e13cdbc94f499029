"""How a run ends, whatever happens to it: signals, dead processes, readers that go away, strategies that do not return."""

from __future__ import annotations

import json
import os
import re
import select
import signal
from pathlib import Path

import pytest
from commands import Command, first_line, wait_gone

import aegis
from aegis.store.journal import read_rows

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("no_segment_is_left")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_stops_in_order_on_a_signal(command: Command, number: signal.Signals) -> None:
    """The first one cancels, closes, reconciles, seals and sums up: also where it says that the terminal is gone."""
    process, pids = command.start_trading()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["ended_by"], summary["reconciled"]) == (number.name, True)
    wait_gone(list(pids.values()))


def test_run_stops_at_once_on_a_second_sigint(command: Command) -> None:
    """The second signal waits for nothing, and still nothing is left."""
    process, pids = command.start_trading()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode in {0, 1}, err
    wait_gone(list(pids.values()))
    assert command.verify()["verified"]


@pytest.mark.parametrize("victim", ["main", "exchange"])
def test_run_leaves_nothing_when_a_process_is_killed(command: Command, victim: str) -> None:
    """SIGKILL of the main process or of its exchange ends everything within two seconds."""
    process, pids = command.start_trading()
    os.kill(pids[victim], signal.SIGKILL)
    wait_gone([pid for pid in pids.values() if pid != process.pid])
    _, err = process.communicate(timeout=2)
    if victim == "exchange":
        assert process.returncode == 1
        assert "stopped on a fault: the exchange" in err
    assert command.verify()["verified"]


def test_run_goes_on_when_its_worker_is_killed(command: Command) -> None:
    """A killed worker is reaped and replaced; the run ends in order and has counted it."""
    process, pids = command.start_trading()
    os.kill(pids["worker"], signal.SIGKILL)
    wait_gone([pids["worker"]])
    assert process.stderr is not None
    while "worker_started" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    summary = json.loads(out)
    assert (summary["feed"]["restarts"], summary["reconciled"]) == (1, True)
    wait_gone([*pids.values(), summary["pids"]["feed"]])


def lame(folder: Path, seconds: float) -> dict[str, str]:
    """An environment in which a feed worker ends after so long, before it has done anything."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "if 'aegis.actors.feed_process' in sys.orig_argv:\n"
        f"    time.sleep({seconds})\n"
        "    os._exit(7)\n"
    )
    root = Path(aegis.__file__).parents[1]
    return {"PYTHONPATH": f"{folder / 'site'}{os.pathsep}{root}"}


def test_run_ends_when_its_worker_dies_again_and_again(command: Command) -> None:
    """A worker that cannot live is given up after its restarts, and that is a fault, whatever time the run still had."""
    command.environment = lame(command.folder, 0.0)
    code, _, err = command.run("run", "--config", str(command.config), "--for", "60s", "--json")
    assert code == 1
    assert err.count("worker_started") == 6
    assert re.fullmatch(
        r"aegis: stopped on a fault: the feed worker \d+ ended with code 7", err.splitlines()[-1]
    )


def test_run_that_never_heard_the_market_is_no_good_run(command: Command) -> None:
    """One that ends between two restarts of a worker that brought nothing is a check that did not hold."""
    command.environment = lame(command.folder, 0.7)
    code, out, err = command.run("run", "--config", str(command.config), "--for", "4s", "--json")
    assert code == 3, err
    summary = json.loads(out)
    assert (summary["ticks"], summary["fed"], summary["reconciled"]) == (0, False, True)
    assert summary["feed"]["restarts"] > 1


def test_run_goes_on_without_its_reader(command: Command) -> None:
    """A pipe that is closed while it trades stops neither the run nor its end in order."""
    with command.start("run", "--config", str(command.config), "--for", "3s") as process:
        assert "equity" in first_line(process)
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    rows = read_rows(command.journal)
    assert rows[-1].kind == "run_ended"
    assert rows[-1].decoded()["why"] == "time"


def test_run_outlives_its_terminal_where_it_is_to(command: Command) -> None:
    """With `nohup`, which has the hang-up ignored: it was told so, and trades on."""
    arguments = ("run", "--config", str(command.config), "--for", "3s", "--json")
    with command.start(*arguments, by='trap "" HUP; exec "$@"') as process:
        assert process.stderr is not None
        while "worker_started" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["ended_by"] == "time"


def test_run_goes_on_without_a_reader_of_its_log(command: Command) -> None:
    """A `tee` that has died, or a terminal: the first line that nobody can take must not leave positions behind."""
    process, pids = command.start_trading()
    assert process.stderr is not None
    process.stderr.close()
    os.kill(pids["worker"], signal.SIGKILL)  # which is logged
    wait_gone([pids["worker"]])
    process.send_signal(signal.SIGINT)  # and so is this
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    summary = json.loads(out)
    assert (summary["reconciled"], summary["positions"]) == (True, {})


def test_a_full_disk_behind_standard_output_ends_a_run_in_order_all_the_same(
    command: Command,
) -> None:
    """The lines of a run are there to be looked at; the summary that cannot be written is a fault, in one line."""
    with Path("/dev/full").open("w") as full:
        process = command.start("run", "--config", str(command.config), "--for", "3s", out=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    said = "standard output cannot be written to: No space left on device"
    assert err.splitlines()[-1] == f"aegis: stopped on a fault: {said}"
    assert read_rows(command.journal)[-1].kind == "run_ended"


def test_a_run_without_standard_streams_ends_in_order(command: Command) -> None:
    """As a daemon is started that closes them: no socket of ours takes their place."""
    arguments = ("run", "--config", str(command.config), "--for", "3s")
    process = command.start(*arguments, by='exec "$@" <&- >&- 2>&-')
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read_rows(command.journal)[-1].kind == "run_ended"


def test_a_run_without_enough_descriptors_says_so(command: Command) -> None:
    """In one line, with what helps; it leaves nothing."""
    arguments = ("run", "--config", str(command.config), "--for", "3s")
    process = command.start(*arguments, by='ulimit -n 50; exec "$@"')
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("aegis: stopped on a fault: ")
    assert err.splitlines()[-1].endswith("; ulimit -n 1024")


STRATEGY = """
import time
from aegis.market.strategy import Strategy

class Slow(Strategy):
    def on_bar(self, view):
        print("hello")
        time.sleep(0.2)

class Stuck(Strategy):
    def on_bar(self, view):
        while True:
            pass
"""


def test_run_of_a_slow_strategy_ends_in_order(command: Command) -> None:
    """However many bars wait for it: whoever asks for the end does not wait for them. What it prints is no part of the summary."""
    (command.folder / "odd.py").write_text(STRATEGY)
    summary = command.trade("run", "--for", "5s", "--strategy", "odd:Slow")
    assert summary["reconciled"] is True
    assert summary["strategies"]["slow"]["bars"] > 1


def test_a_third_signal_ends_what_no_second_one_can(command: Command) -> None:
    """A strategy that never returns holds up the loop, and with it everything that ends in order."""
    (command.folder / "odd.py").write_text(STRATEGY)
    arguments = ("--config", str(command.config), "--json", "--strategy", "odd:Stuck")
    with command.start("run", *arguments) as process:
        pids = command.pids_of(process)
        ticks = Path(f"/proc/{process.pid}/stat")
        while _busy(ticks) < 300:  # it spins: nothing else takes three seconds of its time
            assert process.poll() is None
            select.select((), (), (), 0.05)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            assert process.poll() is None
            process.send_signal(number)
            select.select((), (), (), 0.2)
        assert process.wait(timeout=10) == 1
    wait_gone(list(pids.values()))


def _busy(stat: Path) -> int:
    """Hundredths of a second that a process has worked."""
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
