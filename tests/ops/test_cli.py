"""The commands, as a person would run them: real processes, an empty home, no network but loopback."""

from __future__ import annotations

import gzip
import json
import select
import signal
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from commands import Command, first_line, recorded

from aegis.store.journal import Entry, Journal

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("no_segment_is_left")]


RECORDING = Path(__file__).parents[2].parent / "shared/data/recordings/btcusdt_20240808.gz"


def test_run_ends_with_a_summary_that_adds_up(command: Command) -> None:
    """A paper run needs nothing, trades, accounts for every signal and leaves nothing behind."""
    summary = command.trade("run", "--for", "4s", "--seed", "7")
    signals, orders = summary["signals"], summary["orders"]
    assert signals["proposed"] == sum(
        signals[key] for key in ("approved", "refused", "expired", "superseded")
    )
    assert signals["lost"] == 0
    assert summary["fills"] > 0
    assert summary["ticks"] > 0
    assert summary["bars"] > 0
    assert orders["sent"] == orders["accepted"] + orders["refused"] + orders["unknown"]
    assert summary["reconciled"] is True
    assert summary["fed"] is True
    assert summary["ticks_lost"] == 0
    assert [summary[f"bars_{fate}"] for fate in ("lost", "unsent", "refused")] == [0, 0, 0]
    assert summary["clean"] == {"processes": 0, "segments": 0}
    assert len(set(summary["pids"].values())) == 3
    assert summary["positions"] == {}
    assert summary["first_fill_s"] > 0
    assert {"p50", "p99", "max"} == set(summary["latency_us"]["tick_to_order"])
    assert command.verify()["head"] == summary["journal"]["head"]


def test_run_without_a_terminal_prints_plain_lines(command: Command) -> None:
    """Without --json and without a terminal there is a line a second and a readable summary."""
    code, out, err = command.run("run", "--config", str(command.config), "--for", "3s")
    assert code == 0, err
    assert "equity" in out.splitlines()[0]
    assert any(line.strip().startswith("reconciled") for line in out.splitlines())


