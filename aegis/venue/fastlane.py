"""The fast lane: takes the ticks out of the bytes of one WebSocket connection before the library sees them.

One compiled pass walks the frames. A message of text in one frame whose JSON it recognises becomes a TICK in the
ring; every other byte is left, in order, to trio-websocket, which stays the authority on the protocol. A frame that
ends the connection, or that no server may send, is left with all that follows it.

    frame ──▶ whole text below 64 KiB? ──▶ recognised? ──▶ TICK ──▶ ring
                       └───────────────────────┴──▶ left, as it comes

No socket is touched here: bytes are received into `room()`, and `take` is told how many.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled, entry_point
from aegis.errors import check
from aegis.kernel.clock import Clock
from aegis.market.records import TICK, received_us
from aegis.shm.writing import put_many
from aegis.venue.fastlane_bytes import BEYOND, byte, move, set_word, word
from aegis.venue.fastlane_event import LETTERS, Fate, read_event
from aegis.venue.fastlane_frame import (
    CLOSE,
    CONTROL,
    FINAL,
    HEADER_MIN,
    IN_EIGHT_BYTES,
    TEXT,
    header_bytes,
    is_legal,
    payload_bytes,
)
from aegis.venue.fastlane_symbols import SymbolTable

__all__ = ["BUFFER_BYTES", "EVERYTHING", "Fate", "Lane", "RingWriter"]

BUFFER_BYTES: Final = 1 << 18
BATCH: Final = 64
"""Records that are handed to the ring together: some microseconds' worth of frames."""
EVERYTHING: Final = 1 << 60
"""More bytes than a connection ever carries."""

# The words of a lane: one block of memory, whose address is all that compiled code is given. Offsets in bytes.
_RING: Final = 0  # the handle of the ring's writer
_ROWS: Final = 8  # the symbol table's address
_MASK: Final = 16
_LEFT: Final = 24  # address behind the bytes for the library, which stand at the buffer's start
_NEXT: Final = 32  # address of the first byte not yet looked at
_END: Final = 40  # address behind the last byte received
_PASSING: Final = 48  # how many bytes of a frame that is left are still to be passed on
_FRAGMENTS: Final = 56  # 1 inside a message of several frames
_READ: Final = 64  # how many records are in the batch,
_WRITTEN: Final = 72  # and how many of them found room in the ring
_FATES: Final = 80  # a count for each `Fate`
_LETTERS: Final = _FATES + 8 * len(Fate)
_BATCH: Final = _LETTERS + 8 * LETTERS
_LANE_BYTES: Final = _BATCH + TICK.itemsize * BATCH

# The compiler takes plain numbers.
_TICK_BYTES: Final = TICK.itemsize
_OTHER: Final = int(Fate.OTHER)
_LAST_TAKEN: Final = int(Fate.TRADE)


@compiled("int64(int64, int64, int64)")
def _pass_on(lane: int, at: int, end: int) -> int:
    """Add what there is of a frame that is left to the bytes for the library; return the address behind it."""
    count = min(word(lane + _PASSING), end - at)
    if count > 0:
        left = word(lane + _LEFT)
        move(left, at, count)
        set_word(lane + _LEFT, left + count)
        set_word(lane + _PASSING, word(lane + _PASSING) - count)
    return at + count


@compiled("int64(int64, int64)")
def _read_batch(lane: int, recv_us: int) -> int:
    """Go through the frames until the bytes end or the batch is full; return how many ticks were read."""
    at, end = word(lane + _NEXT), word(lane + _END)
    read = 0
    while read < BATCH:
        at = _pass_on(lane, at, end)
        if end - at < HEADER_MIN:
            break
        first, second = byte(at), byte(at + 1)
        payload = at + header_bytes(second)
        if end < payload:
            break
        behind = payload + payload_bytes(at, second)
        legal = is_legal(first, second, behind - payload, word(lane + _FRAGMENTS))
        fate = _OTHER
        if first == TEXT and legal and second != IN_EIGHT_BYTES:
            if end < behind:
                break
            tick = lane + _BATCH + read * _TICK_BYTES
            rows, mask = word(lane + _ROWS), word(lane + _MASK)
            fate = read_event(payload, behind, lane + _LETTERS, rows, mask, recv_us, tick)
        count = lane + _FATES + 8 * fate
        set_word(count, word(count) + 1)
        if fate <= _LAST_TAKEN:
            read += 1
            at = behind
        else:
            set_word(lane + _PASSING, behind - at if legal and first != CLOSE else EVERYTHING)
            if first & CONTROL == 0:
                set_word(lane + _FRAGMENTS, 1 if first & FINAL == 0 else 0)
    set_word(lane + _NEXT, at)
    return read


