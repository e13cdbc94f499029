"""Conformance: from our events, known bar by bar, follow the tables that the smartmoneyconcepts library computes in hindsight.

Its tables need the whole future: rows are erased, moved and invented. So what they hold is rebuilt here from our log at the end of
the data, with the library's own rules where they differ from ours (`..._in_hindsight`). That is test code only: nothing that
trades can see it. The tables are its published ones, for a swing length of 5.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.events import Element, Happening
from aegis.market.parameters import Parameters

Bars = NDArray[np.void]
Table = dict[int, dict[str, float]]


class Pivot(NamedTuple):
    bar: int
    side: int
    level: float


@pytest.fixture(scope="session")
def log(eurusd: Bars) -> NDArray[np.void]:
    """Every event of the candles, with room for all zones that stand at one time."""
    analysis = Analysis(1, Parameters(pivot_bars=5, kept=64))
    structure = analysis.state["structure"]
    written = structure["events"]["written"]
    symbol, events = np.zeros(1, np.uint16), []
    for index in range(len(eurusd)):
        before = int(written[0])
        analysis.take_bars(symbol, eurusd[index : index + 1])
        if written[0] > before:
            events.append(analysis.events(0, int(written[0]) - before))
    assert not structure["imbalances"]["overflowed"].any()
    return np.concatenate(events)


def chosen(log: Bars, element: Element, what: Happening) -> Bars:
    """The events of one kind."""
    found: Bars = log[(log["element"] == element) & (log["what"] == what)]
    return found


def table(folder: Path, name: str) -> Table:
    """The rows of a published table that say something."""
    with (folder / f"{name}_result_data.csv").open() as lines:
        rows = enumerate(csv.DictReader(lines))
        filled = {bar: {key: float(text) for key, text in row.items() if text} for bar, row in rows}
    return {bar: row for bar, row in filled.items() if row}


def published_pivots(folder: Path) -> list[Pivot]:
    """The library's pivots, with the two it invents at the ends."""
    rows = table(folder, "swing_highs_lows")
    return [Pivot(bar, int(row["HighLow"]), row["Level"]) for bar, row in rows.items()]


def test_pivots_are_those_of_the_library(
    log: NDArray[np.void], smc_folder: Path, eurusd: Bars
) -> None:
    """The legs that became final, and the last one, are the library's pivots but for the two it invents at the ends."""
    legs = log[log["element"] == Element.LEG]
    final = np.concatenate((legs[legs["what"] == Happening.FINAL], legs[-1:]))
    ours = [Pivot(int(leg["drawn"]), int(leg["side"]), float(leg["top"])) for leg in final]
    theirs = published_pivots(smc_folder)
    assert (theirs[0].bar, theirs[-1].bar) == (0, len(eurusd) - 1)
    assert ours == theirs[1:-1]
    assert len(ours) == 2706


def test_imbalances_are_those_of_the_library(log: NDArray[np.void], smc_folder: Path) -> None:
    """Every imbalance, its zone, and the bar that first touched it, equal the library's table of fair value gaps."""
    new = chosen(log, Element.IMBALANCE, Happening.NEW)
    touched = chosen(log, Element.IMBALANCE, Happening.TOUCHED)
    touched_at = dict(zip(touched["drawn"].tolist(), touched["known"].tolist(), strict=True))
    ours = {
        int(zone["drawn"]): {
            "FVG": float(zone["side"]),
            "Top": float(zone["top"]),
            "Bottom": float(zone["bottom"]),
            "MitigatedIndex": float(touched_at.get(int(zone["drawn"]), 0)),
        }
        for zone in new
    }
    assert (new["known"] == new["drawn"] + 1).all()
    assert ours == rounded(table(smc_folder, "fvg"), ours)
    assert len(ours) == 5020


def rounded(theirs: Table, ours: Table) -> Table:
    """Their rows, with our prices where theirs are ours as float32: the library keeps no more digits."""
    for bar, row in theirs.items():
        for key, value in row.items():
            our = ours.get(bar, {}).get(key)
            if our is not None and np.float32(our) == np.float32(value):
                row[key] = our
    return theirs


