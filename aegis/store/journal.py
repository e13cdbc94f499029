"""The journal: an append-only, hash-chained table in SQLite that is the truth about every order.

WAL mode with `synchronous=FULL`: what `append` has returned from survives SIGKILL and, on a disk that honours
flushes, the loss of power. Each row's hash covers the one before it, so a row that was changed or inserted
afterwards, or removed from before another, is found by `verify`. That rows are gone from the end shows only to who
has kept the head or the number of events. Nothing is ever updated or deleted; triggers refuse it.

A failed commit is never tried again: the kernel may have dropped the very page whose write failed, and a second
sync would report success. The engine stops instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

import attrs
import msgspec

from aegis.errors import Broken, Refused, Unavailable, check

__all__ = ["Entry", "Journal", "Row", "read_rows", "verify"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    seq     INTEGER PRIMARY KEY CHECK (seq > 0),
    run     INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    hash    BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER IF NOT EXISTS events_are_final BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_are_kept BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""
_COLUMNS: Final = 6
_ROWS_MAX: Final = 64
"""Rows of one statement. Each statement gives the GIL away and waits for it again, which beside a busy loop takes longer
than writing a row."""
_SELECT: Final = "SELECT seq, run, wall_ns, kind, body, hash FROM events ORDER BY seq"
_APPLICATION_ID: Final = (
    0x41454749  # "AEGI": so that another program's database is not taken for a journal
)
_GENESIS: Final = bytes(32)
_BUSY_S: Final = 1.5
"""How long another program's lock, as of a backup or a checkpoint, is waited for. That is before anything is written: no
commit is repeated by it."""
_LOG_BYTES: Final = 1100 * 4120
"""SQLite begins its log again after 1,000 pages, each with a header of 24 bytes, at the next commit's end."""


@attrs.frozen
class Entry:
    """Something to be written down: what kind of thing, and the thing as JSON values."""

    kind: str
    body: dict[str, Any]


@attrs.frozen
class Row:
    """An entry as it stands in the journal."""

    seq: int
    run: int
    wall_ns: int
    kind: str
    body: bytes
    hash: bytes

    def decoded(self) -> dict[str, Any]:
        """The body as JSON values.

        Raises:
            Broken: it is no JSON object.
        """
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Broken(f"the body of journal event {self.seq} is a JSON object") from None


_KINDS: Final = (int, int, int, str, bytes, bytes)


