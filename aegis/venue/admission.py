"""Which ticks are let in: each once, in its place, and nothing that no market makes between two ticks.

The lane and the slow path ask the same compiled function, `admit`, about the same table, so they cannot differ. A
*series* is one kind of tick of one symbol; its ids grow. The rules, in this order:

1. **Time.** An event further ahead of exchange time than `future_ns` is FUTURE. Exchange time is the newest event of
   the kind, and what has passed since by the monotonic clock: the wall clock has no say, it is often a second off.
   Eight events in a row that agree with each other, and with what passed between them, move it on. It is moved back where
   for `future_ns` nothing was heard that is near it: a connection that lags moves no clock while another one does not.
2. **Two connections.** While a connection is replaced, what the newcomer brings is SHADOWED until the old one has
   brought as much: the newcomer has everything from its first event on, the old one everything before. From there on
   the series takes whichever comes first.
3. **Ids.** One that was seen is a DUPLICATE, and so is one so low that nobody can tell any more. A lower one that was not seen
   is late and let in: a frame that went the slow way. Not so with quotes: the newest is the truth, and an older one would undo it. A lower one with a newer time than all before says that the exchange has begun its ids anew: it is let in
   behind a GAP, so that no series is silent for ever. A hole in the ids of aggTrade is a GAP as well.
4. **Price.** A price that differs from the one before by more than `jump_sigmas` standard deviations of such
   differences is an OUTLIER: it is kept out until `jump_confirmations` in a row agree on the new level, which is then
   a real move. The deviation is an exponential mean, never below `sigma_min`. An outlier raises it, within bounds: a
   market that has become wild is let in after a few ticks.

A verdict changes the table only if it is final. The lane leaves what is FUTURE or an OUTLIER to the slow path, whose
verdict is final, and which keeps the frame.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from aegis.compiled import compiled, entry_point, inlined
from aegis.market.records import TICK, TickKind
from aegis.memory import record_at

__all__ = [
    "NO_ADMISSION",
    "Admission",
    "AdmissionRules",
    "Series",
    "Standing",
    "Verdict",
    "admit",
]

NO_ADMISSION: Final = 0
"""In place of a table's address: everything is let in."""
SERIES: Final = 4


class Series(IntEnum):
    """The kinds of ticks whose ids grow each by itself."""

    QUOTES = 0
    """bookTicker, by `u`."""
    AGGREGATES = 1
    """aggTrade, by `a`, which has no holes."""
    TRADES = 2
    """trade, by `t`."""
    MARKS = 3
    """markPriceUpdate, which has no id: by its event time."""


class Verdict(IntEnum):
    """What becomes of a tick."""

    ADMITTED = 0
    BEHIND_GAP = 1
    """Admitted, and something may be missing before it."""
    DUPLICATE = 2
    SHADOWED = 3
    FUTURE = 4
    OUTLIER = 5


class Standing(IntEnum):
    """How a series stands to the connections that bring it."""

    OPEN = 0
    APART = 1
    """Two connections bring it, and the newcomer has not been caught up with."""
    BROKEN = 2
    """Nothing was heard for a while, which a GAP has said already: the next id may be any."""


