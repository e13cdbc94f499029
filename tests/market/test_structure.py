"""Structure: every event of a random walk is the one that a brute-force search over the past finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from aegis.market.analysis import Analysis
from aegis.market.events import LOG, Element, Happening
from aegis.market.parameters import Parameters

Bars = NDArray[np.void]


class Event(NamedTuple):
    """An event as the definitions give it."""

    known: int
    drawn: int
    element: str
    what: str
    side: int
    top: float
    bottom: float
    size: int = 1


@pytest.fixture(scope="session")
def events_of() -> Callable[..., list[Event]]:
    """All events that bars make, with the bar each became known at, in order."""

    def collect(bars: Bars, **parameters: Any) -> list[Event]:
        analysis = Analysis(1, Parameters(**parameters))
        written = analysis.state["structure"]["events"]["written"]
        symbol, found = np.zeros(1, np.uint16), []
        for index in range(len(bars)):
            before = int(written[0])
            analysis.take_bars(symbol, bars[index : index + 1])
            found += [_event(record) for record in analysis.events(0, int(written[0]) - before)]
        return found

    return collect


def _event(record: np.void) -> Event:
    known, drawn, side, size = (int(record[name]) for name in ("known", "drawn", "side", "count"))
    element, what = Element(int(record["element"])).name, Happening(int(record["what"])).name
    top, bottom = float(record["top"]), float(record["bottom"])
    return Event(known, drawn, element, what, side, top, bottom, size)


def level(known: int, drawn: int, element: str, what: str, side: int, price: float) -> Event:
    """An event at one price."""
    return Event(known, drawn, element, what, side, price, price)


def pivots(bars: Bars, reach: int) -> Iterator[Event]:
    """Each pivot at the bar that confirms it, from a plain look at its window."""
    high, low = bars["high"], bars["low"]
    for known in range(3 * reach - 1, len(bars)):
        at, window = known - reach, slice(known - 2 * reach + 1, known + 1)
        if high[at] == high[window].max():
            yield level(known, at, "PIVOT", "NEW", 1, high[at])
        elif low[at] == low[window].min():
            yield level(known, at, "PIVOT", "NEW", -1, low[at])


def legs(found: list[Event]) -> Iterator[Event]:
    """Each pivot that extends the current leg or ends it."""
    end: Event | None = None
    for pivot in found:
        if end and end.side == pivot.side and pivot.side * (pivot.top - end.top) <= 0:
            continue
        if end and end.side != pivot.side:
            yield level(pivot.known, end.drawn, "LEG", "FINAL", end.side, end.top)
        what = "REVISED" if end and end.side == pivot.side else "NEW"
        yield pivot._replace(element="LEG", what=what)
        end = pivot


def breaks(bars: Bars, found: list[Event]) -> Iterator[Event]:
    """For each bar, the newest pivot of each side that was known before it, if it stands and the close is beyond it."""
    broken, trend = set(), 0
    for bar, close in enumerate(bars["close"]):
        for side in (1, -1):
            known = [pivot for pivot in found if pivot.known < bar and pivot.side == side]
            if not known or known[-1] in broken or side * (close - known[-1].top) <= 0:
                continue
            broken.add(known[-1])
            what = "CHOCH" if trend == -side else "BOS"
            yield level(bar, known[-1].drawn, "SWING", what, side, known[-1].top)
            trend = side


def blocks(bars: Bars, broken: list[Event]) -> Iterator[Event]:
    """For each break, the deepest bar since the pivot, the latest on ties."""
    for event in broken:
        inside = range(event.drawn + 1, event.known)
        if event.side > 0:
            deepest = min(inside, key=lambda bar: (bars["low"][bar], -bar))
        else:
            deepest = min(inside, key=lambda bar: (-bars["high"][bar], -bar))
        top, bottom = bars["high"][deepest], bars["low"][deepest]
        yield Event(event.known, deepest, "BLOCK", "NEW", event.side, top, bottom)


def imbalances(bars: Bars) -> Iterator[Event]:
    """Each space between the wicks of two bars that the bar between them ran through."""
    high, low, body = bars["high"], bars["low"], bars["close"] - bars["open"]
    for bar in range(2, len(bars)):
        if high[bar - 2] < low[bar] and body[bar - 1] > 0:
            yield Event(bar, bar - 1, "IMBALANCE", "NEW", 1, low[bar], high[bar - 2])
        if low[bar - 2] > high[bar] and body[bar - 1] < 0:
            yield Event(bar, bar - 1, "IMBALANCE", "NEW", -1, low[bar - 2], high[bar])


def lives(bars: Bars, zones: list[Event], *, by_close: bool) -> Iterator[Event]:
    """The first bar after a zone is known that enters it, and the first that ends it."""
    body_low = np.minimum(bars["open"], bars["close"])
    body_high = np.maximum(bars["open"], bars["close"])
    for zone in zones:
        up, later = zone.side > 0, slice(zone.known + 1, None)
        reached = bars["low"][later] if up else -bars["high"][later]
        near, far = (zone.top, zone.bottom) if up else (-zone.bottom, -zone.top)
        passed = (body_low[later] if up else -body_high[later]) if by_close else reached
        is_block = zone.element == "BLOCK"
        ends = passed < far if is_block else reached <= far
        touched = reached <= near
        for what, when in (("TOUCHED", touched), ("FAILED" if is_block else "FILLED", ends)):
            if when.any():
                yield zone._replace(known=zone.known + 1 + int(when.argmax()), what=what)


def pools(
    bars: Bars, found: list[Event], atr: NDArray[np.float64], within: float
) -> Iterator[Event]:
    """Each pool that gains a pivot or is taken, by a list of lists of pivots."""
    for side in (1, -1):
        standing: list[list[Event]] = []
        for bar in range(len(bars)):
            tip = bars["high" if side > 0 else "low"][bar]
            for pool in list(standing):
                extreme = max((pivot.top for pivot in pool), key=lambda price: side * price)
                if side * (tip - extreme) > 0:
                    back = side * (bars["close"][bar] - extreme) <= 0
                    what = "SWEPT" if back else "RUN"
                    first, count = pool[0].drawn, len(pool)
                    yield Event(bar, first, "POOL", what, side, extreme, extreme, count)
                    standing.remove(pool)
            for pivot in (pivot for pivot in found if (pivot.known, pivot.side) == (bar, side)):
                distances = [abs(np.mean([p.top for p in pool]) - pivot.top) for pool in standing]
                if not distances or not min(distances) <= within * atr[bar]:
                    standing.append([pivot])
                    continue
                nearest = min(range(len(standing)), key=lambda n: (distances[n], -n))
                pool = standing[nearest]
                pool.append(pivot)
                extreme = max((p.top for p in pool), key=lambda price: side * price)
                what = "NEW" if len(pool) == 2 else "REVISED"
                yield Event(bar, pool[0].drawn, "POOL", what, side, extreme, extreme, len(pool))


@pytest.mark.parametrize("by_close", [False, True])
@pytest.mark.parametrize("reach", [1, 2, 5, 11, 31])
@pytest.mark.parametrize("grid", [0.5, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_events_equal_their_definitions(
    events_of: Any,
    walk_bars: Any,
    trace: Any,
    seed: int,
    grid: float,
    reach: int,
    by_close: bool,
) -> None:
    """With ties and without, at every reach, the log holds what the definitions give, each at the bar it became known."""
    # More bars would overflow the rings, which the definitions do not know.
    bars = walk_bars(seed, 300, grid)
    got = events_of(bars, pivot_bars=reach, kept=64, block_by_close=by_close, pool_atr=0.3)
    atr = trace(bars, "indicators")["atr"]
    assert sorted(got) == sorted(by_definition(bars, atr, reach, by_close=by_close))
    assert [event.known for event in got] == sorted(event.known for event in got)


def by_definition(
    bars: Bars, atr: NDArray[np.float64], reach: int, *, by_close: bool, within: float = 0.3
) -> Iterator[Event]:
    """Every event of bars, element by element."""
    found = list(pivots(bars, reach))
    broken = list(breaks(bars, found))
    created = list(blocks(bars, broken))
    opened = list(imbalances(bars))
    yield from (*found, *legs(found), *broken, *created, *opened)
    yield from lives(bars, created, by_close=by_close)
    yield from lives(bars, opened, by_close=False)
    yield from pools(bars, found, atr, within)


@pytest.mark.parametrize("first", range(0, 24_000, 6_000))
def test_events_of_real_candles_equal_their_definitions(
    events_of: Any, eurusd: Bars, trace: Any, first: int
) -> None:
    """On EURUSD, from four places on, the brute-force search over the past finds every event, and no other."""
    bars = eurusd[first : first + 1200]
    got = events_of(bars, kept=64, pool_atr=1.0)
    expected = by_definition(bars, trace(bars, "indicators")["atr"], 5, by_close=False, within=1.0)
    assert sorted(got) == sorted(expected)
    assert len(got) > 1000


def test_events_of_a_recording_equal_their_definitions(
    events_of: Any, make_analysis: Any, recorded_ticks: Bars, trace: Any
) -> None:
    """On the bars of one second that a recording of Binance makes, as well."""
    analysis = make_analysis(interval_ms=1000)
    analysis.step(recorded_ticks)
    bars = analysis.bars(0)
    got = events_of(bars, interval_ms=1000, kept=64, pool_atr=0.3, pivot_bars=3)
    atr = trace(bars, "indicators", interval_ms=1000)["atr"]
    assert sorted(got) == sorted(by_definition(bars, atr, 3, by_close=False))
    assert len(got) > 200


def test_break_is_never_before_its_pivot_is_known(walk_bars: Any) -> None:
    """No close within L bars of a pivot is beyond it, so waiting for confirmation misses no break."""
    bars = walk_bars(3, 3000, 0.5)
    for pivot in pivots(bars, 5):
        closes = bars["close"][pivot.drawn + 1 : pivot.known + 1]
        assert (pivot.side * (closes - pivot.top) <= 0).all()


def test_zone_is_never_touched_by_the_bar_that_made_it_known(
    events_of: Any, walk_bars: Any
) -> None:
    """Between an element's NEW and the first thing that happens to it lies at least one close."""
    known: dict[tuple[Any, ...], int] = {}
    for event in events_of(walk_bars(8, 2000, 0.5), pivot_bars=2, kept=64):
        zone = (event.element, event.side, event.drawn, event.top, event.bottom)
        if event.what == "NEW":
            known[zone] = event.known
        elif event.what in ("TOUCHED", "FAILED", "FILLED"):
            assert event.known > known[zone]


