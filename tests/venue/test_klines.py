from __future__ import annotations

import json

import msgspec
import pytest

from aegis.venue.klines import interval_name, kline_bars, kline_weight

# The shape of protocol §9.1: prices and volumes are strings, times and counts numbers.
ROW = [
    1_700_000_040_000,
    "100.5",
    "102.0",
    "99.5",
    "101.0",
    "8.0",
    1_700_000_099_999,
    "804.0",
    7,
    "5.0",
    "503.0",
    "0",
]


def body(*rows: list[object]) -> bytes:
    return json.dumps(rows).encode()


def test_kline_becomes_a_bar() -> None:
    """A candle's numbers arrive exactly; what takers bought less what they sold is the signed volume."""
    (bar,) = kline_bars(body(ROW), closed_by_ms=1_700_000_100_000)
    assert bar["start_ns"] == 1_700_000_040_000 * 1_000_000
    assert bar["known_ns"] == 1_700_000_100_000 * 1_000_000
    assert [float(bar[name]) for name in ("open", "high", "low", "close")] == [
        100.5,
        102.0,
        99.5,
        101.0,
    ]
    assert (bar["volume"], bar["value"], bar["signed_volume"], bar["trades"]) == (8, 804, 2, 7)
    assert bar["flags"] == 0


def test_running_and_empty_candles_make_no_bar() -> None:
    """One that has not closed is not known yet; one in which nothing traded is none of ours."""
    empty = [*ROW[:8], 0, *ROW[9:]]
    assert len(kline_bars(body(ROW, empty), closed_by_ms=1_700_000_100_000)) == 1
    assert len(kline_bars(body(ROW), closed_by_ms=1_700_000_099_999)) == 0
    assert len(kline_bars(b"[]", closed_by_ms=1)) == 0


@pytest.mark.parametrize("noise", [b"", b"{}", b"[[1]]", b'[["x"]]', b'{"code":-1121,"msg":"no"}'])
def test_what_is_no_list_of_candles_is_an_error(noise: bytes) -> None:
    """An answer of another shape is told from an empty one."""
    with pytest.raises(msgspec.DecodeError):
        kline_bars(noise, closed_by_ms=1)


def test_intervals_are_those_that_begin_where_our_bars_do() -> None:
    """Lengths that the exchange has under a name, without weeks and months, which begin elsewhere."""
    assert (interval_name(60_000), interval_name(3_600_000)) == ("1m", "1h")
    assert interval_name(86_400_000) == "1d"
    assert interval_name(100) is interval_name(7 * 86_400_000) is None


@pytest.mark.parametrize(("limit", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10)])  # fmt: skip
def test_weight_grows_with_the_limit(limit: int, weight: int) -> None:
    """As the protocol's table has it."""
    assert kline_weight(limit) == weight