def test_run_keeps_a_core_awake_when_told_to(
    command: Command, idle_threads: Callable[[int], set[int]]
) -> None:
    """By a thread of the idle policy, where idle cores rest, from the start of the engine to its end in order."""
    command.config.write_text(command.config.read_text() + "cpu_latency_us = -1\n")
    arguments = ("--config", str(command.config), "--for", "60s", "--json", "--keep-awake")
    with command.start("run", *arguments) as process:
        while not idle_threads(process.pid):
            assert process.poll() is None
            select.select((), (), (), 0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["reconciled"]


def test_replay_counts_every_recorded_tick(command: Command) -> None:
    """A replay at full speed loses nothing, trades, and agrees with the exchange."""
    recording = recorded(command.folder / "frames.gz")
    summary = command.trade("replay", str(recording), "--speed", "max")
    assert (summary["mode"], summary["ended_by"]) == ("replay", "recording")
    assert (summary["ticks"], summary["ticks_lost"]) == (1200, 0)
    assert summary["recording"] == {"frames": 1200, "unreadable": 0}
    assert summary["fills"] > 0
    assert summary["reconciled"] is True


def test_replay_shows_a_slow_strategy_every_bar(command: Command) -> None:
    """It is behind by seconds when the recording is over: the replay ends when it has seen all of it."""
    (command.folder / "slow.py").write_text(
        "import time\nfrom aegis.market.strategy import Strategy\n\nclass Slow(Strategy):\n"
        "    def on_bar(self, view):\n        time.sleep(0.06)\n"
    )
    recording = recorded(command.folder / "frames.gz")
    summary = command.trade("replay", str(recording), "--speed", "max", "--strategy", "slow:Slow")
    assert summary["strategies"]["slow"]["bars"] == summary["bars"] > 100
    assert summary["reconciled"] is True


@pytest.mark.parametrize("damage", ["cut", "lines"])
def test_replay_says_what_of_a_recording_it_could_not_read(command: Command, damage: str) -> None:
    """A file that breaks off, or has lines that are no frames: what is left of it must not pass for all of it."""
    whole = recorded(command.folder / "frames.gz").read_bytes()
    path = command.folder / "damaged.gz"
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        lines = gzip.decompress(whole).decode().splitlines(keepends=True)
        lines[100] = lines[100][:40] + "\n"
        path.write_bytes(gzip.compress("".join(lines).encode()))
    summary = command.trade("replay", str(path), "--speed", "max")
    assert summary["recording"]["unreadable"] == 1
    assert 0 < summary["recording"]["frames"] == summary["ticks"] < 1200


def test_replay_of_a_real_recording(command: Command) -> None:
    """The recorded Binance frames of six minutes: every quote and trade is a tick, and it trades on them."""
    if not RECORDING.exists():
        pytest.skip("the recordings are not beside the project")
    summary = command.trade("replay", str(RECORDING), "--speed", "max")
    assert (summary["ticks"], summary["ticks_lost"]) == (66_089 + 21_313, 0)
    assert summary["fills"] > 0
    assert summary["reconciled"] is True


def test_replay_shows_a_strategy_every_bar(command: Command) -> None:
    """A strategy in Python is asked about each bar of a recording, as fast as it comes."""
    recording = recorded(command.folder / "frames.gz")
    summary = command.trade("replay", str(recording), "--speed", "max", "--strategy", "smc")
    assert summary["strategies"]["smc"]["bars"] == summary["bars"] > 100
    assert summary["strategies"]["smc"]["quarantined"] == {}
    assert summary["reconciled"] is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--config", "absent.toml"], ["absent.toml", "No such file"]),
        (["run", "--config", "key.toml"], ["key.toml", "limits.order_notinal", "order_notional"]),
        (["run", "--config", "type.toml"], ["type.toml", "feed.lossless", "true or false"]),
        (["run", "--config", "folder.toml"], ["file/j.db", "folder"]),
        (["run", "--for", "soon"], ["--for soon", "30s"]),
        (["run", "--venue", "nowhere"], ["nowhere", "binance-testnet"]),
        (["run", "--live"], ["--live"]),
        (["run", "--strategy", "smcx"], ["strategies[0].class", "breakout, smc", "'smcx'"]),
        (["run", "--strategy", "no_such:X"], ["no_such cannot be imported", "ModuleNotFound"]),
        (["run", "--config", "told.toml"], ["strategies[0].parameters.rewrd", "reward"]),
        (["run", "--venue", "binance-testnet"], ["run.journal", "outlive"]),
        (["replay", "absent.gz"], ["absent.gz"]),
        (["replay", "key.toml"], ["key.toml", "gzip"]),
        (["replay", "key.toml", "--speed", "fast"], ["--speed fast", "max"]),
        (["journal", "verify", "absent.db"], ["absent.db"]),
        (["run", "--config", "none.toml"], ["none.toml", "'symbols' must be 1 to 4096 names"]),
        (["run", "--symbols", "²"], ["--symbols '²'", "a number from 1 to 4096"]),
        (["run", "--symbols", "70000"], ["--symbols '70000'", "a number from 1 to 4096"]),
        (["run", "--symbols", "9" * 5000], ["--symbols '999", "a number from 1 to 4096"]),
        (["run", "--symbols", "0"], ["--symbols '0'", "a number from 1 to 4096"]),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    command: Command, arguments: list[str], says: list[str]
) -> None:
    """What cannot be done is refused with its name and what was expected, before anything starts."""
    folder = command.folder
    (folder / "key.toml").write_text("[limits]\norder_notinal = 5\n")
    (folder / "none.toml").write_text("symbols = []\n")
    (folder / "type.toml").write_text("[feed]\nlossless = 1\n")
    (folder / "told.toml").write_text("[[strategies]]\nclass = 'smc'\nparameters.rewrd = 2\n")
    (folder / "file").touch()
    (folder / "folder.toml").write_text(f'[run]\njournal = "{folder}/file/j.db"\n')
    code, out, err = command.run(*arguments, "--json")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1, err
    assert all(word in err for word in says), err


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "x"])
@pytest.mark.parametrize("verb", ["run", "exchange", "replay"])
def test_bad_input_port_that_is_none(command: Command, verb: str, port: str) -> None:
    """A port that no machine has is refused for what it is, with exit code 2."""
    code, out, err = command.run(verb, *(["f.gz"] if verb == "replay" else []), "--port", port)
    assert (code, out) == (2, "")
    assert "--port" in err
    assert "Traceback" not in err


