"""The fast lane: takes the ticks out of the bytes of one WebSocket connection before the library sees them.

One compiled pass walks the frames. A message of text in one frame whose JSON it recognises becomes a TICK in the
ring; every other byte is left, in order, to trio-websocket, which stays the authority on the protocol. A frame that
ends the connection, or that no server may send, is left with all that follows it.

A frame of 190 bytes takes about 0.1 us, and receiving it 0.06; `python -m bench.feed` measures both.

    frame ──▶ whole text below 64 KiB? ──▶ recognised? ──▶ TICK ──▶ ring
                       │                       ├──▶ a book's next change ──▶ book ──▶ board
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
from aegis.memory import byte, move, set_word, word
from aegis.shm.writing import put_many
from aegis.venue.depth_book import NO_BOOKS
from aegis.venue.depth_books import DepthBooks
from aegis.venue.fastlane_bytes import BEYOND
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

# A lane's words by index: one block of memory, whose address is all that compiled code is given.
_RING: Final = 0  # the handle of the ring's writer
_ROWS: Final = 1  # the symbol table's address
_MASK: Final = 2
_LEFT: Final = 3  # address behind the bytes for the library, which stand at the buffer's start
_NEXT: Final = 4  # address of the first byte not yet looked at
_END: Final = 5  # address behind the last byte received
_PASSING: Final = 6  # how many bytes of a frame that is left are still to be passed on
_FRAGMENTS: Final = 7  # 1 inside a message of several frames
_READ: Final = 8  # how many records are in the batch,
_WRITTEN: Final = 9  # and how many of them found room in the ring
_BOOKS: Final = 10  # the address of the order books, or 0
_FATES: Final = 11  # a count for each `Fate`
_LETTERS: Final = _FATES + len(Fate)
_BATCH: Final = _LETTERS + LETTERS
_WORDS: Final = _BATCH + BATCH * TICK.itemsize // 8

# The compiler takes plain numbers.
_TICK_BYTES: Final = TICK.itemsize
_OTHER: Final = int(Fate.OTHER)
_LAST_TAKEN: Final = int(Fate.TRADE)
_CHANGE: Final = int(Fate.CHANGE)


@compiled("int64(int64, int64)")
def _get(lane: int, index: int) -> int:
    return word(lane + 8 * index)


@compiled("void(int64, int64, int64)")
def _set(lane: int, index: int, number: int) -> None:
    set_word(lane + 8 * index, number)


@compiled("int64(int64, int64, int64)")
def _pass_on(lane: int, at: int, end: int) -> int:
    """Add what there is of a frame that is left to the bytes for the library; return the address behind it."""
    count = min(_get(lane, _PASSING), end - at)
    if count > 0:
        left = _get(lane, _LEFT)
        move(left, at, count)
        _set(lane, _LEFT, left + count)
        _set(lane, _PASSING, _get(lane, _PASSING) - count)
    return at + count


@compiled("int64(int64, int64)")
def _read_batch(lane: int, recv_us: int) -> int:
    """Go through the frames until the bytes end or the batch is full; return how many ticks were read."""
    at, end = _get(lane, _NEXT), _get(lane, _END)
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
        legal = is_legal(first, second, behind - payload, _get(lane, _FRAGMENTS))
        fate = _OTHER
        if first == TEXT and legal and second != IN_EIGHT_BYTES:
            if end < behind:
                break
            tick = lane + 8 * _BATCH + read * _TICK_BYTES
            letters, rows, mask = lane + 8 * _LETTERS, _get(lane, _ROWS), _get(lane, _MASK)
            books = _get(lane, _BOOKS)
            fate = read_event(payload, behind, letters, rows, mask, books, recv_us, tick)
        _set(lane, _FATES + fate, _get(lane, _FATES + fate) + 1)
        if fate <= _LAST_TAKEN:
            read += 1
            at = behind
        elif fate == _CHANGE:
            at = behind
        else:
            _set(lane, _PASSING, behind - at if legal and first != CLOSE else EVERYTHING)
            if first & CONTROL == 0:
                _set(lane, _FRAGMENTS, 1 if first & FINAL == 0 else 0)
    _set(lane, _NEXT, at)
    return read


@entry_point
@compiled("boolean(int64, int64)")
def _scan(lane: int, recv_us: int) -> bool:
    """Go through all bytes that are there; False when the ring had no room for all of a batch."""
    for letter in range(LETTERS):
        _set(lane, _LETTERS + letter, 0)
    while True:
        read = _read_batch(lane, recv_us)
        written = put_many(_get(lane, _RING), lane + 8 * _BATCH, read)
        _set(lane, _READ, read)
        _set(lane, _WRITTEN, written)
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
    """The lane of one connection at a time; what it counts goes on from one to the next.

    Its buffer holds first what is left, until that is fetched, then the beginning of a frame that is not whole yet.

    Args:
        writer: of a ring of TICK records.
        symbols: the run's table.
        clock: for the receive stamps.
        lossless: wait for room in the ring; otherwise what finds none is dropped, and counted.
        books: the order books of the table's symbols, if changes of them are to be taken as well.
    """

    def __init__(
        self,
        writer: RingWriter,
        symbols: SymbolTable,
        clock: Clock,
        *,
        lossless: bool,
        books: DepthBooks | None = None,
    ) -> None:
        self._writer: Final = writer
        self._symbols: Final = symbols  # alive, as compiled code has its address
        self._clock: Final = clock
        self._lossless: Final = lossless
        self._buffer: Final = np.zeros(BUFFER_BYTES + BEYOND, np.uint8)
        self._bytes: Final = self._buffer.data[:BUFFER_BYTES]
        self._start: Final = int(self._buffer.ctypes.data)
        self._memory: Final[npt.NDArray[np.int64]] = np.zeros(_WORDS, np.int64)
        self._words: Final = self._memory.data
        self._address: Final = int(self._memory.ctypes.data)
        words = self._words
        words[_RING], words[_ROWS], words[_MASK] = writer.handle, symbols.address, symbols.mask
        self._books: Final = books  # alive, as the table is
        words[_BOOKS] = NO_BOOKS if books is None else books.address
        self.dropped = 0
        self.begin()

    def begin(self) -> None:
        """Begin a connection: what is left over from another is forgotten."""
        words = self._words
        words[_LEFT] = words[_NEXT] = words[_END] = self._start
        words[_PASSING] = words[_FRAGMENTS] = 0

    def room(self) -> memoryview:
        """Where the next bytes belong. There is always some."""
        words, start = self._words, self._start
        check(words[_LEFT] == start, "what is left is fetched before more is received")
        at, unread = words[_NEXT] - start, words[_END] - words[_NEXT]
        if unread:
            self._bytes[:unread] = self._bytes[at : at + unread]
        words[_NEXT], words[_END] = start, start + unread
        return self._bytes[unread:]

    async def take(self, count: int) -> None:
        """Take the ticks out of what was received just now: `count` bytes of `room()`.

        A frame that is left reaches the ring, if it does, after those behind it that are taken.
        """
        recv_us = received_us(self._clock.monotonic_ns())
        words = self._words
        words[_END] += count
        check(words[_END] <= self._start + BUFFER_BYTES, "what was received fits into its room")
        while not _scan(self._address, recv_us):
            waiting = self._memory[_BATCH:].view(TICK)[words[_WRITTEN] : words[_READ]]
            if self._lossless:
                await self._writer.write_all(waiting)
            else:
                self.dropped += len(waiting)

    def leave(self, count: int = EVERYTHING) -> None:
        """Leave the next bytes, whatever they are: they are no frames, or no lane's."""
        self._words[_PASSING] += count

    @property
    def has_left(self) -> bool:
        """Whether there are bytes for the library."""
        return self._words[_LEFT] > self._start

    def left(self) -> bytes:
        """The bytes for the library, once."""
        count = self._words[_LEFT] - self._start
        self._words[_LEFT] = self._start
        return bytes(self._bytes[:count])

    @property
    def taken(self) -> int:
        """How many frames became ticks, those dropped included."""
        return self._words[_FATES + Fate.QUOTE] + self._words[_FATES + Fate.TRADE]

    @property
    def fates(self) -> dict[Fate, int]:
        """How many frames had which fate."""
        return {fate: self._words[_FATES + fate] for fate in Fate}
