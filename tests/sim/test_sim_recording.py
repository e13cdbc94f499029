from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.sim.recording import Recording, merged, recorded_quote, recorded_trade, survey

QUOTE = '{"stream":"%s@bookTicker","data":{"e":"bookTicker","u":5,"s":"X","b":"10.1","B":"2","a":"10.2","A":"3","T":1,"E":1}}'
TRADE = '{"stream":"%s@trade","data":{"e":"trade","E":1,"T":7,"s":"X","t":1,"p":"10.2","q":"1.5","X":"MARKET","m":false}}'
SNAPSHOT = '{"lastUpdateId":1,"E":1,"T":1,"bids":[],"asks":[]}'
REAL = Path(__file__).parents[3] / "shared/data/recordings"


def write(path: Path, *lines: str) -> Path:
    """Write a recording."""
    with gzip.open(path, "wt") as file:
        file.writelines(f"{each}\n" for each in lines)
    return path


def test_frames_are_the_recorded_bytes(tmp_path: Path) -> None:
    """A frame keeps its bytes, its local time, its stream and the payload inside."""
    made = Recording(write(tmp_path / "a.gz", f"5 {QUOTE % 'x'}", f"6 {TRADE % 'x'}"))
    first, second = made.frames()
    assert (first.local_ns, first.stream, first.frame) == (
        5,
        "x@bookTicker",
        (QUOTE % "x").encode(),
    )
    quote, trade = recorded_quote(first.payload), recorded_trade(second.payload)
    assert quote is not None
    assert trade is not None
    assert (quote.bid, quote.ask_quantity, quote.update_id) == (Decimal("10.1"), Decimal(3), 5)
    assert (trade.p, trade.q, trade.m, trade.T) == (Decimal("10.2"), Decimal("1.5"), False, 7)


def test_malformed_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    """What is no frame is skipped and counted, except the depth snapshot that recorders write."""
    good = f"5 {QUOTE % 'x'}"
    lines = [
        "",
        "5",
        good[:-1],
        "x " + QUOTE % "x",
        '5 {"data":{}}',
        "5 [1]",
        f"5 {SNAPSHOT}",
        good,
    ]
    made = Recording(write(tmp_path / "a.gz", *lines))
    assert len(list(made.frames())) == 1
    assert made.malformed == 6
    assert len(list(made.frames())) == 1
    assert made.malformed == 6


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-1", "0", "1e99", "1e-99", "x", ""])
def test_unsound_numbers_are_no_quote(price: str) -> None:
    """A price that no market has is not read, so that it can break nothing."""
    quote = msgspec.Raw(QUOTE.partition('"data":')[2][:-1].replace("10.1", price).encode())
    trade = msgspec.Raw(TRADE.partition('"data":')[2][:-1].replace("10.2", price).encode())
    assert recorded_quote(quote) is None
    assert recorded_trade(trade) is None


def test_text_that_is_no_utf8_is_malformed(tmp_path: Path) -> None:
    """A frame that no WebSocket could have carried is skipped."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b'5 {"stream":"x@trade","data":{"s":"\xff"}}\n'))
    made = Recording(path)
    assert (list(made.frames()), made.malformed) == ([], 1)


def test_truncated_file_ends_early(tmp_path: Path) -> None:
    """A recording whose recorder was killed gives what is whole and counts one malformed line."""
    path = write(tmp_path / "a.gz", *(f"{each} {QUOTE % 'x'}" for each in range(5_000)))
    path.write_bytes(path.read_bytes()[:-40])
    made = Recording(path)
    assert 0 < len(list(made.frames())) < 5_000
    assert made.malformed == 1


@given(st.binary(max_size=200))
def test_any_line_is_read_or_skipped(line: bytes) -> None:
    """No bytes make the reader fail."""
    made = object.__new__(Recording)
    made.malformed = 0
    assert made.read(line) is None


def test_unreadable_recording_is_refused(tmp_path: Path) -> None:
    """An absent file, a folder and a file that is not gzip are refused, and the message names them."""
    plain = tmp_path / "plain.gz"
    plain.write_text("1 {}")
    for path in (tmp_path / "absent.gz", tmp_path, plain):
        with pytest.raises(Refused, match=str(path)):
            Recording(path)


def test_recording_without_quotes_is_refused(tmp_path: Path) -> None:
    """A recording to trade on needs quotes in it."""
    path = write(tmp_path / "a.gz", f"5 {TRADE % 'x'}")
    with pytest.raises(Refused, match=f"{path}: expected bookTicker"):
        survey([Recording(path)])


def test_survey_finds_symbols_and_streams(tmp_path: Path) -> None:
    """The survey lists a contract a symbol and the streams that drive a replay, wherever they begin."""
    quotes = [f"5 {QUOTE % 'ab'}"] * 900
    first = write(tmp_path / "a.gz", *quotes, f"5 {TRADE % 'ab'}", f"5 {TRADE % 'unquoted'}")
    second = write(tmp_path / "b.gz", f"5 {QUOTE % 'cd'}", f"5 {SNAPSHOT}")
    found = survey([Recording(first), Recording(second)])
    assert [each.symbol for each in found.contracts] == ["AB", "CD"]
    assert found.driving == ["ab@bookTicker", "ab@trade", "cd@bookTicker"]
    assert (found.contracts[0].tick, found.contracts[0].step) == (Decimal("0.1"), Decimal(1))


def test_recordings_merge_by_local_time(tmp_path: Path) -> None:
    """Several files play as one, in the order in which their frames were received."""
    one = Recording(write(tmp_path / "a.gz", *(f"{each} {QUOTE % 'a'}" for each in (1, 4, 9))))
    two = Recording(write(tmp_path / "b.gz", *(f"{each} {QUOTE % 'b'}" for each in (2, 3, 9))))
    assert [each.local_ns for each in merged([one, two])] == [1, 2, 3, 4, 9, 9]


def test_real_recording_is_read_whole() -> None:
    """The real BTCUSDT recording has 93,953 frames and one snapshot, nothing malformed."""
    path = REAL / "btcusdt_20240808.gz"
    if not path.exists():
        pytest.skip(f"no recording at {path}")
    made = Recording(path)
    assert sum(1 for _ in made.frames()) == 93_953
    assert made.malformed == 0
    found = survey([made])
    assert found.driving == ["btcusdt@bookTicker", "btcusdt@trade"]
    assert (found.contracts[0].tick, found.contracts[0].step) == (Decimal("0.10"), Decimal("0.001"))
