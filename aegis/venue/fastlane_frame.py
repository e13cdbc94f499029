"""WebSocket frame headers as the fast lane reads them (RFC 6455 §5.2; no extension is ever agreed on).

All of it is frozen into compiled code, see `aegis.compiled`.
"""

from __future__ import annotations

from typing import Final

from aegis.compiled import compiled
from aegis.venue.fastlane_bytes import sixteen_bits

__all__ = [
    "CLOSE",
    "CONTROL",
    "FINAL",
    "HEADER_MIN",
    "IN_EIGHT_BYTES",
    "LENGTH",
    "TEXT",
    "header_bytes",
    "is_legal",
    "payload_bytes",
]

HEADER_MIN: Final = 2
FINAL: Final = 0x80
CONTROL: Final = 0x08
TEXT: Final = FINAL | 0x1
"""The first byte of a message of text that is one frame."""
CLOSE: Final = FINAL | CONTROL
LENGTH: Final = 0x7F
"""What of the second byte is the payload's length, or says where it is; the other bit would mean masked."""
IN_TWO_BYTES: Final = 126
IN_EIGHT_BYTES: Final = 127

_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_KIND: Final = 0x07
_KIND_MAX: Final = (
    2  # continuation, text, binary; with the bit of a control frame: close, ping, pong
)
_SHORT_MAX: Final = 125
_TWO_BYTES_MAX: Final = 0xFFFF
_HIGH_MAX: Final = 1 << 29


@compiled("int64(int64)", late=True)
def header_bytes(second: int) -> int:
    """The length of a header without a mask, by its second byte."""
    size = second & LENGTH
    if size == IN_EIGHT_BYTES:
        return 10
    return 4 if size == IN_TWO_BYTES else 2


@compiled("int64(int64, int64)", late=True)
def payload_bytes(at: int, second: int) -> int:
    """The length of the payload of the frame that begins at an address; 2**61 and a bit for anything longer."""
    size = second & LENGTH
    if size == IN_EIGHT_BYTES:
        high = sixteen_bits(at + 2) << 16 | sixteen_bits(at + 4)
        low = sixteen_bits(at + 6) << 16 | sixteen_bits(at + 8)
        return min(high, _HIGH_MAX) << 32 | low
    return sixteen_bits(at + 2) if size == IN_TWO_BYTES else size


@compiled("boolean(int64, int64, int64, int64)", late=True)
def is_legal(first: int, second: int, payload: int, fragments: int) -> bool:
    """Whether a server may send this frame.

    Args:
        first: byte of the header.
        second: likewise.
        payload: its length in bytes.
        fragments: 1 inside a message of several frames, otherwise 0.
    """
    if first & _RESERVED or second > LENGTH or first & _KIND > _KIND_MAX:
        return False
    if first & CONTROL:
        return first >= FINAL and second <= _SHORT_MAX
    if second == IN_TWO_BYTES and payload <= _SHORT_MAX:
        return False  # the shortest form is the only one
    if second == IN_EIGHT_BYTES and payload <= _TWO_BYTES_MAX:
        return False
    return (first & _OPCODE == 0) == (fragments == 1)
