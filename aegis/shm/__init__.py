"""The ring: records from one process to others through shared memory, without a lock.

One writer, up to eight readers, each with its own policy. Any numpy structured type of whole 8-byte words can be a
record; nothing here knows what the records mean. docs/ring.md has the layout, the protocol and the promises.

    ring = Ring.create(TICK)                          # and pass ring.pass_fds to a child, which does
    ring = Ring.attach(TICK, fd=..., wake_fds=...)
    with ring.writer() as writer: writer.write_batch(ticks)
    with ring.reader("brain") as reader: await reader.wait(); reader.read_into(out)

Compiled code calls `aegis.shm.writing.put` and `aegis.shm.reading.walk` with a writer's or reader's `handle`.
"""

from __future__ import annotations

from aegis.shm.policy import Policy, Start
from aegis.shm.ring import CAPACITY, Ring
from aegis.shm.segment import Memfd, Named, OnDisk
from aegis.shm.status import ReaderStatus, RingStatus, WriterStatus
from aegis.shm.wakeup import ADAPTIVE, BLOCK, RUNG, SPIN, YIELD, Waiting

__all__ = [
    "ADAPTIVE",
    "BLOCK",
    "CAPACITY",
    "RUNG",
    "SPIN",
    "YIELD",
    "Memfd",
    "Named",
    "OnDisk",
    "Policy",
    "ReaderStatus",
    "Ring",
    "RingStatus",
    "Start",
    "Waiting",
    "WriterStatus",
]