def test_place_is_between_the_swings(trace: Any, make_bars: Any) -> None:
    """The place of a close is 0 at the newest pivot low, 1 at the newest pivot high; unknown before, and while they are not in order."""
    closes = [10.0, 12.0, 10.0, 8.0, 10.0, 14.0, 10.0, 11.0, 9.5]
    place = trace(make_bars([[close] * 4 for close in closes]), "structure", pivot_bars=1)["place"]
    assert np.isnan(place[:4]).all()  # no pivot low is known before the close of bar 4
    assert place[4] == 1.0  # at the pivot high of bar 2, above the pivot low of bar 3
    assert np.isnan(place[5])  # the pivot low of bar 4 is at that same price
    assert place[6:].tolist() == [0.0, 0.25, -0.5]


def test_full_list_drops_the_oldest_and_counts(trace: Any, make_bars: Any) -> None:
    """More imbalances than are kept push out the oldest, and the count of those lost is there to see."""
    rows = [(10 + 3 * i, 12 + 3 * i, 10 + 3 * i, 12 + 3 * i) for i in range(12)]
    seen = trace(make_bars(rows), "structure", kept=4)[-1]
    zones, room = seen["imbalances"][0], seen["imbalance_room"][0]
    assert (zones["standing"], zones["overflowed"]) == (4, 6)
    assert room["near"][:4].tolist() == [34.0, 37.0, 40.0, 43.0]


