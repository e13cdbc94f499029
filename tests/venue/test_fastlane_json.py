from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aegis.venue.fastlane_bytes import BEYOND, digits_end, number, string_end
from aegis.venue.fastlane_json import DEPTH_MAX, LEFT, key_end, value_end

ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(ASCII, max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.sampled_from("abcdeXYZ_"), max_size=20), inner, max_size=4)
    ),
)
TAILS = st.sampled_from([b"", b",", b"}", b"]", b',"k":1'])


class Text:
    """Bytes in memory with the padding that compiled code needs."""

    def __init__(self, text: bytes) -> None:
        self.array = np.frombuffer(text + bytes(BEYOND), np.uint8)
        self.at = int(self.array.ctypes.data)


def end_of_value(text: bytes) -> int | None:
    memory = Text(text)
    end = value_end(memory.at)
    return None if end == LEFT else end - memory.at


@settings(deadline=None)
@given(VALUES, TAILS)
def test_value_end_is_behind_any_value(value: object, tail: bytes) -> None:
    """Whatever json writes compactly is stepped over exactly, whatever follows."""
    text = json.dumps(value, separators=(",", ":")).encode()
    assert end_of_value(text + tail) == len(text)


@settings(deadline=None)
@given(VALUES, st.data())
@example([], None)
def test_value_end_never_accepts_what_is_no_json(value: object, data: st.DataObject | None) -> None:
    """A damaged value is left, unless the part that was stepped over is JSON by itself."""
    text = bytearray(json.dumps(value, separators=(",", ":")).encode())
    if data is not None:
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.integers(0, 255))
    end = end_of_value(bytes(text))
    if end is not None:
        json.loads(text[:end].decode("ascii"))


NOT_READ = rb"""
01|-|1.|.5|+1|1e|1e+|NaN|tru|[1,]|{"a":1,}|{"a"}|{"a":1]|[1}|[|{"a":|"open|"\q"|{1:2}|}
[ 1]|[1 ]|{"a": 1}|"\u0041"|{"\n":1}
"""


@pytest.mark.parametrize(
    "text", [*NOT_READ.strip().replace(b"\n", b"|").split(b"|"), b"", b'"\x01"', b'"\xc3\xa9"']
)
def test_value_end_leaves_what_it_does_not_read(text: bytes) -> None:
    """Malformed JSON, and the JSON that the lane leaves to the slow path."""
    assert end_of_value(text) is None


def test_value_end_has_a_depth() -> None:
    """Nesting is followed so far and no further."""
    deep = b"[" * DEPTH_MAX + b"]" * DEPTH_MAX
    assert end_of_value(deep) == len(deep)
    assert end_of_value(b"[" + deep + b"]") is None
    mixed = b'{"a":[' * (DEPTH_MAX // 2) + b"0" + b"]}" * (DEPTH_MAX // 2)
    assert end_of_value(mixed) == len(mixed)


@settings(deadline=None)
@given(st.text(ASCII, max_size=40))
def test_key_end_is_behind_the_colon(key: str) -> None:
    """A key of any length is stepped over; one with an escape is left."""
    text = json.dumps(key).encode() + b":1"
    memory = Text(text)
    end = key_end(memory.at)
    assert end == (LEFT if "\\" in key or '"' in key else memory.at + len(text) - 1)


@settings(deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=3))
def test_string_end_is_at_the_first_odd_byte(text: bytes, tail: bytes) -> None:
    """Quotes, backslashes, controls and what is not ASCII end a plain string."""
    whole = text + tail + b'"'
    plain = next(i for i, c in enumerate(whole) if not 0x20 <= c < 0x80 or c in b'"\\')
    memory = Text(whole)
    assert string_end(memory.at) == memory.at + plain


@settings(deadline=None)
@given(st.from_regex(r"\A[0-9]{1,16}\Z"), st.sampled_from(["", ".", "/", ":", "a", '"']))
def test_number_is_what_its_digits_say(digits: str, tail: str) -> None:
    """One to sixteen digits make their number, and end where they end."""
    memory = Text((digits + tail).encode())
    assert number(memory.at, len(digits)) == int(digits)
    assert digits_end(memory.at) == memory.at + len(digits)
