from __future__ import annotations

import itertools

import numpy as np
import pytest
from wsproto.frame_protocol import FrameDecoder, ParseFailed

from aegis.venue.fastlane_frame import header_bytes, is_legal, payload_bytes

LENGTHS = (0, 1, 125, 126, 65_535, 65_536, 1 << 32, (1 << 63) - 1)


def extended(second: int, length: int) -> bytes:
    """The bytes of a length behind the first two of a header."""
    if second & 0x7F == 126:
        return (length & 0xFFFF).to_bytes(2, "big")
    return length.to_bytes(8, "big") if second & 0x7F == 127 else b""


def library_accepts(header: bytes) -> bool:
    """Whether trio-websocket's protocol library takes a frame that begins so."""
    decoder = FrameDecoder(client=True)
    decoder.receive_bytes(header)
    try:
        decoder.process_buffer()
    except ParseFailed:
        return False
    return True


@pytest.mark.parametrize("first", range(256))
def test_frame_header_is_judged_as_the_library_does(first: int) -> None:
    """Lane and library agree on every header: which are legal, how long they are, and what they announce."""
    opcode = first & 0x0F
    for second, length in itertools.product([0, 1, 125, 126, 127, 128, 254, 255], LENGTHS):
        header = bytes([first, second]) + extended(second, length)
        memory = np.frombuffer(header + bytes(16), np.uint8)
        payload = payload_bytes(int(memory.ctypes.data), second)
        assert header_bytes(second) == len(header)
        if second & 0x7F >= 126:
            said = int.from_bytes(header[2:], "big")
            assert payload == said or min(payload, said) > 1 << 60
        in_turn = is_legal(first, second, payload, 1 if opcode == 0 else 0)
        assert in_turn == library_accepts(header)


@pytest.mark.parametrize(
    ("first", "fragments", "legal"),
    [
        (0x80, 0, False),  # a continuation of nothing
        (0x00, 0, False),
        (0x80, 1, True),
        (0x00, 1, True),
        (0x81, 1, False),  # a new message inside another
        (0x02, 1, False),
        (0x89, 1, True),  # a control frame may come between
        (0x01, 0, True),
    ],
)
def test_frame_of_a_message_comes_in_its_turn(first: int, fragments: int, legal: bool) -> None:
    """The frames of one message follow each other; only control frames come between them."""
    assert is_legal(first, 5, 5, fragments) is legal
