"""Standard output: lines for whoever reads them, and for nobody once the reader has gone."""

from __future__ import annotations

import os
import sys

__all__ = ["write_lines"]


def write_lines(*lines: str) -> None:
    """Print lines. A pipe that its reader has closed (`| head -1`) is no fault: whatever follows goes nowhere."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is buffered still has to go somewhere at the exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