_SERIES: Final = np.dtype(
    [
        ("highest", "<i8"),  # id let in; 0 for none
        ("seen", "<u8"),  # bit n: the id n + 1 below it was let in
        ("event_ns", "<i8"),  # the newest time let in
        ("shadow", "<i8"),  # the last id shadowed; 0 before the first
        ("standing", "<i8"),
        ("heard", "<i8"),  # events of the connection in charge, whatever became of them
        ("price", "<f8"),  # the last one let in; 0 before the first
        ("variance", "<f8"),  # of the relative difference of two prices
        ("candidate", "<f8"),  # the price of the last outlier
        ("agreeing", "<i8"),  # outliers in a row that agree
    ]
)
_CLOCK: Final = np.dtype(
    [
        ("event_ns", "<i8"),  # the newest event; 0 before the first
        ("recv_us", "<i8"),  # when it was received
        ("near_us", "<i8"),  # when an event was received last that was near it
        ("ahead_ns", "<i8"),  # the last event that was too far ahead
        ("ahead_us", "<i8"),  # when that was received
        ("ahead", "<i8"),  # how many in a row are, and agree
        ("behind", "<i8"),  # how many in a row are as far behind
    ]
)
_TABLE: Final = np.dtype(
    [
        ("future_ns", "<i8"),
        ("jump_sigmas", "<f8"),
        ("sigma_min", "<f8"),
        ("jump_confirmations", "<i8"),
        ("holes", "<i8"),
        ("restarts", "<i8"),
        ("late", "<i8"),
        # The newest receive stamp, in more than the 32 bits of a TICK: these begin again after 71 minutes.
        ("recv_us", "<i8"),
        ("clocks", _CLOCK, (SERIES,)),
    ]
)
_TIMES_AGREED: Final = 8
_LEARNING: Final = 1 / 64
_SEEN: Final = 64
"""Ids below the highest of which it is known whether they were let in."""
_ONE: Final = np.uint64(1)
_NOTHING: Final = np.uint64(0)
_STAMP: Final = 0xFFFF_FFFF
_BACKWARDS: Final = 1 << 31

# The compiler takes plain integers.
_TABLE_BYTES: Final = _TABLE.itemsize
_ROW_BYTES: Final = _SERIES.itemsize
_ADMITTED, _BEHIND_GAP, _DUPLICATE, _SHADOWED, _FUTURE, _OUTLIER = map(int, Verdict)
_OPEN, _APART, _BROKEN = map(int, Standing)
_QUOTES: Final = int(Series.QUOTES)
_AGGREGATES: Final = int(Series.AGGREGATES)
_QUOTE: Final = int(TickKind.QUOTE)

_table_at: Final = record_at(_TABLE)
_row_at: Final = record_at(_SERIES)
_tick_at: Final = record_at(TICK)


@inlined
def _is_future(clock: Any, future_ns: int, event_ns: int, recv_us: int, final: bool) -> bool:
    """Rule 1: whether the event is too far ahead."""
    if future_ns == 0 or clock.event_ns == 0:
        return False
    now_ns = clock.event_ns + max(0, recv_us - clock.recv_us) * 1000
    if event_ns - now_ns <= future_ns:
        return False
    passed_ns = (recv_us - clock.ahead_us) * 1000
    agrees = abs(event_ns - clock.ahead_ns - passed_ns) <= future_ns
    agreeing = clock.ahead + 1 if agrees else 1
    if final:
        clock.ahead_ns = event_ns
        clock.ahead_us = recv_us
        clock.ahead = agreeing
    return agreeing < _TIMES_AGREED


@inlined
def _move_clock(clock: Any, future_ns: int, event_ns: int, recv_us: int) -> None:
    """Follow an event that is not too far ahead; one that is too far behind, when for long nothing else was heard."""
    clock.ahead = 0
    if clock.event_ns - event_ns <= future_ns:
        clock.behind = 0
        clock.near_us = recv_us
    else:
        clock.behind += 1
    is_back = clock.behind >= _TIMES_AGREED and (recv_us - clock.near_us) * 1000 >= future_ns
    if event_ns > clock.event_ns or is_back:
        clock.event_ns = event_ns
        clock.recv_us = recv_us


@inlined
def _unwrapped(table: Any, recv_us: int) -> int:
    """A receive stamp of 32 bits in its place among all there were: no two that follow each other are half an hour apart."""
    stamp = np.int64(recv_us)
    passed_us = (stamp - table.recv_us) & _STAMP
    if table.recv_us == 0:
        table.recv_us = stamp
    elif passed_us < _BACKWARDS:
        table.recv_us += passed_us
    else:
        return table.recv_us - (_STAMP + 1 - passed_us)  # type: ignore[no-any-return]
    return table.recv_us  # type: ignore[no-any-return]


