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

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from aegis.compiled import entry_point
from aegis.errors import check
from aegis.kernel.clock import Clock, SystemClock
from aegis.market.records import TICK, TickKind, received_us
from aegis.venue import fastlane_scan as at
from aegis.venue.admission import NO_ADMISSION, Admission
from aegis.venue.depth_book import NO_BOOKS
from aegis.venue.fastlane_bytes import BEYOND
from aegis.venue.fastlane_event import Fate
from aegis.venue.fastlane_scan import ATTEND, BUFFER_BYTES, EVERYTHING, Role
from aegis.venue.fastlane_symbols import SymbolTable

if TYPE_CHECKING:
    from aegis.venue.depth_books import DepthBooks

__all__ = ["ATTEND", "BUFFER_BYTES", "EVERYTHING", "Fate", "Lane", "RingWriter", "Role"]

_scan_now = entry_point(at.scan)
_receive_now = entry_point(at.receive_and_scan)


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
        self._now_ns: Final = clock.monotonic_ns
        self._lossless: Final = lossless
        self._buffer: Final = np.zeros(BUFFER_BYTES + BEYOND, np.uint8)
        self._bytes: Final = self._buffer.data[:BUFFER_BYTES]
        self._start: Final = int(self._buffer.ctypes.data)
        self._memory: Final[npt.NDArray[np.int64]] = np.zeros(at.WORDS, np.int64)
        self._words: Final = self._memory.data
        self._address: Final = int(self._memory.ctypes.data)
        words = self._words
        words[at.RING] = writer.handle
        words[at.ROWS], words[at.MASK] = symbols.address, symbols.mask
        words[at.START] = self._start
        self._admission: Final = admission  # alive, as the table is
        words[at.ADMISSION] = NO_ADMISSION if admission is None else admission.address
        self._books: Final = books
        words[at.BOOKS] = NO_BOOKS if books is None else books.address
        self.dropped = 0
        self.begin()

    def begin(self) -> None:
        """Begin a connection: what is left over from another is forgotten."""
        words = self._words
        words[at.LEFT] = words[at.NEXT] = words[at.END] = self._start
        words[at.PASSING] = words[at.FRAGMENTS] = 0
        words[at.ROLE] = Role.IN_CHARGE
        self.is_waiting = False

    def room(self) -> memoryview:
        """Where the next bytes belong. There is always some."""
        words, start = self._words, self._start
        check(words[at.LEFT] == start, "what is left is fetched before more is received")
        first, unread = words[at.NEXT] - start, words[at.END] - words[at.NEXT]
        if unread:
            self._bytes[:unread] = self._bytes[first : first + unread]
        words[at.NEXT], words[at.END] = start, start + unread
        return self._bytes[unread:]

    async def take(self, count: int) -> None:
        """Take the ticks out of what was received just now: `count` bytes of `room()`.

        A frame that is left reaches the ring, if it does, after those behind it that are taken.
        """
        self.take_now(count)
        if self.is_full:
            await self.finish()

    def take_now(self, count: int) -> None:
        """As `take`, but if the ring `is_full` leave the rest to `finish`."""
        words = self._words
        words[at.RECV_US] = received_us(self._now_ns())
        words[at.END] += count
        check(words[at.END] <= self._start + BUFFER_BYTES, "what was received fits into its room")
        if not _scan_now(self._address):
            self.settle()

    def receive_now(self, fd: int) -> int:
        """Receive what a socket has, into the room there is, and take it as `take_now` does.

        Returns:
            Something above 0 if all of it was taken, `ATTEND` if not; 0 at the end of the connection, and for an error its
            number below 0.
        """
        check(
            self._words[at.LEFT] == self._start, "what is left is fetched before more is received"
        )
        return _receive_now(self._address, fd, received_us(self._now_ns()))

    @property
    def handle(self) -> int:
        """For compiled code that receives by `receive_and_scan`, and has the machine's clock; 0 with another clock."""
        return self._address if self._now_ns is SystemClock.monotonic_ns else 0

    @property
    def has_more(self) -> bool:
        """Whether `receive_now` may have left something in the socket."""
        return self._words[at.FILLED] > 0

    @property
    def is_full(self) -> bool:
        """Whether records wait for room in the ring."""
        return self._lossless and self._words[at.WRITTEN] < self._words[at.READ]

    async def finish(self) -> None:
        """Take the rest, waiting for room in the ring."""
        self.is_waiting = True
        while self.is_full:
            await self._writer.write_all(self._without_room())
            _scan_now(self._address)
        self.is_waiting = False

    def settle(self) -> None:
        """See to what `ATTEND` asks for, so far as it needs no waiting: go on without what found no room, if it may be lost."""
        while not self._lossless and self._words[at.WRITTEN] < self._words[at.READ]:
            self.dropped += int((self._without_room()["kind"] != TickKind.GAP).sum())
            _scan_now(self._address)

    def _without_room(self) -> npt.NDArray[np.void]:
        """The records of the batch that found no room in the ring."""
        written, read = self._words[at.WRITTEN], self._words[at.READ]
        return self._memory[at.RECORDS :].view(TICK)[written:read]

    def leave(self, count: int = EVERYTHING) -> None:
        """Leave the next bytes, whatever they are: they are no frames, or no lane's."""
        self._words[at.PASSING] += count

    @property
    def has_left(self) -> bool:
        """Whether there are bytes for the library."""
        return self._words[at.LEFT] > self._start

    def left(self) -> bytes:
        """The bytes for the library, once."""
        count = self._words[at.LEFT] - self._start
        self._words[at.LEFT] = self._start
        return bytes(self._bytes[:count])

    @property
    def role(self) -> Role:
        """What this connection is to its streams."""
        return Role(self._words[at.ROLE])

    @role.setter
    def role(self, role: Role) -> None:
        self._words[at.ROLE] = role

    @property
    def taken(self) -> int:
        """How many frames became ticks, those dropped included."""
        return sum(self._words[at.FATES + fate] for fate in (Fate.QUOTE, Fate.TRADE, Fate.MARK))

    @property
    def heard(self) -> int:
        """How many events were taken or dropped here."""
        return self.taken + sum(
            self._words[at.FATES + fate] for fate in (Fate.CHANGE, Fate.DUPLICATE, Fate.SHADOWED)
        )

    @property
    def gaps(self) -> int:
        """How many GAPs were put before a tick whose id does not follow."""
        return self._words[at.GAPS]

    @property
    def fates(self) -> dict[Fate, int]:
        """How many frames had which fate."""
        return {fate: self._words[at.FATES + fate] for fate in Fate}
