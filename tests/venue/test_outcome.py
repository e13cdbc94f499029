from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.venue.outcome import Accepted, Outcome, Refused, Unavailable, Unknown, classify


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"orderId":42,"status":"NEW"}', Accepted(42)),
        (200, b"{}", Unknown("HTTP 200 without an order id")),
        (200, b"<html>", Unknown("HTTP 200 with a body that is not an answer")),
        (400, b'{"code":-2019,"msg":"Margin is insufficient."}', Refused(-2019, "Margin is insufficient.")),
        (400, b'{"code":-1021,"msg":"late"}', Refused(-1021, "late")),
        (400, b'{"code":-1007,"msg":"timeout"}', Unknown("HTTP 400 -1007 timeout")),
        (408, b'{"code":-1007,"msg":""}', Unknown("HTTP 408 -1007 ")),
        (403, b"<html>blocked</html>", Unknown("HTTP 403 with a body that is not an answer")),
        (503, b'{"code":-1008,"msg":"busy"}', Unknown("HTTP 503 -1008 busy")),
        (503, b'{"code":0,"msg":"Unknown error, please check"}', Unknown("HTTP 503 0 Unknown error, please check")),
        (500, b"", Unknown("HTTP 500 with a body that is not an answer")),
        (200, b'{"x":' * 100_000, Unknown("HTTP 200 with a body that is not an answer")),
        (400, b'{"code":-4116,"msg":"dup"}', Unknown("HTTP 400 -4116 dup")),
        (503, b'{"code":-1003,"msg":"busy"}', Unknown("HTTP 503 -1003 busy")),
        (429, b'{"code":-1015,"msg":"slow"}', Unavailable("HTTP 429 -1015 slow", is_of_orders=True)),
        (429, b'{"code":-1003,"msg":"slow"}', Unavailable("HTTP 429 -1003 slow")),
    ],
)  # fmt: skip
def test_outcome_of_an_answer(status: int, body: bytes, expected: Outcome) -> None:
    """Every kind of answer has the meaning that the protocol's tables give it, or the more cautious one."""
    assert classify(status, body) == expected


def test_outcome_reads_when_a_ban_ends() -> None:
    """A ban names its end in its text; it is the only place where it stands."""
    text = b'{"code":-1003,"msg":"Way too many requests; IP(x) banned until 1615183669840. Please"}'
    answer = classify(418, text)
    assert isinstance(answer, Unavailable)
    assert answer.banned_until_ms == 1_615_183_669_840


@given(st.integers(500, 599), st.binary(max_size=64))
def test_outcome_of_a_server_error_is_never_a_no(status: int, body: bytes) -> None:
    """Nothing that a failing server says proves that the order was not placed."""
    assert isinstance(classify(status, body), Unknown | Unavailable)


@given(st.integers(100, 599), st.binary(max_size=64))
def test_outcome_never_raises(status: int, body: bytes) -> None:
    """An answer may be anything at all."""
    assert isinstance(classify(status, body), Accepted | Refused | Unknown | Unavailable)