def broken_in_hindsight(bars: Bars, pivots: list[Pivot]) -> dict[int, tuple[str, int, float, int]]:
    """The library's BOS and CHoCH, by the bar of the broken pivot: (kind, side, level, bar of the break)."""
    close = bars["close"]
    found: dict[int, tuple[str, int, float, int]] = {}
    for a, b, c, d in zip(pivots, pivots[1:], pivots[2:], pivots[3:], strict=False):
        low, back, high, last = (b.side * pivot.level for pivot in (a, c, b, d))
        if not max(low, back) < high < last or low == back:
            continue
        # It compares closes with the level rounded to 32 bits.
        beyond = np.flatnonzero(b.side * close[b.bar + 2 :] > b.side * float(np.float32(b.level)))
        if not beyond.size:
            continue
        at = b.bar + 2 + int(beyond[0])
        # A pattern that breaks takes back every older one that breaks no earlier.
        found = {bar: event for bar, event in found.items() if event[3] < at}
        found[b.bar] = ("BOS" if low < back else "CHOCH", b.side, b.level, at)
    return found


def test_breaks_follow_the_library_in_hindsight(smc_folder: Path, eurusd: Bars) -> None:
    """From the final pivots, the library's breaks of structure and changes of character are found, each at its bar."""
    found = broken_in_hindsight(eurusd, published_pivots(smc_folder))
    # Rows that it took back keep the bar of the break, and nothing else.
    theirs = {bar: row for bar, row in table(smc_folder, "bos_choch").items() if "Level" in row}
    ours = {
        bar: {kind: float(side), "Level": level, "BrokenIndex": float(at)}
        for bar, (kind, side, level, at) in found.items()
    }
    assert ours == rounded(theirs, ours)
    assert len(ours) == 1129


def blocks_in_hindsight(bars: Bars, pivots: list[Pivot], side: int) -> Table:
    """The library's order blocks of one side: those that did not fail by the end of the data."""
    up = side > 0
    tip, back = (bars["high"], -bars["low"]) if up else (-bars["low"], bars["high"])
    swings = np.array([pivot.bar for pivot in pivots if pivot.side == side])
    blocks: Table = {}
    crossed = set()
    for bar in range(len(bars)):
        before = int(np.searchsorted(swings, bar))
        swing = int(swings[before - 1]) if before else -1
        if swing < 0 or swing in crossed or side * bars["close"][bar] <= tip[swing]:
            continue
        crossed.add(swing)
        inside = back[swing + 1 : bar][::-1]
        block = bar - 1 - int(inside.argmax())
        low, high = np.float32(-back[block]), np.float32(tip[block])
        gone = np.flatnonzero(-back[bar + 1 :] < low) + bar + 1
        mitigated = int(gone[0]) if gone.size else 0
        if mitigated and (tip[mitigated + 1 :] > high).any():
            continue  # it failed, and the library erases it
        top, bottom = (high, low) if up else (-low, -high)
        late = mitigated - up if mitigated else 0  # it notes a bullish one a bar early
        blocks[block] = {
            "OB": float(side),
            "Top": float(top),
            "Bottom": float(bottom),
            "MitigatedIndex": float(late),
        }
    return blocks


def test_blocks_follow_the_library_in_hindsight(smc_folder: Path, eurusd: Bars) -> None:
    """From the final pivots, the library's surviving order blocks are found, with their zones and ends."""
    pivots = published_pivots(smc_folder)
    ours = blocks_in_hindsight(eurusd, pivots, 1) | blocks_in_hindsight(eurusd, pivots, -1)
    theirs = table(smc_folder, "ob")
    for row in theirs.values():
        del row["OBVolume"], row["Percentage"]  # the candles have no volume
    assert ours == rounded(theirs, ours)
    assert len(ours) == 66


@pytest.mark.parametrize(("name", "hours"), [("1D", 24), ("4h", 4)])
def test_previous_period_is_that_of_the_library(
    trace: Any, smc_folder: Path, eurusd: Bars, name: str, hours: int
) -> None:
    """The previous period's high and low equal the library's, but at a period's first bar: there it is one period late."""
    session_ns = hours * 3_600_000_000_000
    session = trace(eurusd, "session", session_ms=session_ns // 1_000_000)
    theirs = table_of_previous(smc_folder, name)
    inside = eurusd["start_ns"] % session_ns != 0
    for key, column in (("previous_high", "PreviousHigh"), ("previous_low", "PreviousLow")):
        got = session[key][inside].astype(np.float32)
        bars_inside = np.flatnonzero(inside).tolist()
        expected = np.array([theirs[bar].get(column, np.nan) for bar in bars_inside], np.float32)
        assert np.array_equal(got, expected, equal_nan=True)


def table_of_previous(folder: Path, name: str) -> Table:
    """All rows of a published table of previous highs and lows, empty ones included."""
    with (folder / f"previous_high_low_result_data_{name}.csv").open() as lines:
        rows = enumerate(csv.DictReader(lines))
        return {bar: {key: float(text) for key, text in row.items() if text} for bar, row in rows}
