"""The rules by which ticks are let in, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.market.records import TICK, TickKind
from aegis.venue.admission import (
    Admission,
    AdmissionRules,
    Series,
    Standing,
    Verdict,
    admit,
)

ROWS = np.array([Series.AGGREGATES])
START_MS = 1_616_202_000_000


class Table:
    """An admission of one symbol, and a tick to ask it about."""

    def __init__(self, rules: AdmissionRules | None = None) -> None:
        self.admission = Admission(1, rules)
        self._tick = np.zeros(1, TICK)

    def ask(
        self,
        number: int,
        at_ms: int = 0,
        price: float = 100.0,
        *,
        newcomer: bool = False,
        series: Series = Series.AGGREGATES,
        recv_us: int = 0,
    ) -> Verdict:
        kind = TickKind.QUOTE if series is Series.QUOTES else TickKind.TRADE
        tick = self._tick
        tick["event_ns"], tick["kind"] = (START_MS + at_ms) * 1_000_000, kind
        tick["bid"] = tick["ask"] = price
        tick["recv_us"] = recv_us & 0xFFFFFFFF
        return Verdict(self.admission.admit(tick, series, number, newcomer))


# ---- ids


def test_ids_are_let_in_once() -> None:
    """What was seen is a duplicate, by whatever connection it comes again."""
    table = Table()
    assert [table.ask(number) for number in (5, 6, 7, 6, 7, 5)] == [
        *[Verdict.ADMITTED] * 3,
        *[Verdict.DUPLICATE] * 3,
    ]


def test_ids_that_are_skipped_leave_a_gap() -> None:
    """The aggTrade that did not come is told of before the next one; other ids need not be contiguous."""
    table = Table()
    assert [table.ask(number) for number in (5, 7, 8)] == [
        Verdict.ADMITTED,
        Verdict.BEHIND_GAP,
        Verdict.ADMITTED,
    ]
    assert table.admission.holes == 1
    for series in (Series.QUOTES, Series.TRADES):
        assert [table.ask(n, series=series) for n in (5, 70)] == [Verdict.ADMITTED] * 2


def test_ids_that_went_the_slow_way_are_let_in_late() -> None:
    """A tick that was not seen is no duplicate because a later one was faster; it is let in once."""
    table = Table()
    table.ask(5)
    assert table.ask(7, 10) is Verdict.BEHIND_GAP
    assert [table.ask(6, 5) for _ in range(2)] == [Verdict.ADMITTED, Verdict.DUPLICATE]
    assert table.admission.late == 1
    assert table.ask(8, 20) is Verdict.ADMITTED


def test_an_id_is_let_in_late_behind_dozens_of_others() -> None:
    """As many trades may be in one read: the first of them went the slow way, and is no duplicate."""
    table = Table()
    trades = Series.TRADES
    for number in (4, *range(6, 69)):
        assert table.ask(number, series=trades) is Verdict.ADMITTED
    assert table.ask(5, series=trades) is Verdict.ADMITTED
    assert all(table.ask(number, series=trades) is Verdict.DUPLICATE for number in range(4, 69))


def test_an_id_that_was_seen_is_a_duplicate_at_whatever_time() -> None:
    """A repetition with another time is one, and no new count."""
    table = Table()
    for number in (5, 6, 7):
        table.ask(number, number)
    assert [table.ask(number, 100) for number in (7, 6, 5)] == [Verdict.DUPLICATE] * 3


def test_a_quote_that_went_the_slow_way_undoes_no_newer_one() -> None:
    """The newest quote is the truth: one from before it would be a price of the past, and could fire a stop."""
    table = Table()
    for number in (10, 12):
        assert table.ask(number, number, series=Series.QUOTES) is Verdict.ADMITTED
    assert table.ask(11, 11, series=Series.QUOTES) is Verdict.DUPLICATE
    assert table.ask(3, 2000, series=Series.QUOTES) is Verdict.BEHIND_GAP  # begun anew


def test_ids_that_begin_anew_do_not_silence_a_series() -> None:
    """A lower id with a newer time than all before is a new count, not a repetition: let in, behind a GAP."""
    table = Table()
    for number in range(1000, 1010):
        table.ask(number, number)
    assert table.ask(3, 500) is Verdict.DUPLICATE  # old in both
    assert table.ask(3, 2000) is Verdict.BEHIND_GAP
    assert [table.ask(n, 2000 + n) for n in (4, 5, 5)] == [
        Verdict.ADMITTED,
        Verdict.ADMITTED,
        Verdict.DUPLICATE,
    ]
    assert table.admission.restarts == 1


def test_an_absurd_id_does_not_silence_a_series() -> None:
    """One id beyond all others costs one GAP: the ones that follow it count as begun anew."""
    table = Table()
    table.ask(5, 0)
    table.ask(1 << 60, 1)
    assert table.ask(7, 2) is Verdict.BEHIND_GAP
    assert table.ask(8, 3) is Verdict.ADMITTED


def test_ids_may_be_any_after_a_break() -> None:
    """What was missed was told of when the socket broke, so it is not told of again; a repetition still is one."""
    table = Table()
    table.ask(5)
    table.admission.break_off(ROWS)
    assert table.ask(5) is Verdict.DUPLICATE
    assert table.ask(90, 1) is Verdict.ADMITTED
    assert table.ask(92, 2) is Verdict.BEHIND_GAP


def test_ticks_without_an_id_are_let_in() -> None:
    """A series that names no ids cannot be told apart, and is not silenced."""
    table = Table()
    assert [table.ask(0, n) for n in range(3)] == [Verdict.ADMITTED] * 3


# ---- two connections


@given(st.integers(0, 30), st.integers(1, 60), st.data())
def test_handover_loses_nothing_and_repeats_nothing(
    first: int, count: int, data: st.DataObject
) -> None:
    """However the two connections interleave, every id is let in once and in order, and without a GAP."""
    table = Table()
    table.admission.part(ROWS)
    old, new = list(range(1, count + 1)), list(range(1 + first, count + 1))
    let_in: list[int] = []
    while old or (new and not table.admission.parted(ROWS).size):
        takes_new = bool(new) and (not old or data.draw(st.booleans()))
        number = new.pop(0) if takes_new else old.pop(0)
        verdict = table.ask(number, number, newcomer=takes_new)
        assert verdict is not Verdict.BEHIND_GAP
        if verdict is Verdict.ADMITTED:
            let_in.append(number)
    assert not table.admission.parted(
        ROWS
    ).size  # the old one has brought all that the newcomer has
    table.admission.join(ROWS)
    let_in += [n for n in (*new, count + 1) if table.ask(n, n) is Verdict.ADMITTED]
    assert let_in == list(range(1, count + 2))


def test_handover_waits_for_the_one_that_is_behind() -> None:
    """A newcomer that is ahead is held back: only the old connection can bring what lies between."""
    table = Table()
    table.ask(5)
    table.admission.part(ROWS)
    assert table.ask(8, newcomer=True) is Verdict.SHADOWED
    assert table.admission.parted(ROWS).tolist() == ROWS.tolist()
    assert [table.ask(n) for n in (6, 7, 8)] == [Verdict.ADMITTED] * 3
    assert not table.admission.parted(ROWS).size
    assert table.ask(9, newcomer=True) is Verdict.ADMITTED
    assert table.ask(9) is Verdict.DUPLICATE


def test_handover_needs_nothing_of_a_quiet_series() -> None:
    """What neither connection has brought since cannot be missing."""
    table = Table()
    table.ask(5)
    table.admission.part(ROWS)
    assert not table.admission.parted(ROWS).size
    table.admission.join(ROWS)
    assert table.ask(6) is Verdict.ADMITTED
    assert table.admission.rows["standing"][ROWS].tolist() == [Standing.OPEN]


# ---- time


def test_time_is_the_exchange_s_own() -> None:
    """An event is of the future beside other events, whatever the wall clock says: years ago, here."""
    table = Table()
    assert table.ask(1, 0) is Verdict.ADMITTED
    assert table.ask(2, 10_001) is Verdict.FUTURE
    assert table.ask(2, 10_000) is Verdict.ADMITTED
    assert table.ask(3, 20_000) is Verdict.ADMITTED


def test_time_passes_in_silence_too() -> None:
    """After a minute without an event the next one is a minute later, and no surprise."""
    table = Table()
    table.ask(1, 0, recv_us=0xFFFF_FFF0)
    assert table.ask(2, 60_000, recv_us=0xFFFF_FFF0 + 1_000_000) is Verdict.FUTURE
    assert table.ask(2, 60_000, recv_us=0xFFFF_FFF0 + 55_000_000) is Verdict.ADMITTED


def test_time_that_really_jumped_is_believed() -> None:
    """Eight events in a row that agree with each other cannot all be wrong."""
    table = Table()
    table.ask(1, 0)
    verdicts = [table.ask(1 + n, 86_400_000 + n) for n in range(1, 10)]
    assert verdicts[:7] == [Verdict.FUTURE] * 7
    assert Verdict.FUTURE not in verdicts[7:]


def test_time_that_was_wrong_at_first_is_found_out() -> None:
    """A first event of the next century does not open the door to all of them for ever."""
    table = Table()
    table.ask(1, 10**12)
    for number in range(2, 20):
        at_ms = number * 1000
        assert table.ask(number, at_ms, recv_us=at_ms * 1000) is not Verdict.FUTURE
    assert table.ask(20, 10**12, recv_us=20_000_000) is Verdict.FUTURE


def test_a_connection_that_lags_does_not_keep_another_from_being_heard() -> None:
    """A clock that followed the one that is late would find what is current far ahead of it."""
    table = Table()
    table.ask(0, 59_000, recv_us=59_000_000)
    for second in range(300):
        now_ms = 60_000 + second * 1000
        for late in range(10):
            table.ask(0, now_ms - 12_000 + late, recv_us=now_ms * 1000 + late)
        assert table.ask(0, now_ms, recv_us=now_ms * 1000 + 20) is Verdict.ADMITTED


@pytest.mark.parametrize("quiet_min", [36, 70, 72, 600])
def test_a_kind_that_was_quiet_for_long_is_let_in_again(quiet_min: int) -> None:
    """Receive stamps begin again after 71 minutes; what else is heard meanwhile tells how often they did."""
    table, us = Table(), 60_000_000
    table.ask(1, 0)
    for minute in range(quiet_min):
        table.ask(0, minute * 60_000, series=Series.MARKS, recv_us=minute * us)
    assert table.ask(2, quiet_min * 60_000, recv_us=quiet_min * us) is Verdict.ADMITTED


def test_slow_events_that_are_ahead_agree_with_what_passes_between_them() -> None:
    """A trade every quarter of a minute: they are no nearer to each other, and the clock moves all the same."""
    table = Table()
    table.ask(1, 0)
    verdicts = [
        table.ask(number, 3_600_000 + number * 15_000, recv_us=number * 15_000_000)
        for number in range(2, 12)
    ]
    assert verdicts == [Verdict.FUTURE] * 7 + [Verdict.BEHIND_GAP] + [Verdict.ADMITTED] * 2


# ---- prices


def test_price_far_from_the_last_is_kept_out() -> None:
    """One that nobody confirms reaches nobody, in either direction."""
    for absurd in (1000.0, 10.0, 1e-9):
        table = Table()
        table.ask(1)
        assert table.ask(2, 1, absurd) is Verdict.OUTLIER
        assert table.ask(2, 2, 100.01) is Verdict.ADMITTED


def test_price_that_moved_is_let_in_when_it_is_confirmed() -> None:
    """A crash is real when the next two agree with it, and from there on it is the level."""
    table = Table()
    table.ask(1)
    assert [table.ask(1 + n, n, 60.0) for n in (1, 2)] == [Verdict.OUTLIER] * 2
    assert table.ask(4, 3, 60.01) is Verdict.BEHIND_GAP  # two trades were kept out
    assert table.ask(5, 4, 60.02) is Verdict.ADMITTED
    assert table.ask(6, 5, 100.0) is Verdict.OUTLIER


def test_prices_of_a_wild_market_are_let_in() -> None:
    """A market that jumps to and fro by two percent is one, after a few ticks: the deviation follows it."""
    table = Table(AdmissionRules(jump_sigmas=20.0, sigma_min=5e-4))
    verdicts = [
        table.ask(n, n, 100.0 if n % 2 else 102.0, series=Series.QUOTES) for n in range(1, 40)
    ]
    assert Verdict.OUTLIER in verdicts
    assert Verdict.OUTLIER not in verdicts[10:]


def test_prices_are_compared_within_a_series() -> None:
    """Quotes say nothing about marks: an illiquid contract may trade far from its index."""
    table = Table()
    table.ask(1, 0, 100.0, series=Series.QUOTES)
    assert table.ask(1, 0, 150.0, series=Series.MARKS) is Verdict.ADMITTED


@pytest.mark.parametrize("final", [False, True])
def test_a_verdict_that_is_not_final_changes_nothing(final: bool) -> None:
    """The lane may ask about what it then leaves: the slow path finds the table as it was."""
    table = Table()
    table.ask(1)
    before = table.admission.rows.tobytes()
    tick = np.zeros(1, TICK)
    tick["event_ns"], tick["kind"] = START_MS * 1_000_000, TickKind.TRADE
    tick["bid"] = tick["ask"] = 1000.0
    address = int(tick.ctypes.data)
    verdict = admit(table.admission.address, address, int(Series.AGGREGATES), 2, False, final)
    assert verdict == Verdict.OUTLIER
    assert (table.admission.rows.tobytes() == before) is not final


def test_rules_can_be_turned_off() -> None:
    """A number of 0 lets everything in that the ids let in."""
    table = Table(AdmissionRules(future_ms=0, jump_sigmas=0.0))
    assert table.ask(1) is Verdict.ADMITTED
    assert table.ask(2, 10**11, 1e9) is Verdict.ADMITTED
