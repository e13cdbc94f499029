"""The fast lane: takes the ticks out of the bytes of one WebSocket connection before the library sees them.

One compiled pass walks the frames. A whole message of text whose JSON it recognises becomes a TICK in the ring;
every other byte is left, in order, to trio-websocket, which stays the authority on the protocol. A frame that ends
the connection, or that no server may send, is left with all that follows it.

    header ─▶ whole text below 64 KiB? ─▶ recognised? ─▶ TICK ─▶ ring
                      └──────────────────────┴─▶ left, as it comes

No input or output happens here: bytes are received into `room()`, and `take` is told how many.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled, entry_point
from aegis.errors import check
from aegis.market.records import TICK
from aegis.shm.writing import put_many
from aegis.venue.fastlane_bytes import BEYOND, byte, move, set_word, sixteen_bits, word
from aegis.venue.fastlane_event import LETTERS, Fate, read_event
from aegis.venue.fastlane_symbols import SymbolTable

__all__ = ["BUFFER_BYTES", "Fate", "Lane", "RingWriter"]

BUFFER_BYTES: Final = 1 << 18
BATCH: Final = 64
"""Records that are handed to the ring together: some microseconds' worth of frames."""

# A lane's words, as offsets in bytes; its address is what compiled code is given. See `aegis.compiled`.
_RING: Final = 0  # the handle of the ring's writer
_TICKS: Final = 8  # addresses of: the batch,
_LETTERS: Final = 16  # the table of one-letter keys,
_ROWS: Final = 24  # the symbol table,
_MASK: Final = 32  # and its number of rows less one
_LEFT: Final = 40  # behind the bytes for the library, which stand at the buffer's start
_NEXT: Final = 48  # of the first byte not yet looked at
_END: Final = 56  # behind the last byte received
_PASSING: Final = 64  # how many bytes of a frame that is left are still to come
_FRAGMENTS: Final = 72  # 1 inside a message of several frames
_WRITTEN: Final = 80  # how many of the batch found room in the ring,
_READ: Final = 88  # of how many
_FATES: Final = 96  # a count for each `Fate`
_WORDS: Final = _FATES // 8 + len(Fate)

_TEXT: Final = 0x81  # the one frame of a message of text
_CLOSE: Final = 0x88
_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_CONTROL: Final = 0x08
_KINDS_MAX: Final = 2  # continuation, text, binary; close, ping and pong are the same with the bit of a control frame
_LENGTH: Final = 0x7F  # without the bit that says masked
_IN_TWO_BYTES: Final = 126
_IN_EIGHT_BYTES: Final = 127
_SHORT_MAX: Final = 125
_TWO_BYTES_MAX: Final = 0xFFFF
_FOR_EVER: Final = 1 << 62
_OTHER: Final = int(Fate.OTHER)
_LAST_TAKEN: Final = int(Fate.TRADE)
_TICK_BYTES: Final = TICK.itemsize


@compiled("boolean(int64, int64, int64, boolean)")
def _is_legal(first: int, second: int, length: int, fragments: bool) -> bool:
    """Whether a server may send a frame with this header (RFC 6455 §5, no extension agreed on)."""
    opcode = first & _OPCODE
    if first & _RESERVED or second > _LENGTH or opcode & ~_CONTROL > _KINDS_MAX:
        return False
    if opcode & _CONTROL:
        return first >= _FINAL and second <= _SHORT_MAX
    if second == _IN_TWO_BYTES and length <= _SHORT_MAX:
        return False
    if second == _IN_EIGHT_BYTES and length <= _TWO_BYTES_MAX:
        return False
    return (opcode == 0) == fragments


@compiled("int64(int64, int64)")
def _payload_length(at: int, size: int) -> int:
    """The length of the payload of the frame that begins here; of more than 2**61 bytes, that many."""
    if size == _IN_TWO_BYTES:
        return sixteen_bits(at + 2)
    if size == _IN_EIGHT_BYTES:
        high = sixteen_bits(at + 2) << 16 | sixteen_bits(at + 4)
        low = sixteen_bits(at + 6) << 16 | sixteen_bits(at + 8)
        return min(high, 1 << 29) << 32 | low
    return size


@compiled("int64(int64, int64, int64)")
def _pass_on(lane: int, at: int, end: int) -> int:
    """Add what there is of a frame that is left to the bytes for the library; return the address behind it."""
    passing = word(lane + _PASSING)
    count = min(passing, end - at)
    if count > 0:
        left = word(lane + _LEFT)
        move(left, at, count)
        set_word(lane + _LEFT, left + count)
        set_word(lane + _PASSING, passing - count)
    return at + count


@compiled("void(int64, int64, int64, int64)")
def _leave(lane: int, first: int, second: int, length: int) -> None:
    ...


@compiled("int64(int64, int64)")
def _read_frames(lane: int, recv_us: int) -> int:
    """Read frames until the bytes end or the batch is full; return how many ticks there are."""
    end = word(lane + _END)
    at = word(lane + _NEXT)
    read = 0
    while read < BATCH:
        at = _pass_on(lane, at, end)
        if end - at < 2:
            break
        first, second = byte(at), byte(at + 1)
        size = second & _LENGTH
        head = 2 if size <= _SHORT_MAX else 4 if size == _IN_TWO_BYTES else 10
        if end - at < head:
            break
        behind = at + head + _payload_length(at, size)
        legal = _is_legal(first, second, behind - at - head, word(lane + _FRAGMENTS) != 0)
        fate = _OTHER
        if legal and first == _TEXT and size != _IN_EIGHT_BYTES:
            if behind > end:
                break
            tick = word(lane + _TICKS) + read * _TICK_BYTES
            fate = read_event(lane + _TABLES, at + head, behind, recv_us, tick)
        counter = lane + _FATES + 8 * fate
        set_word(counter, word(counter) + 1)
        if fate <= _LAST_TAKEN:
            read += 1
            at = behind
            continue
        set_word(lane + _PASSING, behind - at if legal and first != _CLOSE else _FOR_EVER)
        if not first & _CONTROL:
            set_word(lane + _FRAGMENTS, not first & _FINAL)
    set_word(lane + _NEXT, at)
    return read
