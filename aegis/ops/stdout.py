"""Standard output and standard error: for whoever reads them. Nobody who does not decides over a run."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import IO, Final

from aegis.errors import Unavailable

__all__ = ["STDERR", "Notes", "leave_streams", "open_missing_streams", "write_lines"]


def write_lines(*lines: str) -> None:
    """Print lines. A pipe that its reader has closed (`| head -1`) is no fault: whatever follows goes nowhere.

    Raises:
        Unavailable: they cannot be written for another reason; a disk is full, perhaps.
    """
    try:
        for line in lines:
            print(line)
        _flush(sys.stdout)
    except BrokenPipeError:
        _send_nowhere(sys.stdout)
    except OSError as why:
        raise Unavailable(f"standard output cannot be written to: {why.strerror}") from None


def leave_streams() -> None:
    """Write what is left, at the end; what cannot be written is let go of, or the interpreter would make another exit code of it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            _flush(stream)
        except OSError:
            _send_nowhere(stream)


def open_missing_streams() -> None:
    """Have something behind each standard descriptor: the next socket would take the number of one that is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


class Notes:
    """A log's file: standard error, as far as it can be written to. A line that is lost stops nobody's trading."""

    def write(self, text: str) -> int:
        """Write, or do not."""
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or do not."""
        with suppress(OSError, ValueError):
            _flush(sys.stderr)


STDERR: Final = Notes()


def _flush(stream: IO[str] | None) -> None:
    if stream is not None:
        stream.flush()


def _send_nowhere(stream: IO[str]) -> None:
    """What is buffered still has to go somewhere at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
