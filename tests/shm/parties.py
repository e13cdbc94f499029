"""A process that has everything loaded, and forks a party of a ring for each line it is sent.

Starting an interpreter with numba takes half a second; a fork takes milliseconds, so parties can be killed by the
dozen. Each prints one line of JSON when it comes to its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import trio
from numbered import BATCH, NUMBERED, numbered, wrong

from aegis.shm import OnDisk, Policy, Ring
from aegis.shm.reader import Reader


def write(ring: Ring, *, count: int, batch: int) -> dict[str, Any]:
    """Write records 1 to `count`, waiting wherever a reader gates, and finish."""
    with ring.writer() as writer:
        while (done := writer.position) < count:
            records = numbered(done + 1, min(batch, count - done))
            writer.write_wait(records, time.monotonic_ns() + 10_000_000_000, time.monotonic_ns)
        writer.finish()
    return {"written": done}


def write_until_killed(ring: Ring, *, batch: int) -> dict[str, Any]:
    """Go on behind whoever wrote before, with a heartbeat, for ever."""
    with ring.writer() as writer:
        while True:
            records = numbered(writer.position + 1, batch)
            writer.write_wait(records, time.monotonic_ns() + 10_000_000, time.monotonic_ns)
            writer.beat(time.monotonic_ns())


def write_slowly(ring: Ring, *, count: int) -> dict[str, Any]:
    """Write records one by one, each when the reader has taken the last."""
    with ring.writer() as writer:
        (reader,) = ring.status().readers
        for number in range(1, count + 1):
            while reader.position < number - 1:
                (reader,) = ring.status().readers
            writer.write(*(factor * number for factor in range(1, 7)))
        writer.finish()
    return {"written": count}


def read(ring: Ring, *, policy: str, patience_ms: int | None = None) -> dict[str, Any]:
    """Read and check to the end, beating."""
    out = np.empty(BATCH, NUMBERED)
    mistakes = taken = 0
    with ring.reader("child", policy=Policy[policy], patience_ms=patience_ms) as reader:
        first = reader.position
        while not _ended(reader):
            count = reader.read_into(out)
            mistakes += wrong(out[:count], reader.position - count + 1)
            taken += count
            reader.beat(time.monotonic_ns())
        return {
            "taken": taken,
            "lost": reader.lost,
            "moved": reader.position - first,
            "wrong": mistakes,
            "evicted": reader.evicted,
        }


def _ended(reader: Reader) -> bool:
    return reader.wait_blocking() == 0 and reader.finished


def watch(ring: Ring) -> dict[str, Any]:
    """Wait until there is no living writer."""
    trio.run(ring.writer_gone)
    return {"writer": ring.has_writer}


def _become(command: dict[str, Any]) -> dict[str, Any]:
    role = {f.__name__: f for f in (write, write_until_killed, write_slowly, read, watch)}[
        command.pop("role")
    ]
    path = command.pop("path", None)
    if path is not None:
        return role(Ring.open(NUMBERED, OnDisk(path)), **command)
    fd, *wake_fds = map(int, sys.argv[1:])
    return role(Ring.attach(NUMBERED, fd=fd, wake_fds=tuple(wake_fds)), **command)


def _say(message: dict[str, Any]) -> None:
    """One write, so that lines of different parties do not mix."""
    os.write(1, json.dumps(message).encode() + b"\n")


def main() -> None:
    """Load everything, say so, and fork on command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parties
    # A shell starts what it puts into the background with SIGINT ignored, and every child inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Ring.create(NUMBERED, 2) as ring, ring.writer() as writer, ring.reader("r") as reader:
        assert writer.write(*range(6))
        assert len(reader.take()) == 1
    _say({"ready": os.getpid()})
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _say(_become(json.loads(line)))
            os._exit(0)
        _say({"pid": pid})


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