def test_bad_input_port_taken(command: Command) -> None:
    """A port that somebody else has is named, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for verb in ("run", "exchange"):
            code, _, err = command.run(verb, "--port", str(port))
            assert code == 2
            (line,) = err.splitlines()
            assert f"127.0.0.1:{port}" in line


def test_journal_show_prints_the_story(command: Command) -> None:
    """A journal can be read as one JSON object a line, from the start of a run to its end."""
    command.trade("run", "--for", "2s")
    code, out, _ = command.run("journal", "show", str(command.journal))
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert code == 0
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")


DAMAGE = {
    "UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 2": "the hash of journal event 2 holds",
    "UPDATE events SET kind = CAST(x'FF' AS TEXT) WHERE seq = 2": "the hash of journal event 2",
    "DELETE FROM events WHERE seq = 2": "journal event 2 is there",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_journal_verify_says_what_does_not_hold(command: Command, damage: str) -> None:
    """A journal that was changed is a check that did not hold: exit code 3, and a document that says so."""
    written(command.journal, damage)
    code, out, err = command.run("journal", "verify", str(command.journal), "--json")
    assert (code, err) == (3, "")
    found = json.loads(out)
    assert (found["verified"], found["events"], found["head"]) == (False, None, None)
    assert DAMAGE[damage] in found["expected"]
    code, out, _ = command.run("journal", "verify", str(command.journal))
    assert code == 3
    assert "verified  False" in out


def test_journal_verify_finds_overwritten_pages(command: Command) -> None:
    """A file whose middle was overwritten is a journal that does not hold, not another program's file."""
    written(command.journal, "PRAGMA user_version = 0")
    with command.journal.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (command.journal.stat().st_size - 8192))
    code, out, err = command.run("journal", "verify", str(command.journal), "--json")
    assert code == 3, err
    assert json.loads(out)["verified"] is False


def test_journal_show_of_a_damaged_body_is_one_line(command: Command) -> None:
    """What is no JSON any more cannot be shown; that is said without a traceback."""
    written(command.journal, "UPDATE events SET body = CAST('{' AS BLOB) WHERE seq = 2")
    code, out, err = command.run("journal", "show", str(command.journal))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "aegis: stopped on a fault: the body of journal event 2 is a JSON object"
    ]


def written(path: Path, damage: str) -> None:
    """A journal of many events, which somebody has changed."""
    with closing(Journal(path)) as journal:
        journal.append([Entry("note", {"number": number}) for number in range(5000)], wall_ns=1)
        journal.seal()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("DROP TRIGGER events_are_final; DROP TRIGGER events_are_kept;")
        connection.execute(damage)


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_journal_show_ends_quietly_with_its_reader(
    command: Command, arguments: tuple[str, ...]
) -> None:
    """Who reads one line of many has what they wanted: no traceback, and exit code 0."""
    written(command.journal, "PRAGMA user_version = 0")
    with command.start("journal", "show", str(command.journal), *arguments) as process:
        assert first_line(process).startswith("{")
        assert process.stderr is not None
        err = process.stderr.read()
    assert (process.returncode, err) == (0, "")