@inlined
def _is_shadowed(row: Any, number: int) -> bool:
    """Rule 2, for the newcomer: whether its event has to wait for the old connection."""
    if row.standing != _APART:
        return False
    if 0 < number <= row.highest:
        row.standing = _OPEN  # the newcomer is behind: from this id on it has everything
        return False
    if number > 0:
        row.shadow = number
    return True


@inlined
def _was_let_in(row: Any, number: int) -> bool:
    """Rule 3, for an id that is not above the highest: whether it was let in before, as far as that is known."""
    below = row.highest - number
    is_noted = 0 < below <= _SEEN and (row.seen >> np.uint64(below - 1)) & _ONE == _ONE
    return below == 0 or is_noted  # type: ignore[no-any-return]


@inlined
def _remember(row: Any, number: int) -> None:
    """Note an id as let in."""
    above = number - row.highest
    if above > 0:
        first = row.highest > 0
        row.seen = row.seen << np.uint64(above) if above < _SEEN else _NOTHING
        if first and above <= _SEEN:
            row.seen |= _ONE << np.uint64(above - 1)
        row.highest = number
    elif -_SEEN <= above < 0:
        row.seen |= _ONE << np.uint64(-above - 1)


@inlined
def _is_outlier(table: Any, row: Any, price: float, final: bool) -> bool:
    """Rule 4; a price that is none becomes the one that the next is compared with."""
    if table.jump_sigmas <= 0.0:
        return False
    if row.price > 0.0:
        change = max(price / row.price, row.price / price) - 1.0
        sigma = max(np.sqrt(row.variance), table.sigma_min)
        limit = table.jump_sigmas * sigma
        if change > limit:
            agrees = max(price, row.candidate) <= min(price, row.candidate) * (1.0 + limit)
            agreeing = row.agreeing + 1 if agrees else 1
            is_move = agreeing >= table.jump_confirmations
            if final or is_move:
                row.variance += (limit * limit - row.variance) * _LEARNING
                row.candidate = price
                row.agreeing = agreeing
            if not is_move:
                return True
        else:
            row.variance += (change * change - row.variance) * _LEARNING
    row.price = price
    row.agreeing = 0
    return False


@inlined
def _take_id(table: Any, row: Any, series: int, number: int, event_ns: int) -> int:
    """Note an id that is let in; returns the verdict."""
    verdict = _ADMITTED
    highest = row.highest
    if number > 0 and number < highest:
        if event_ns > row.event_ns:
            row.highest = 0
            row.seen = _NOTHING
            table.restarts += 1
            verdict = _BEHIND_GAP
        else:
            table.late += 1
    elif series == _AGGREGATES and highest > 0 and number > highest + 1 and row.standing != _BROKEN:
        table.holes += 1
        verdict = _BEHIND_GAP
    if number > 0:
        _remember(row, number)
    if row.standing == _BROKEN or (row.standing == _APART and 0 < row.shadow <= number):
        row.standing = _OPEN
    row.event_ns = max(row.event_ns, event_ns)
    return verdict


@compiled("int64(int64, int64, int64, int64, boolean, boolean)")
def admit(
    table: int, tick_at: int, series: int, number: int, is_newcomer: bool, final: bool
) -> int:
    """Decide about one tick.

    Args:
        table: the address of an `Admission`.
        tick_at: the address of a TICK that is sound by itself.
        series: its `Series`.
        number: its id, above 0; 0 for none.
        is_newcomer: whether it came by a connection that is to replace another.
        final: False if another call follows where the verdict is FUTURE or OUTLIER.

    Returns:
        A `Verdict`.
    """
    head, tick = _table_at(table), _tick_at(tick_at)
    row = _row_at(table + _TABLE_BYTES + (tick.symbol * SERIES + series) * _ROW_BYTES)
    clock, future_ns = head.clocks[series], head.future_ns
    recv_us = _unwrapped(head, tick.recv_us)
    if _is_future(clock, future_ns, tick.event_ns, recv_us, final):
        return _FUTURE
    if is_newcomer and _is_shadowed(row, number):
        return _SHADOWED
    is_over = False
    if 0 < number <= row.highest:
        is_lost = series == _QUOTES or row.highest - number > _SEEN
        is_over = _was_let_in(row, number) or (is_lost and tick.event_ns <= row.event_ns)
    verdict = _DUPLICATE if is_over else _ADMITTED
    price = (tick.bid + tick.ask) / 2 if tick.kind == _QUOTE else tick.bid
    if verdict == _ADMITTED and _is_outlier(head, row, price, final):
        verdict = _OUTLIER
    if final or verdict != _OUTLIER:
        row.heard += not is_newcomer
        _move_clock(clock, future_ns, tick.event_ns, recv_us)
    if verdict == _ADMITTED:
        verdict = _take_id(head, row, series, number, tick.event_ns)
    return verdict


