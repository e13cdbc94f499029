from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aegis.errors import Broken, Refused, Unavailable
from aegis.store import journal as module
from aegis.store.journal import Entry, Journal, Row, read_rows, verify


def write(path: Path, count: int) -> Journal:
    journal = Journal(path)
    for number in range(count):
        journal.append([Entry("note", {"number": number})], wall_ns=number)
    return journal


def test_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    """Everything comes back in order, and the head covers all of it."""
    journal = write(tmp_path / "j.db", 5)
    journal.seal()
    journal.close()
    rows = read_rows(tmp_path / "j.db")
    assert [row.decoded()["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert verify(tmp_path / "j.db") == (5, rows[-1].hash.hex())


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_journal_takes_a_group_of_any_size(tmp_path: Path, count: int) -> None:
    """All of it or nothing, in its order, in as many statements as it takes."""
    journal = Journal(tmp_path / "j.db")
    journal.append([Entry("note", {"number": number}) for number in range(count)], wall_ns=1)
    journal.close()
    assert [row.decoded()["number"] for row in read_rows(tmp_path / "j.db")] == list(range(count))


def test_journal_survives_with_its_log_laid_out(tmp_path: Path) -> None:
    """What the files hold at any moment is a whole journal, though the log is mostly zeros, and begins again and again."""
    journal = Journal(tmp_path / "j.db")
    size = (tmp_path / "j.db-wal").stat().st_size
    for number in range(1500):
        journal.append([Entry("note", {"number": number, "more": "x" * 3000})], wall_ns=number)
        if number % 250 == 0:  # as if killed here
            crashed = tmp_path / str(number)
            crashed.mkdir()
            for name in ("j.db", "j.db-wal"):
                shutil.copy(tmp_path / name, crashed / name)
            reopened = Journal(crashed / "j.db")
            assert reopened.events == number + 1
            assert reopened.append([Entry("note", {})], wall_ns=0) == number + 2
            reopened.close()
    assert (tmp_path / "j.db-wal").stat().st_size == size
    journal.seal()
    journal.close()
    assert verify(tmp_path / "j.db")[0] == 1500


def test_journal_counts_its_runs(tmp_path: Path) -> None:
    """Each opening is a run of its own: the epoch of its order ids."""
    for run in (1, 2, 3):
        journal = write(tmp_path / "j.db", 1)
        assert journal.run == run
        journal.close()


def test_journal_has_one_writer(tmp_path: Path) -> None:
    """A second engine on the same journal is refused while the first one lives."""
    journal = write(tmp_path / "j.db", 1)
    with pytest.raises(Refused, match="another engine"):
        Journal(tmp_path / "j.db")
    journal.close()
    Journal(tmp_path / "j.db").close()


def test_journal_has_one_writer_by_whatever_name(tmp_path: Path) -> None:
    """A symbolic link leads to the same journal, and to the same lock."""
    journal = write(tmp_path / "j.db", 1)
    (tmp_path / "link.db").symlink_to(tmp_path / "j.db")
    with pytest.raises(Refused, match="another engine"):
        Journal(tmp_path / "link.db")
    journal.close()
    write(tmp_path / "link.db", 1).close()
    assert verify(tmp_path / "j.db")[0] == 2


@pytest.mark.parametrize("name", ["run#1", "50%25", "what?"])
def test_journal_is_read_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    """SQLite takes the name of a file to read for an address, where these characters mean something."""
    folder = tmp_path / name
    write(folder / "j.db", 1).close()
    assert verify(folder / "j.db")[0] == 1


def test_journal_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """Verifying does not disturb the engine that writes."""
    journal = write(tmp_path / "j.db", 3)
    assert verify(tmp_path / "j.db")[0] == 3
    journal.append([Entry("note", {})], wall_ns=9)
    assert verify(tmp_path / "j.db")[0] == 4
    journal.close()


def open_foreign(path: Path) -> sqlite3.Connection:
    """Another program's connection; several threads of the test use it, one after the other."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


def read_on(path: Path) -> sqlite3.Connection:
    """A program that has begun to read, and does not end it."""
    foreign = open_foreign(path)
    foreign.execute("BEGIN")
    foreign.execute("SELECT count(*) FROM events").fetchone()
    return foreign


def test_journal_waits_for_a_lock_of_a_moment(tmp_path: Path) -> None:
    """A backup or a checkpoint of another program does not end the engine, and nothing is written twice."""
    journal = write(tmp_path / "j.db", 1)
    foreign = open_foreign(tmp_path / "j.db")
    foreign.execute("BEGIN IMMEDIATE")
    letting_go = threading.Timer(0.05, foreign.execute, ["ROLLBACK"])
    letting_go.start()
    assert journal.append([Entry("note", {"number": 1})], wall_ns=1) == 2
    letting_go.join()
    foreign.close()
    journal.close()
    assert verify(tmp_path / "j.db")[0] == 2


def test_journal_breaks_at_a_lock_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while nothing is written any more, also when the lock has gone."""
    monkeypatch.setattr(module, "_BUSY_S", 0.01)
    journal = write(tmp_path / "j.db", 1)
    foreign = open_foreign(tmp_path / "j.db")
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(Broken, match="could not be written: database is locked"):
        journal.append([Entry("note", {})], wall_ns=1)
    foreign.execute("ROLLBACK")
    with pytest.raises(Broken, match="sealed"):
        journal.append([Entry("note", {})], wall_ns=1)
    foreign.close()
    journal.close()
    assert verify(tmp_path / "j.db")[0] == 1


def test_journal_waits_for_a_reader_of_a_moment_before_it_is_one_file(tmp_path: Path) -> None:
    """A copy of that file alone is then all of it."""
    journal = write(tmp_path / "j.db", 1)
    foreign = read_on(tmp_path / "j.db")
    journal.append([Entry("note", {})], wall_ns=1)
    letting_go = threading.Timer(0.05, foreign.execute, ["ROLLBACK"])
    letting_go.start()
    journal.seal()
    letting_go.join()
    shutil.copy(tmp_path / "j.db", tmp_path / "copy.db")
    assert verify(tmp_path / "copy.db")[0] == 2
    foreign.close()
    journal.close()


def test_journal_says_that_it_is_not_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a reader stays; nothing is lost, and nothing is written any more."""
    monkeypatch.setattr(module, "_BUSY_S", 0.01)
    journal = write(tmp_path / "j.db", 1)
    foreign = read_on(tmp_path / "j.db")
    journal.append([Entry("note", {})], wall_ns=1)
    with pytest.raises(Unavailable, match="part of it"):
        journal.seal()
    assert journal.sealed
    journal.close()
    foreign.close()
    assert verify(tmp_path / "j.db")[0] == 2


def test_journal_refuses_update_and_delete(tmp_path: Path) -> None:
    """The table itself is append-only."""
    write(tmp_path / "j.db", 2).close()
    connection = sqlite3.connect(tmp_path / "j.db")
    for statement in ("UPDATE events SET wall_ns = 0", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET body = CAST('{}' AS BLOB) WHERE seq = 2",
        "UPDATE events SET wall_ns = wall_ns + 1 WHERE seq = 3",
        "UPDATE events SET kind = 'other' WHERE seq = 1",
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET hash = zeroblob(32) WHERE seq = 3",
    ],
)
def test_journal_damage_is_found(tmp_path: Path, damage: str) -> None:
    """Whoever gets past the triggers does not get past the chain."""
    write(tmp_path / "j.db", 3).close()
    connection = sqlite3.connect(tmp_path / "j.db")
    connection.executescript("DROP TRIGGER events_are_final; DROP TRIGGER events_are_kept;")
    connection.execute(damage)
    connection.commit()
    connection.close()
    with pytest.raises(Broken):
        verify(tmp_path / "j.db")
    with pytest.raises(Broken):
        Journal(tmp_path / "j.db")


def test_journal_refuses_another_programs_file(tmp_path: Path) -> None:
    """A database that is no journal, or no database at all, is left as it is."""
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    (tmp_path / "text.db").write_text("no database" * 100)
    (tmp_path / "folder.db").mkdir()
    for name in ("other.db", "text.db", "folder.db"):
        with pytest.raises(Refused, match="cannot be used as a journal"):
            Journal(tmp_path / name)
    with pytest.raises(Refused, match="no journal"):
        verify(tmp_path / "absent.db")


def test_journal_refuses_a_folder_it_cannot_use(tmp_path: Path) -> None:
    """A folder that is a file is one clear line, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="folder cannot be used"):
        Journal(tmp_path / "file" / "j.db")


def test_journal_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """What was traded is nobody else's business."""
    before = os.umask(0o022)
    try:
        journal = write(tmp_path / "j.db", 1)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        journal.close()
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["j.db", "j.db-shm", "j.db-wal", "j.db.lock"], 0o600)