@entry_point
@compiled("boolean(int64, int64)")
def _scan(lane: int, recv_us: int) -> bool:
    """Go through all bytes that are there; False when the ring had no room for all of a batch."""
    for letter in range(LETTERS):
        set_word(lane + _LETTERS + 8 * letter, 0)
    while True:
        read = _read_batch(lane, recv_us)
        written = put_many(word(lane + _RING), lane + _BATCH, read)
        set_word(lane + _READ, read)
        set_word(lane + _WRITTEN, written)
        if written < read:
            return False
        if read < BATCH:
            return True


class RingWriter(Protocol):
    """What a lane needs of a ring's writer, which has to stay open for as long as the lane is used."""

    @property
    def handle(self) -> int:
        """For compiled code."""

    async def write_all(self, records: npt.NDArray[np.void]) -> None:
        """Write every record, waiting for room."""


class Lane:
    """The lane of one connection.

    Its buffer holds first what is left, until that is fetched, then the beginning of a frame that is not whole yet.

    Args:
        writer: of a ring of TICK records.
        symbols: the run's table.
        clock: for the receive stamps.
        lossless: wait for room in the ring; otherwise what finds none is dropped, and counted.
    """

    def __init__(
        self, writer: RingWriter, symbols: SymbolTable, clock: Clock, *, lossless: bool
    ) -> None:
        self._writer: Final = writer
        self._symbols: Final = symbols  # alive, as compiled code has its address
        self._clock: Final = clock
        self._lossless: Final = lossless
        self._buffer: Final = np.zeros(BUFFER_BYTES + BEYOND, np.uint8)
        self._bytes: Final = self._buffer.data[:BUFFER_BYTES]
        self._start: Final = int(self._buffer.ctypes.data)
        self._memory: Final[npt.NDArray[np.int64]] = np.zeros(_LANE_BYTES // 8, np.int64)
        self._words: Final = self._memory.data
        self._address: Final = int(self._memory.ctypes.data)
        self[_RING] = writer.handle
        self[_ROWS], self[_MASK] = symbols.address, symbols.mask
        self[_LEFT] = self[_NEXT] = self[_END] = self._start
        self.dropped = 0

    def room(self) -> memoryview:
        """Where the next bytes belong. There is always some."""
        check(not self.has_left, "what is left is fetched before more is received")
        at, unread = self[_NEXT] - self._start, self[_END] - self[_NEXT]
        if unread:
            self._bytes[:unread] = self._bytes[at : at + unread]
        self[_NEXT] = self._start
        self[_END] = self._start + unread
        return self._bytes[unread:]

    async def take(self, count: int) -> None:
        """Take the ticks out of what was received just now: `count` bytes of `room()`."""
        recv_us = received_us(self._clock.monotonic_ns())
        self[_END] += count
        while not _scan(self._address, recv_us):
            waiting = self._memory[_BATCH // 8 :].view(TICK)[self[_WRITTEN] : self[_READ]]
            if self._lossless:
                await self._writer.write_all(waiting)
            else:
                self.dropped += len(waiting)

    def leave(self, count: int = EVERYTHING) -> None:
        """Leave the next bytes, whatever they are: they are no frames, or no lane's."""
        self[_PASSING] += count

    @property
    def has_left(self) -> bool:
        """Whether there are bytes for the library."""
        return self[_LEFT] > self._start

    def left(self) -> bytes:
        """The bytes for the library, once."""
        count = self[_LEFT] - self._start
        self[_LEFT] = self._start
        return bytes(self._bytes[:count])

    @property
    def fates(self) -> dict[Fate, int]:
        """How many frames had which fate."""
        return {fate: self[_FATES + 8 * fate] for fate in Fate}

    def __getitem__(self, offset: int) -> int:
        return self._words[offset >> 3]

    def __setitem__(self, offset: int, number: int) -> None:
        self._words[offset >> 3] = number