def test_summaries_are_those_of_what_stands(trace: Any, walk_bars: Any) -> None:
    """The nearest edge and the trigger, of all and of each zone with the older ones, are what a look through them finds."""
    for structure in trace(walk_bars(4, 1500, 0.5), "structure", kept=5, pivot_bars=2)[::7]:
        for zones, room in (("blocks", "block_room"), ("imbalances", "imbalance_room")):
            for side, there in zip(structure[zones], structure[room], strict=True):
                standing = there[: side["standing"]]
                assert side["nearest"] == standing["near"].max(initial=-np.inf)
                assert side["trigger"] == standing["next"].max(initial=-np.inf)
                assert (standing["nearest"] == np.maximum.accumulate(standing["near"])).all()
                assert (standing["trigger"] == np.maximum.accumulate(standing["next"])).all()
        for side, there in zip(structure["pools"], structure["pool_basin"], strict=True):
            standing = there[: side["standing"]]
            assert side["trigger"] == standing["extreme"].min(initial=np.inf)


def test_event_log_keeps_the_newest(walk_bars: Any) -> None:
    """The log of a symbol holds its last events in order, and how many there ever were."""
    bars = walk_bars(6, 1000)
    analysis = Analysis(1, Parameters(pivot_bars=2))
    analysis.take_bars(np.zeros(len(bars), np.uint16), bars)
    events = analysis.events(0)
    written = int(analysis.row(0)["structure"]["events"]["written"])
    assert len(events) == LOG < written
    assert (np.diff(events["known"]) >= 0).all()
    assert analysis.events(0, 3).tolist() == events[-3:].tolist()
    assert events["known_ns"].tolist() == bars["known_ns"][events["known"]].tolist()


def test_constant_prices_break_nothing(events_of: Any, make_bars: Any) -> None:
    """In a market that does not move every bar ties, so pivots are confirmed, and nothing else happens but their pooling."""
    events = events_of(make_bars(np.full((100, 4), 7.0)), pivot_bars=3)
    assert {(event.element, event.what) for event in events} == {
        ("PIVOT", "NEW"),
        ("LEG", "NEW"),
        ("POOL", "NEW"),
        ("POOL", "REVISED"),
    }
