"""What the Feed and its worker process say to each other: one JSON object a line, each way."""

from __future__ import annotations

import msgspec

from aegis.errors import Refused

__all__ = [
    "BookFigures",
    "ShardStatus",
    "SocketTerms",
    "WorkerOrders",
    "WorkerStatus",
    "decode_status",
    "encode_line",
]

LINE_BYTES_MAX = 1 << 20


class SocketTerms(msgspec.Struct, frozen=True):
    """How long a market socket may do what; the configuration sets silences, deadlines and lifetime."""

    silence_ms: int = 10_000
    """Without an event for so long, a socket is broken; 0: never."""
    deadlines_ms: dict[str, int] = msgspec.field(
        default_factory=lambda: {"markPrice": 10_000, "bookTicker": 60_000}
    )
    """How long a stream of each kind may be silent; one that is not named, or 0: for any time."""
    acknowledge_ms: int = 10_000
    """For the answers to all of its SUBSCRIBE frames."""
    lifetime_s: float = 82_800.0
    """After which a socket is replaced, before the exchange closes it at 24 hours."""
    overlap_ms: int = 3_000
    """How long two sockets run together at least while one replaces the other,"""
    handover_ms: int = 30_000
    """and at most."""


class WorkerOrders(msgspec.Struct, frozen=True):
    """The first line of the worker's standard input: all it has to know. The end of its input is the order to end."""

    ring_fd: int
    wake_fds: tuple[int, ...]
    streams_url: str
    streams: tuple[str, ...]
    symbols: tuple[str, ...]
    """The symbol table: a TICK's symbol is the index in it."""
    lossless: bool
    terms: SocketTerms = SocketTerms()
    broken_before: bool = False
    """True when an earlier worker died: every symbol then begins with a GAP."""
    streams_per_socket: int = 1024
    future_ms: int = 10_000
    """See `aegis.venue.admission.AdmissionRules`, as the next."""
    jump_sigmas: float = 20.0
    board_fd: int = -1
    """The board on which the tops of the order books are shown, one row a symbol; -1: no books are kept."""
    rest_url: str = ""
    """Where their snapshots come from."""

    @property
    def pass_fds(self) -> tuple[int, ...]:
        """Every descriptor that the worker inherits."""
        board = (self.board_fd,) if self.board_fd >= 0 else ()
        return (self.ring_fd, *self.wake_fds, *board)


class BookFigures(msgspec.Struct, frozen=True):
    """How the order books of a worker are; all 0 where it keeps none."""

    valid: int = 0
    """How many can be read now."""
    resyncs: int = 0
    """How often one that was in step was lost, because a change was missing, or it was wrong or used up."""
    mismatches: int = 0
    """How often one was not what the quote with the same id shows."""
    agreements: int = 0
    """How often one was."""
    changes: int = 0
    snapshots: int = 0
    unsound: int = 0
    """Changes that were kept for a snapshot, and then had levels that no market has."""


class ShardStatus(msgspec.Struct, frozen=True):
    """One socket's place, whichever socket holds it."""

    name: str
    streams: int
    subscribed: bool
    connects: int
    handovers: int
    """Sockets that were replaced without a break."""
    resubscribed: int
    """Streams that were asked for once more, as they were silent."""
    stale: int
    """Streams that have missed their deadline, now."""
    last_end: str
    """Why the last socket was given up; empty before that."""


class WorkerStatus(msgspec.Struct, frozen=True):
    """A line of the worker's standard output, every second and at the end."""

    ticks: int
    """Records written to the ring, GAPs not counted."""
    gaps: int
    dropped: int
    """Ticks for which the ring had no room."""
    malformed: int
    """Frames that were quarantined, those of the next two included."""
    future: int
    """Ticks of a time that has not come."""
    outliers: int
    """Ticks whose price is far from those before."""
    strangers: int
    """Ticks of symbols that are not in the table."""
    duplicates: int
    """Ticks that had come before, and were dropped."""
    late: int
    """Ticks that came behind one with a higher id, and were let in."""
    holes: int
    """Ids of aggTrade that were skipped inside a connection; a GAP stands at each."""
    connects: int
    subscribed: bool
    """Every stream was acknowledged on the connections that stand now."""
    quarantine: tuple[str, ...]
    """The last malformed frames, cut to a readable length."""
    shards: tuple[ShardStatus, ...]
    books: BookFigures = BookFigures()


def encode_line(message: WorkerOrders | WorkerStatus) -> bytes:
    """One line, without its end."""
    return msgspec.json.encode(message)


def decode_status(line: bytes) -> WorkerStatus:
    """A line of the worker.

    Raises:
        Refused: it is not one.
    """
    try:
        return msgspec.json.decode(line, type=WorkerStatus)
    except msgspec.DecodeError as why:
        raise Refused(f"the worker said something else: {line[:200]!r}: {why}") from None
