"""The fast lane: takes the ticks out of the bytes of one WebSocket connection before the library sees them.

One compiled pass walks the frames. A message of text in one frame whose JSON it recognises becomes a TICK in the
ring; every other byte is left, in order, to trio-websocket, which stays the authority on the protocol. A frame that
ends the connection, or that no server may send, is left with all that follows it.

A frame of 190 bytes takes about 0.1 us, and receiving it 0.06; `python -m bench.feed` measures both.

    frame ──▶ whole text below 64 KiB? ──▶ recognised? ──▶ let in? ──▶ TICK ──▶ ring
                       │                       │             ├──▶ dropped: seen before
                       │                       ├──▶ a book's next change ──▶ book ──▶ board
                       └───────────────────────┴─────────────┴──▶ left, as it comes

No socket is touched here: bytes are received into `room()`, and `take` is told how many.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled, entry_point
from aegis.errors import check
from aegis.kernel.clock import Clock
from aegis.market.records import TICK, TickKind, received_us
from aegis.memory import byte, move, set_word, word
from aegis.shm.writing import put_many
from aegis.venue.admission import NO_ADMISSION, Admission, Verdict, admit
from aegis.venue.depth_book import NO_BOOKS
from aegis.venue.fastlane_bytes import BEYOND
from aegis.venue.fastlane_event import LETTERS, NUMBER, SERIES, Fate, read_event
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

if TYPE_CHECKING:
    from aegis.venue.depth_books import DepthBooks

__all__ = ["BUFFER_BYTES", "EVERYTHING", "Fate", "Lane", "RingWriter", "Role"]

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
_ADMISSION: Final = 10  # the address of what decides which ticks are let in, or 0
_ROLE: Final = 11  # of this connection, a `Role`
_GAPS: Final = 12  # how many GAPs were put before a tick
_BOOKS: Final = 13  # the address of the order books, or 0
_FATES: Final = 14  # a count for each `Fate`
_LETTERS: Final = _FATES + max(Fate) + 1
_BATCH: Final = _LETTERS + LETTERS
_WORDS: Final = _BATCH + (BATCH + 1) * TICK.itemsize // 8  # the last tick may have a GAP before it

# The compiler takes plain numbers.
_TICK_BYTES: Final = TICK.itemsize
_OTHER: Final = int(Fate.OTHER)
_QUOTE, _TRADE, _MARK = map(int, (Fate.QUOTE, Fate.TRADE, Fate.MARK))
_CHANGE: Final = int(Fate.CHANGE)
_SEEN: Final = int(Fate.DUPLICATE)
_SHADED: Final = int(Fate.SHADOWED)
_ADRIFT: Final = int(Fate.ADRIFT)
_LET_IN: Final = int(Verdict.ADMITTED)
_BEHIND_GAP: Final = int(Verdict.BEHIND_GAP)
_DUPLICATE: Final = int(Verdict.DUPLICATE)
_SHADOWED: Final = int(Verdict.SHADOWED)
_GAP_TICK: Final = int(TickKind.GAP)
_KIND: Final = 0xFF << 16


class Role(IntEnum):
    """What a connection is to its streams."""

    IN_CHARGE = 0
    NEWCOMER = 1
    """It is to replace another that still brings the same ticks."""
    RETIRED = 2
    """Another brings them: no tick of this one is taken any more."""


_IN_CHARGE: Final = int(Role.IN_CHARGE)
_NEWCOMER: Final = int(Role.NEWCOMER)
_RETIRED: Final = int(Role.RETIRED)


@compiled("int64(int64, int64)", late=True)
def _get(lane: int, index: int) -> int:
    return word(lane + 8 * index)


@compiled("void(int64, int64, int64)", late=True)
def _set(lane: int, index: int, number: int) -> None:
    set_word(lane + 8 * index, number)


@compiled("int64(int64, int64, int64)", late=True)
def _pass_on(lane: int, at: int, end: int) -> int:
    """Add what there is of a frame that is left to the bytes for the library; return the address behind it."""
    count = min(_get(lane, _PASSING), end - at)
    if count > 0:
        left = _get(lane, _LEFT)
        move(left, at, count)
        _set(lane, _LEFT, left + count)
        _set(lane, _PASSING, _get(lane, _PASSING) - count)
    return at + count


@compiled("void(int64, int64)", late=True)
def _put_gap(lane: int, tick: int) -> None:
    """Move a tick one place on, and write a GAP of its symbol where it was."""
    move(tick + _TICK_BYTES, tick, _TICK_BYTES)
    set_word(tick, 0)
    set_word(tick + 8, word(tick + 8) & ~_KIND | _GAP_TICK << 16)
    for place in range(16, _TICK_BYTES, 8):
        set_word(tick + place, 0)
    _set(lane, _GAPS, _get(lane, _GAPS) + 1)


@compiled("int64(int64, int64, int64)", late=True)
def _admitted(lane: int, fate: int, tick: int) -> int:
    """The fate of an event that was read into a tick, after the question whether it is let in."""
    table, letters = _get(lane, _ADMISSION), lane + 8 * _LETTERS
    if table == NO_ADMISSION or (fate > _TRADE and fate != _MARK):
        return fate
    role = _get(lane, _ROLE)
    if role == _RETIRED:
        return _SHADED
    series, number = word(letters + SERIES), word(letters + NUMBER)
    verdict = admit(table, tick, series, number, role == _NEWCOMER, False)
    if verdict == _BEHIND_GAP:
        _put_gap(lane, tick)
    elif verdict == _DUPLICATE:
        return _SEEN
    elif verdict == _SHADOWED:
        return _SHADED
    elif verdict != _LET_IN:
        return _ADRIFT
    return fate


@compiled("int64(int64, int64)", late=True)
def _read_batch(lane: int, recv_us: int) -> int:
    """Go through the frames until the bytes end or the batch is full; return how many records were made."""
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
            books = _get(lane, _BOOKS) if _get(lane, _ROLE) == _IN_CHARGE else NO_BOOKS
            fate = read_event(payload, behind, letters, rows, mask, books, recv_us, tick)
            gaps = _get(lane, _GAPS)
            fate = _admitted(lane, fate, tick)
            read += _get(lane, _GAPS) - gaps
        _set(lane, _FATES + fate, _get(lane, _FATES + fate) + 1)
        if fate in (_QUOTE, _TRADE, _MARK):
            read += 1
            at = behind
        elif fate in (_CHANGE, _SEEN, _SHADED):
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
        admission: decides which ticks are let in; without it, all are.
        books: the order books of the table's symbols, if changes of them are to be taken as well.
    """

    def __init__(
        self,
        writer: RingWriter,
        symbols: SymbolTable,
        clock: Clock,
        *,
        lossless: bool,
        admission: Admission | None = None,
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
        self._admission: Final = admission  # alive, as the table is
        words[_ADMISSION] = NO_ADMISSION if admission is None else admission.address
        self._books: Final = books
        words[_BOOKS] = NO_BOOKS if books is None else books.address
        self.dropped = 0
        self.begin()

    def begin(self) -> None:
        """Begin a connection: what is left over from another is forgotten."""
        words = self._words
        words[_LEFT] = words[_NEXT] = words[_END] = self._start
        words[_PASSING] = words[_FRAGMENTS] = 0
        words[_ROLE] = Role.IN_CHARGE
        self.is_waiting = False

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
                self.is_waiting = True
                await self._writer.write_all(waiting)
                self.is_waiting = False
            else:
                self.dropped += int((waiting["kind"] != TickKind.GAP).sum())

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
    def role(self) -> Role:
        """What this connection is to its streams."""
        return Role(self._words[_ROLE])

    @role.setter
    def role(self, role: Role) -> None:
        self._words[_ROLE] = role

    @property
    def taken(self) -> int:
        """How many frames became ticks, those dropped included."""
        return sum(self._words[_FATES + fate] for fate in (Fate.QUOTE, Fate.TRADE, Fate.MARK))

    @property
    def heard(self) -> int:
        """How many events were taken or dropped here."""
        return self.taken + sum(
            self._words[_FATES + fate] for fate in (Fate.CHANGE, Fate.DUPLICATE, Fate.SHADOWED)
        )

    @property
    def gaps(self) -> int:
        """How many GAPs were put before a tick whose id does not follow."""
        return self._words[_GAPS]

    @property
    def fates(self) -> dict[Fate, int]:
        """How many frames had which fate."""
        return {fate: self._words[_FATES + fate] for fate in Fate}