_admit: Final = entry_point(admit)


@attrs.frozen
class AdmissionRules:
    """What is let in; a number of 0 turns its rule off."""

    future_ms: int = 10_000
    """How far an event may be ahead of exchange time."""
    jump_sigmas: float = 20.0
    """How far a price may be from the one before, in standard deviations."""
    sigma_min: float = 5e-4
    """The least standard deviation, relative to the price."""
    jump_confirmations: int = 3
    """Prices in a row that make a new level."""


class Admission:
    """The table of a run, shared by all its connections.

    Args:
        symbols: how many; a TICK's `symbol` indexes them.
        rules: as they are configured.
    """

    def __init__(self, symbols: int, rules: AdmissionRules | None = None) -> None:
        rules = rules or AdmissionRules()
        size = _TABLE_BYTES + symbols * SERIES * _ROW_BYTES
        self._bytes: Final = np.zeros(size, np.uint8)
        head = self._bytes[:_TABLE_BYTES].view(_TABLE)
        head["future_ns"] = rules.future_ms * 1_000_000
        for name in ("jump_sigmas", "sigma_min", "jump_confirmations"):
            head[name] = getattr(rules, name)
        self._head: Final[npt.NDArray[np.void]] = head
        self.rows: Final[npt.NDArray[np.void]] = self._bytes[_TABLE_BYTES:].view(_SERIES)
        """A record a series; those of one symbol stand together, in the order of `Series`."""
        self.address: Final = int(self._bytes.ctypes.data)

    def admit(self, tick: npt.NDArray[np.void], series: Series, number: int, newcomer: bool) -> int:
        """Decide about the tick in an array of one, for good; see `admit` above."""
        return _admit(self.address, int(tick.ctypes.data), int(series), number, newcomer, True)

    def part(self, rows: npt.NDArray[np.int64]) -> None:
        """Two connections bring these series from now on."""
        self.rows["standing"][rows] = Standing.APART
        self.rows["shadow"][rows] = 0

    def parted(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of them in which the newcomer is heard, and the old connection is still behind it."""
        some = self.rows[rows]
        found: npt.NDArray[np.int64] = rows[
            (some["standing"] == Standing.APART) & (some["shadow"] > 0)
        ]
        return found

    def join(self, rows: npt.NDArray[np.int64]) -> None:
        """One connection brings these series from now on, and nothing is missing."""
        standing = self.rows["standing"]
        standing[rows[standing[rows] == Standing.APART]] = Standing.OPEN

    def break_off(self, rows: npt.NDArray[np.int64]) -> None:
        """Something may be missing in these series from here on; the caller has said so by a GAP."""
        self.rows["standing"][rows] = Standing.BROKEN

    @property
    def holes(self) -> int:
        """Ids of aggTrade that were skipped inside a connection."""
        return int(self._head["holes"][0])

    @property
    def restarts(self) -> int:
        """Series whose ids began anew."""
        return int(self._head["restarts"][0])

    @property
    def late(self) -> int:
        """Ticks that came behind one with a higher id."""
        return int(self._head["late"][0])