def test_journal_of_before_becomes_its_owners_only(tmp_path: Path) -> None:
    """Also the log that another version has left when it was killed."""
    journal = write(tmp_path / "j.db", 1)
    left = tmp_path / "left"
    left.mkdir()
    for name in ("j.db", "j.db-wal"):
        shutil.copy(tmp_path / name, left / name)
        (left / name).chmod(0o644)
    journal.close()
    journal = write(left / "j.db", 1)
    assert not any(path.stat().st_mode & 0o077 for path in left.iterdir())
    journal.close()
    assert verify(left / "j.db")[0] == 2


WRITER = """
import sys
from pathlib import Path
from aegis.store.journal import Entry, Journal
journal = Journal(Path(sys.argv[1]))
number = journal.events
while True:
    number += 1
    journal.append([Entry("note", {"number": number})] * 3, wall_ns=number)
    print(journal.events, flush=True)
"""


@pytest.mark.processes
def test_journal_keeps_what_was_acknowledged_when_its_writer_is_killed(tmp_path: Path) -> None:
    """After SIGKILL at a random moment every acknowledged event is there, and the chain holds."""
    path = tmp_path / "j.db"
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged += map(int, writer.stdout.read().split())
        events, _ = verify(path)
        assert events >= acknowledged[-1]
        assert events % 3 == 0  # a group is written whole or not at all