@cache
def _insert_statement(values: int) -> str:
    row = f"({', '.join('?' * _COLUMNS)})"
    rows = ", ".join([row] * (values // _COLUMNS))
    return f"INSERT INTO events VALUES {rows}"  # noqa: S608  # question marks, nothing else


def _hash(previous: bytes, seq: int, run: int, wall_ns: int, kind: str, body: bytes) -> bytes:
    head = f"{seq}|{run}|{wall_ns}|{kind}|".encode()
    return hashlib.sha256(previous + head + body).digest()


class Journal:
    """The one writer of a journal. Not for two threads at once; any one thread may call it."""

    def __init__(self, path: Path) -> None:
        """Open or create a journal, and check the chain of what is in it.

        Raises:
            Refused: the folder cannot be written to, the file is not a journal, or another engine holds it.
            Broken: its chain does not hold.
        """
        path = Path(os.path.realpath(path))  # whoever comes by another name finds the same lock
        self.path = path
        self._lock = _lock(path)
        with ExitStack() as undo:
            undo.callback(self._lock.close)
            try:
                _create(path)
                self._connection = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
                )
                undo.callback(self._connection.close)
                self._prepare()
                _lay_out(Path(f"{path}-wal"))
                self.head, self.events, last_run = _walk(self.rows())
            except (sqlite3.Error, OSError) as why:
                raise Refused(f"{path}: cannot be used as a journal: {why}") from None
            undo.pop_all()
        self.run = last_run + 1
        """The number of this run in the journal: the epoch of its client order ids."""
        self.sealed = False

    def _prepare(self) -> None:
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and application != _APPLICATION_ID:
            raise sqlite3.DatabaseError("it is another program's database")
        self._connection.executescript(
            f"PRAGMA application_id={_APPLICATION_ID};"
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _SCHEMA
        )
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").chmod(0o600)

    def append(self, entries: Sequence[Entry], wall_ns: int) -> int:
        """Write entries durably, all or none; returns the sequence number of the last.

        Raises:
            Broken: the disk did not take them; nothing may rely on this journal from here on.
        """
        check(not self.sealed, "nothing is written after the journal is sealed")
        check(bool(entries), "an append has entries")
        values: list[object] = []
        head, seq = self.head, self.events
        for entry in entries:
            seq += 1
            body = msgspec.json.encode(entry.body, order="sorted")
            head = _hash(head, seq, self.run, wall_ns, entry.kind, body)
            values += (seq, self.run, wall_ns, entry.kind, body, head)
        try:
            self._insert(values)
        except sqlite3.Error as why:
            self.sealed = True
            raise Broken(f"{self.path}: the journal could not be written: {why}") from why
        self.head, self.events = head, seq
        return seq

    def _insert(self, values: list[object]) -> None:
        """Write rows in one transaction: that of the one statement, where it is one."""
        if len(values) <= _ROWS_MAX * _COLUMNS:
            self._connection.execute(_insert_statement(len(values)), values)
            return
        self._connection.execute("BEGIN IMMEDIATE")
        for begin in range(0, len(values), _ROWS_MAX * _COLUMNS):
            some = values[begin : begin + _ROWS_MAX * _COLUMNS]
            self._connection.execute(_insert_statement(len(some)), some)
        self._connection.execute("COMMIT")

    def rows(self) -> Iterator[Row]:
        """Everything in it, in order."""
        yield from map(_row, self._connection.execute(_SELECT))

    def seal(self) -> None:
        """Fold the write-ahead log into the file: after this the one file is the whole journal.

        Raises:
            Unavailable: somebody else reads or writes it, or the disk is full; nothing is lost, but the log beside it still belongs
                to it.
        """
        if self.sealed:
            return
        self.sealed = True
        why = "another program reads it"
        try:
            is_busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            is_busy, why = True, str(error)
        if is_busy:
            raise Unavailable(f"{self.path}: {why}, and {self.path}-wal is still part of it")

    def close(self) -> None:
        """Close the file and release the lock."""
        self._connection.close()
        self._lock.close()


def _create(path: Path) -> None:
    """Make the file, if there is none, its owner's only: SQLite gives those beside it the same rights."""
    # Never opened when it is there: closing it again would drop the locks that SQLite has on it in this process.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _lay_out(log: Path) -> None:
    """Write zeros where SQLite's log will grow to, up to where it begins again.

    A sync after overwriting takes half of one after growing, and its worst case too: the file system has nothing of its own
    to write. To SQLite, what lies behind the last frame is no frame.
    """
    with log.open("ab") as file:
        file.write(bytes(max(0, _LOG_BYTES - file.tell())))
        file.flush()
        os.fsync(file.fileno())


def _lock(path: Path) -> IO[bytes]:
    """The exclusive lock of a journal; the kernel releases it when this process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise Refused(f"{path}: the journal's folder cannot be used: {why.strerror}") from None
    handle = os.fdopen(descriptor, "r+b")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise Refused(f"{path}: another engine is writing this journal") from None
    return handle


def _walk(rows: Iterable[Row]) -> tuple[bytes, int, int]:
    """Check the chain; the head, the number of events and the last run."""
    head, seq, run = _GENESIS, 0, 0
    for row in rows:
        seq += 1
        check(row.seq == seq, f"journal event {seq} is there")
        head = _hash(head, row.seq, row.run, row.wall_ns, row.kind, row.body)
        check(head == row.hash, f"the hash of journal event {seq} holds")
        run = row.run
    return head, seq, run


def read_rows(path: Path) -> list[Row]:
    """The rows of a journal that this process does not write, even while another does.

    Raises:
        Refused: it is not there, or not a journal.
        Broken: it is one of which a part is missing or overwritten.
    """
    if not path.is_file():
        raise Refused(f"{path}: there is no journal")
    try:
        with closing(_open_to_read(path)) as connection:
            return _all_rows(connection)
    except sqlite3.Error as why:
        if getattr(why, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_CORRUPT:
            raise Broken(f"every page of {path} is as SQLite wrote it") from None
        raise Refused(f"{path}: not a journal: {why}") from None


def _open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing.

    To read a log SQLite makes a file beside it. Where that cannot be, on a medium that is read-only, a journal that is one file is
    read as what it is: nobody changes it there.
    """
    address, log = path.absolute().as_uri(), Path(f"{path}-wal")
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True)
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.Error as why:
        connection.close()
        is_whole = not log.exists() or log.stat().st_size == 0
        if getattr(why, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CANTOPEN or not is_whole:
            raise
        return sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True)
    return connection


def _all_rows(connection: sqlite3.Connection) -> list[Row]:
    # Text that is no UTF-8 was not written here: its hash does not hold, and that is what is said then.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return [_row(values) for values in connection.execute(_SELECT)]


def _row(values: Sequence[object]) -> Row:
    """A row as it was written: of a damaged page SQLite may give what no column of ours holds, nothing at all even."""
    are_sound = len(values) == _COLUMNS and all(map(isinstance, values, _KINDS))
    check(are_sound, f"each column of journal event {values[0]} holds what was written into it")
    return Row(*values)  # type: ignore[arg-type]  # as was just seen


def verify(path: Path) -> tuple[int, str]:
    """Check the whole chain of a journal; the number of events and the head as hex.

    Raises:
        Refused: it is not there, or not a journal.
        Broken: an event was changed or inserted, or removed from before another.
    """
    head, events, _ = _walk(read_rows(path))
    return events, head.hex()
