"""What the Feed and its worker process say to each other: one JSON object a line, each way."""

from __future__ import annotations

import msgspec

from aegis.errors import Refused

__all__ = ["WorkerOrders", "WorkerStatus", "decode_status", "encode_line"]

LINE_BYTES_MAX = 1 << 20


class WorkerOrders(msgspec.Struct, frozen=True):
    """The first line of the worker's standard input: all it has to know. The end of its input is the order to end."""

    ring_fd: int
    wake_fds: tuple[int, ...]
    streams_url: str
    streams: tuple[str, ...]
    symbols: tuple[str, ...]
    """The symbol table: a TICK's symbol is the index in it."""
    lossless: bool
    silence_ms: int
    broken_before: bool
    """True when an earlier worker died: every symbol then begins with a GAP."""


class WorkerStatus(msgspec.Struct, frozen=True):
    """A line of the worker's standard output, every second and at the end."""

    ticks: int
    """Records written to the ring, GAPs not counted."""
    gaps: int
    dropped: int
    """Ticks for which the ring had no room."""
    malformed: int
    strangers: int
    """Frames of symbols that are not in the table."""
    connects: int
    subscribed: bool
    """Every stream was acknowledged on the connections that stand now."""
    quarantine: tuple[str, ...]
    """The last malformed frames, cut to a readable length."""


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