def test_a_log_that_cannot_be_folded_in_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """A disk that is full at the end of a run: all of it is there, in two files."""
    path = tmp_path / "j.db"
    with closing(Journal(path)) as journal:
        journal.append([Entry("note", {"number": 1})], 1)
        whole = journal._connection

        class Full:
            """A connection whose disk has no room left."""

            def execute(self, statement: str) -> Any:
                raise sqlite3.OperationalError("database or disk is full")

        journal._connection = Full()  # type: ignore[assignment]
        with pytest.raises(Unavailable, match=r"disk is full, and .*-wal is still part of it"):
            journal.seal()
        journal._connection = whole
    assert verify(path)[0] == 1


@pytest.mark.parametrize("column", ["run", "wall_ns", "kind", "body", "hash"])
def test_a_column_that_holds_nothing_is_damage(tmp_path: Path, column: str) -> None:
    """One byte of a page is enough: SQLite then gives what the table does not allow."""
    path = tmp_path / "j.db"
    with closing(Journal(path)) as journal:
        journal.append([Entry("note", {"number": number}) for number in range(3)], 1)
        journal.seal()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (table,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'events'"
        ).fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = ? WHERE name = 'events'",
            (table.replace(" NOT NULL", ""),),
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript("DROP TRIGGER events_are_final; DROP TRIGGER events_are_kept;")
        connection.execute(f"UPDATE events SET {column} = NULL WHERE seq = 2")  # noqa: S608
    with pytest.raises(Broken, match="each column of journal event 2"):
        verify(path)
    with pytest.raises(Broken, match="each column of journal event 2"):
        read_rows(path)


def test_a_body_that_is_no_text_is_damage() -> None:
    """A byte that no UTF-8 has is said as any other one that was changed."""
    with pytest.raises(Broken, match="the body of journal event 8 is a JSON object"):
        Row(8, 1, 1, "note", b'{"a":"\xe7"}', b"").decoded()


def test_a_journal_on_a_medium_that_is_read_only_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evidence is kept where nobody can change it. One that still has a log beside it cannot be read there, and is not half read."""
    path = tmp_path / "j.db"
    with closing(Journal(path)) as journal:
        journal.append([Entry("note", {"number": 1})], 1)
        journal.seal()
    connect = sqlite3.connect

    def connect_read_only(address: str, **more: Any) -> Any:
        connection = connect(address, **more)
        if "immutable" in address:
            return connection
        connection.close()

        class NoRoom:
            """What SQLite gives where it cannot make its index of the log."""

            def execute(self, _: str) -> Any:
                error = sqlite3.OperationalError("unable to open database file")
                error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
                raise error

            def close(self) -> None:
                pass

        return NoRoom()

    monkeypatch.setattr(sqlite3, "connect", connect_read_only)
    assert verify(path)[0] == 1
    Path(f"{path}-wal").write_bytes(b"more")
    with pytest.raises(Refused, match="unable to open"):
        verify(path)
