"""The lane's one compiled pass: from received bytes to records in the ring.

It walks the frames. A message of text in one frame whose JSON it recognises becomes a TICK; every other byte is left,
in order. A frame that ends the connection, or that no server may send, is left with all that follows it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from aegis.compiled import compiled
from aegis.market.records import TICK, TickKind
from aegis.memory import byte, move, set_word, word
from aegis.shm.writing import rouse, show_many
from aegis.venue.admission import NO_ADMISSION, Verdict, admit
from aegis.venue.depth_book import NO_BOOKS
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
from aegis.venue.fastlane_socket import receive

__all__ = [
    "ATTEND",
    "BUFFER_BYTES",
    "EVERYTHING",
    "Role",
    "receive_and_scan",
    "receive_and_show",
    "scan",
    "wake_readers",
]

BUFFER_BYTES: Final = 1 << 20
"""Of what is received at once: with a quarter of it a flood took a tenth longer."""
ATTEND: Final = 1 << 30
"""More bytes than there is room for: what a lane received, and it did not take all of it."""
BATCH: Final = 64
"""Records that are handed to the ring together: some microseconds' worth of frames."""
_HEARD: Final = 8
"""After so many batches readers are woken, and else when all that was received is in the ring. Who is woken takes the core of the
one who wakes it, if there is no other; and after it, on a busy machine, some third program, while ticks wait that were received."""
EVERYTHING: Final = 1 << 60
"""More bytes than a connection ever carries."""

# A lane's words by index: one block of memory, whose address is all that compiled code is given.
RING: Final = 0  # the handle of the ring's writer
ROWS: Final = 1  # the symbol table's address
MASK: Final = 2
LEFT: Final = 3  # address behind the bytes for the library, which stand at the buffer's start
NEXT: Final = 4  # address of the first byte not yet looked at
END: Final = 5  # address behind the last byte received
PASSING: Final = 6  # how many bytes of a frame that is left are still to be passed on
FRAGMENTS: Final = 7  # 1 inside a message of several frames
READ: Final = 8  # how many records are in the batch,
WRITTEN: Final = 9  # and how many of them found room in the ring
ADMISSION: Final = 10  # the address of what decides which ticks are let in, or 0
ROLE: Final = 11  # of this connection, a `Role`
GAPS: Final = 12  # how many GAPs were put before a tick
BOOKS: Final = 13  # the address of the order books, or 0
START: Final = 14  # the buffer's address
FILLED: Final = 15  # 1 if what was received filled the room
RECV_US: Final = 16  # the receive stamp of what was received last
FATES: Final = 17  # a count for each `Fate`
_LETTERS: Final = FATES + max(Fate) + 1
RECORDS: Final = _LETTERS + LETTERS
WORDS: Final = RECORDS + (BATCH + 1) * TICK.itemsize // 8  # the last tick may have a GAP before it

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
    count = min(_get(lane, PASSING), end - at)
    if count > 0:
        left = _get(lane, LEFT)
        move(left, at, count)
        _set(lane, LEFT, left + count)
        _set(lane, PASSING, _get(lane, PASSING) - count)
    return at + count


@compiled("void(int64, int64)", late=True)
def _put_gap(lane: int, tick: int) -> None:
    """Move a tick one place on, and write a GAP of its symbol where it was."""
    move(tick + _TICK_BYTES, tick, _TICK_BYTES)
    set_word(tick, 0)
    set_word(tick + 8, word(tick + 8) & ~_KIND | _GAP_TICK << 16)
    for place in range(16, _TICK_BYTES, 8):
        set_word(tick + place, 0)
    _set(lane, GAPS, _get(lane, GAPS) + 1)


@compiled("int64(int64, int64, int64)", late=True)
def _admitted(lane: int, fate: int, tick: int) -> int:
    """The fate of an event that was read into a tick, after the question whether it is let in."""
    table, letters = _get(lane, ADMISSION), lane + 8 * _LETTERS
    if table == NO_ADMISSION or (fate > _TRADE and fate != _MARK):
        return fate
    role = _get(lane, ROLE)
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
    at, end = _get(lane, NEXT), _get(lane, END)
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
        legal = is_legal(first, second, behind - payload, _get(lane, FRAGMENTS))
        fate = _OTHER
        if first == TEXT and legal and second != IN_EIGHT_BYTES:
            if end < behind:
                break
            tick = lane + 8 * RECORDS + read * _TICK_BYTES
            letters, rows, mask = lane + 8 * _LETTERS, _get(lane, ROWS), _get(lane, MASK)
            books = _get(lane, BOOKS) if _get(lane, ROLE) == _IN_CHARGE else NO_BOOKS
            fate = read_event(payload, behind, letters, rows, mask, books, recv_us, tick)
            gaps = _get(lane, GAPS)
            fate = _admitted(lane, fate, tick)
            read += _get(lane, GAPS) - gaps
        _set(lane, FATES + fate, _get(lane, FATES + fate) + 1)
        if fate in (_QUOTE, _TRADE, _MARK):
            read += 1
            at = behind
        elif fate in (_CHANGE, _SEEN, _SHADED):
            at = behind
        else:
            _set(lane, PASSING, behind - at if legal and first != CLOSE else EVERYTHING)
            if first & CONTROL == 0:
                _set(lane, FRAGMENTS, 1 if first & FINAL == 0 else 0)
    _set(lane, NEXT, at)
    return read


@compiled("void(int64)", late=True)
def wake_readers(lane: int) -> None:
    """What is to follow `receive_and_show`, for one of the lanes of a ring."""
    rouse(_get(lane, RING))


@compiled("boolean(int64)", late=True)
def _scan_and_show(lane: int) -> bool:
    """As `scan`; the last batches wake nobody."""
    for letter in range(LETTERS):
        _set(lane, _LETTERS + letter, 0)
    unheard = 0
    while True:
        read = _read_batch(lane, _get(lane, RECV_US))
        written = show_many(_get(lane, RING), lane + 8 * RECORDS, read)
        _set(lane, READ, read)
        _set(lane, WRITTEN, written)
        if written < read:
            return False
        if read < BATCH:
            return True
        unheard += 1
        if unheard == _HEARD:
            wake_readers(lane)
            unheard = 0


@compiled("boolean(int64)")
def scan(lane: int) -> bool:
    """Go through all bytes that are there; False when the ring had no room for all of a batch. Call it again to go on."""
    has_room = _scan_and_show(lane)
    wake_readers(lane)
    return has_room


@compiled("int64(int64, int64, int64)", late=True)
def receive_and_show(lane: int, fd: int, recv_us: int) -> int:
    """`receive_and_scan`, of which the last batches wake nobody: that may wait until other lanes have received."""
    start, unread = _get(lane, START), _get(lane, END) - _get(lane, NEXT)
    if unread > 0:
        move(start, _get(lane, NEXT), unread)
    room = BUFFER_BYTES - unread
    count = receive(fd, start + unread, room)
    _set(lane, NEXT, start)
    _set(lane, END, start + unread + max(count, 0))
    _set(lane, FILLED, count == room)
    _set(lane, RECV_US, recv_us)
    has_room = _scan_and_show(lane)
    if count > 0 and (count == room or not has_room or _get(lane, LEFT) > start):
        return ATTEND
    return count


@compiled("int64(int64, int64, int64)")
def receive_and_scan(lane: int, fd: int, recv_us: int) -> int:
    """Receive into the lane's room and go through it; returns what `receive` does, but `ATTEND` if there is more to do."""
    came = receive_and_show(lane, fd, recv_us)
    wake_readers(lane)
    return came
