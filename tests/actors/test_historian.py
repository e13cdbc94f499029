"""The Historian between an exchange that the test scripts and a Brain that a probe stands for, on virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import trio
from trio.testing import MockClock

from aegis.actors.feed import FeedReport
from aegis.actors.historian import (
    AT_ONCE,
    GRACE_MS,
    MARGIN_MS,
    TRIES,
    Historian,
    HistorianReport,
)
from aegis.errors import Refused, Unavailable
from aegis.kernel import Actor, ActorRef, Priority, message, on
from aegis.kernel.kit import Kit, open_kit
from aegis.kernel.receipt import Reply
from aegis.market.bars import BAR, FLAG_BROKEN
from aegis.messages import BeginBars, PastBars, Report

MINUTE_MS = 60_000
EXCHANGE_MS = 1_700_000_000_000 - 1_700_000_000_000 % MINUTE_MS + 20_000
"""When the test begins: twenty seconds into a minute."""
CANDLES = 5


@attrs.define
class ScriptedExchange:
    """Has a candle for every minute of every symbol; fails where it is told to."""

    kit: Kit
    fault: Callable[[str], Exception | None] = lambda _: None
    ahead_ms: int = 0
    delay_s: float = 0.01
    asked: list[tuple[str, int]] = attrs.Factory(list)

    def exchange_ms(self) -> int:
        return EXCHANGE_MS + self.ahead_ms + self.kit.system.clock.monotonic_ns() // 1_000_000

    async def klines(self, symbol: str, interval_ms: int, limit: int) -> npt.NDArray[np.void]:
        self.asked.append((symbol, limit))
        await trio.sleep(self.delay_s)
        if fault := self.fault(symbol):
            raise fault
        end_ms = self.exchange_ms() - self.exchange_ms() % interval_ms
        bars = np.zeros(limit, BAR)
        bars["start_ns"] = (end_ms - interval_ms * np.arange(limit, 0, -1)) * 1_000_000
        bars["known_ns"] = bars["start_ns"] + interval_ms * 1_000_000
        return bars


@message(Priority.BACKGROUND)
class Subscribed:
    """To the Feed of the test."""


class ScriptedFeed(Actor):
    """Is subscribed once the test says so."""

    def __init__(self) -> None:
        self._subscribed = False

    @on(Subscribed)
    async def subscribe(self, _: Subscribed) -> None:
        self._subscribed = True

    @on(Report)
    async def report(self, _: Report) -> FeedReport:
        return FeedReport(subscribed=self._subscribed)


class Notebook(Actor):
    """Stands for the Brain: writes down what it is told, and takes candles as soon as it is let."""

    def __init__(self, notes: list[object], may_take: trio.Event) -> None:
        self._notes = notes
        self._may_take = may_take

    @on(PastBars)
    async def take(self, past: PastBars) -> None:
        self._notes.append(past)
        assert past.taken is not None
        self.ctx.start_soon(self._answer, past.taken)

    async def _answer(self, taken: Reply) -> None:
        await self._may_take.wait()
        taken.done(None)

    @on(BeginBars)
    async def note(self, said: BeginBars) -> None:
        self._notes.append(said)


@attrs.define
class Stage:
    kit: Kit
    exchange: ScriptedExchange
    feed: ActorRef
    historian: ActorRef
    notes: list[object]
    may_take: trio.Event

    def starts_ms(self, symbol: str) -> list[int]:
        """When the candles begin that the Brain was given."""
        past = [each for each in self.notes if isinstance(each, PastBars) and each.symbol == symbol]
        return [int(start) // 1_000_000 for each in past for start in each.bars["start_ns"]]

    def begin_ms(self) -> int:
        (begin,) = (each for each in self.notes if isinstance(each, BeginBars))
        return begin.begin_ns // 1_000_000


@asynccontextmanager
async def open_stage(
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"),
    fault: Callable[[str], Exception | None] = lambda _: None,
    *,
    candles: int = CANDLES,
    ahead_ms: int = 0,
    is_busy: bool = False,
) -> AsyncIterator[Stage]:
    async with open_kit() as kit:
        notes: list[object] = []
        may_take = trio.Event()
        if not is_busy:
            may_take.set()
        exchange = ScriptedExchange(kit, fault, ahead_ms)
        feed = await kit.spawn(ScriptedFeed)
        brain = await kit.spawn(Notebook, notes, may_take)
        historian = await kit.spawn(Historian, exchange, feed, brain, symbols, MINUTE_MS, candles)
        yield Stage(kit, exchange, feed, historian, notes, may_take)


async def report_of(stage: Stage) -> HistorianReport:
    answers: list[HistorianReport] = []

    async def ask() -> None:
        answers.append(await stage.historian.ask(Report(), timeout=5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await stage.kit.settle()
    return answers[0]


@pytest.mark.parametrize("subscribed_after_s", [0, 15, 39.5, 70])
async def test_candles_run_up_to_where_bars_begin(
    mock_clock: MockClock, subscribed_after_s: float
) -> None:
    """Whenever the streams stand, the candles end where the first bar made of ticks begins, without hole or overlap."""
    async with open_stage() as stage:
        await stage.kit.advance(subscribed_after_s)
        early = stage.starts_ms("BTCUSDT")
        assert len(early) == (CANDLES if subscribed_after_s else 0)
        stage.feed.tell(Subscribed())
        await stage.kit.advance(150)
        begin_ms = stage.begin_ms()
        assert begin_ms % MINUTE_MS == 0
        assert begin_ms > EXCHANGE_MS + 1000 * subscribed_after_s + MARGIN_MS
        for symbol in ("BTCUSDT", "ETHUSDT"):
            starts = stage.starts_ms(symbol)
            assert starts == list(range(starts[0], begin_ms, MINUTE_MS))
            assert len(starts) > CANDLES
        report = await report_of(stage)
        assert (report.missing, report.joined) == ((), True)
        assert report.candles == sum(len(stage.starts_ms(s)) for s in ("BTCUSDT", "ETHUSDT"))


async def test_bars_begin_before_the_last_candle_is_asked_for(mock_clock: MockClock) -> None:
    """The Brain is told where its bars begin while that is ahead; the candle before comes when it has closed."""
    async with open_stage() as stage:
        stage.feed.tell(Subscribed())
        await stage.kit.advance(1)
        begin_ms = stage.begin_ms()
        assert begin_ms > stage.exchange.exchange_ms()
        assert stage.starts_ms("BTCUSDT")[-1] < begin_ms - MINUTE_MS
        await stage.kit.advance((begin_ms + GRACE_MS - 100 - stage.exchange.exchange_ms()) / 1000)
        assert stage.starts_ms("BTCUSDT")[-1] < begin_ms - MINUTE_MS
        await stage.kit.advance(1)
        assert stage.starts_ms("BTCUSDT")[-1] == begin_ms - MINUTE_MS


async def test_candles_are_asked_for_again(mock_clock: MockClock) -> None:
    """An exchange that could not be asked once costs nothing but the time."""
    asked: list[str] = []

    def fault(symbol: str) -> Exception | None:
        asked.append(symbol)
        return Unavailable("no") if len(asked) <= TRIES - 1 else None

    async with open_stage(("BTCUSDT",), fault) as stage:
        stage.feed.tell(Subscribed())
        await stage.kit.advance(200)
        starts = stage.starts_ms("BTCUSDT")
        assert starts == list(range(starts[0], stage.begin_ms(), MINUTE_MS))


@pytest.mark.parametrize("fault", [Unavailable("no"), Refused("no such symbol")])
async def test_symbol_without_candles_begins_with_a_broken_bar(
    mock_clock: MockClock, fault: Exception
) -> None:
    """What cannot be had is said: the Brain trades on no bar of it that may miss something, and the others go on."""
    broken = "ETHUSDT"
    async with open_stage(fault=lambda symbol: fault if symbol == broken else None) as stage:
        stage.feed.tell(Subscribed())
        await stage.kit.advance(300)
        said = [each for each in stage.notes if isinstance(each, PastBars)]
        assert [each.symbol for each in said if not each.complete] == [broken]
        assert stage.starts_ms(broken) == []
        assert stage.starts_ms("BTCUSDT")
        assert (await report_of(stage)).missing == (broken,)


async def test_many_symbols_are_all_asked_for(mock_clock: MockClock) -> None:
    """More symbols than requests at once: each is asked for twice, with no more candles than are missing."""
    symbols = tuple(f"COIN{number}USDT" for number in range(30))
    async with open_stage(symbols) as stage:
        stage.feed.tell(Subscribed())
        await stage.kit.advance(150)
        assert sorted(stage.exchange.asked) == sorted(
            (symbol, limit) for symbol in symbols for limit in (1, CANDLES)
        )


async def test_candles_are_brought_no_faster_than_they_are_taken(mock_clock: MockClock) -> None:
    """A Brain whose strategies are busy is not buried: it has those of a few symbols, and bars begin after all were taken."""
    symbols = tuple(f"COIN{number}USDT" for number in range(30))
    async with open_stage(symbols, is_busy=True) as stage:
        stage.feed.tell(Subscribed())
        await stage.kit.advance(100)
        assert len(stage.notes) == len(stage.exchange.asked) == AT_ONCE
        assert (await report_of(stage)).candles == 0
        stage.may_take.set()
        await stage.kit.advance(1)
        assert [stage.starts_ms(symbol) == [] for symbol in symbols] == [False] * len(symbols)
        assert stage.begin_ms() > EXCHANGE_MS + 100_000


async def test_more_candles_than_wanted_are_brought_where_more_are_left_out(
    mock_clock: MockClock,
) -> None:
    """Two minutes pass before bars begin, and both are brought, though only one candle of before was wanted."""
    async with open_stage(("BTCUSDT",), candles=1) as stage:
        await stage.kit.advance(39.5)
        stage.feed.tell(Subscribed())
        await stage.kit.advance(150)
        begin_ms = stage.begin_ms()
        assert stage.starts_ms("BTCUSDT") == list(
            range(begin_ms - 3 * MINUTE_MS, begin_ms, MINUTE_MS)
        )


async def test_candle_that_has_just_closed_is_brought_later(mock_clock: MockClock) -> None:
    """The exchange closes a candle up to two seconds late: one that ended a second ago may still change."""
    async with open_stage(("BTCUSDT",), ahead_ms=MINUTE_MS - 20_000 + 1_000) as stage:
        minute_ms = EXCHANGE_MS - 20_000 + MINUTE_MS
        await stage.kit.advance(1)
        assert stage.starts_ms("BTCUSDT")[-1] == minute_ms - 2 * MINUTE_MS
        stage.feed.tell(Subscribed())
        await stage.kit.advance(150)
        starts = stage.starts_ms("BTCUSDT")
        assert starts == list(range(starts[0], stage.begin_ms(), MINUTE_MS))
        assert len(starts) == CANDLES - 1 + 2


async def test_candles_that_come_late_are_said_to_be_missing(mock_clock: MockClock) -> None:
    """The first bar of ticks is over when they come: the next one is broken, and none that is made of ticks is brought."""
    async with open_stage(("BTCUSDT",)) as stage:
        await stage.kit.advance(1)
        stage.exchange.delay_s = 70.0
        stage.feed.tell(Subscribed())
        await stage.kit.advance(200)
        assert stage.starts_ms("BTCUSDT")[-1] < stage.begin_ms()
        assert [each.complete for each in stage.notes if isinstance(each, PastBars)][-1] is False
        assert (await report_of(stage)).missing == ("BTCUSDT",)


async def test_hole_that_is_longer_than_an_answer_is_marked(mock_clock: MockClock) -> None:
    """More minutes pass before bars begin than may be asked for at once: the candle behind the hole is broken, and no other."""
    async with open_stage(("BTCUSDT",), is_busy=True) as stage:
        await stage.kit.advance(1600 * 60)
        stage.may_take.set()
        stage.feed.tell(Subscribed())
        await stage.kit.advance(150)
        _, late = (each.bars for each in stage.notes if isinstance(each, PastBars))
        assert late["known_ns"][-1] == stage.begin_ms() * 1_000_000
        assert late["flags"].tolist() == [FLAG_BROKEN] + [0] * (len(late) - 1)
