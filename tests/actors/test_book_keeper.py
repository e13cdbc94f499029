"""The keeper of order books against an exchange that a test writes by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from aegis.actors.book_keeper import BookKeeper
from aegis.errors import Refused, Unavailable
from aegis.kernel.clock import ManualClock
from aegis.market.book import LEVEL
from aegis.venue.binance_market import DepthUpdate
from aegis.venue.book_sync import Phase
from aegis.venue.depth_books import DepthBooks
from aegis.venue.depth_codec import DepthSnapshot, Levels
from aegis.venue.depth_snapshots import LIMIT, DepthSnapshots

STREAM = "btcusdt@depth@100ms"


def levels(*rows: tuple[float, float]) -> Levels:
    return np.array([(round(price * 1e8), quantity) for price, quantity in rows], LEVEL)


def snapshot(update_id: int, *, count: int = 2) -> DepthSnapshot:
    """A book around 100, with so many levels a side: a thousand are all that a snapshot has room for."""
    steps = range(1, count + 1)
    bids = levels(*((100.0 - step / 100, 1.0) for step in steps))
    asks = levels(*((100.0 + step / 100, 1.0) for step in steps))
    return DepthSnapshot(update_id, update_id, bids, asks, LIMIT)


def change(
    previous_id: int, last_id: int, *bids: list[str], symbol: str = "BTCUSDT"
) -> DepthUpdate:
    return DepthUpdate(
        s=symbol, U=last_id, u=last_id, pu=previous_id, T=last_id, b=list(bids), a=[]
    )


class Exchange:
    """Answers one question at a time, when the test says so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers, self.answer = trio.open_memory_channel[DepthSnapshot | Exception](10)[::-1]

    async def budget(self) -> None:
        """There is always some."""

    async def fetch(self, symbol: str) -> DepthSnapshot:
        self.asked.append(symbol)
        answer = await self._answers.receive()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Desk:
    """A keeper of two books at work."""

    def __init__(self) -> None:
        self.exchange = Exchange()
        self.books = DepthBooks(np.zeros(2, np.int64))
        self.keeper = BookKeeper(self.books, ("BTCUSDT", "ETHUSDT"), self.exchange)

    @property
    def phase(self) -> Phase:
        return self.keeper.phase("BTCUSDT")

    @property
    def is_valid(self) -> bool:
        return bool(self.books.memory["top"]["valid"][0])

    @property
    def update_id(self) -> int:
        return int(self.books.memory["top"]["update_id"][0])

    async def answer(self, answer: DepthSnapshot | Exception) -> None:
        await self.exchange.answer.send(answer)
        await settle()

    async def live(self, update_id: int = 10, *, count: int = 2) -> None:
        """Bring the first book into step: its last change ends at `update_id`."""
        self.keeper.take(change(update_id - 5, update_id))
        await settle()
        await self.answer(snapshot(update_id - 2, count=count))
        assert self.phase is Phase.LIVE
        assert (self.is_valid, self.update_id) == (True, update_id)


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.keeper.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_changes_are_kept_until_the_snapshot_is_there(
    autojump_clock: MockClock, desk: Desk
) -> None:
    """The question comes after the first change; what is behind the snapshot is made, what is before it is not."""
    assert desk.exchange.asked == []
    desk.keeper.take(change(1, 5, ["99.99", "7"]))
    await settle()
    assert desk.exchange.asked == ["BTCUSDT"]
    desk.keeper.take(change(5, 8, ["99.98", "8"]))
    desk.keeper.take(change(8, 12, ["99.97", "9"]))
    assert not desk.is_valid
    await desk.answer(snapshot(7))
    assert (desk.is_valid, desk.update_id) == (True, 12)
    row = desk.books.memory["top"][0]["bids"]
    assert row["quantity"][:3].tolist() == [1.0, 8.0, 9.0]


async def test_snapshot_that_is_ahead_waits_for_its_change(
    autojump_clock: MockClock, desk: Desk
) -> None:
    """As long as all that came is older, nothing of it shows; the change that the snapshot ends in makes it valid."""
    desk.keeper.take(change(1, 5))
    await settle()
    await desk.answer(snapshot(9))
    assert (desk.phase, desk.is_valid) == (Phase.JOINING, False)
    desk.keeper.take(change(5, 8))
    assert not desk.is_valid
    desk.keeper.take(change(8, 12))
    assert (desk.is_valid, desk.update_id) == (True, 12)
    assert desk.exchange.asked == ["BTCUSDT"]


@pytest.mark.parametrize("answer", [snapshot(3), Unavailable("busy"), Refused("nonsense")])
async def test_answer_that_does_not_help_is_asked_for_again(
    autojump_clock: MockClock, desk: Desk, answer: Any
) -> None:
    """A snapshot that ends before all that came, and none at all: after a while, and each time a longer one."""
    desk.keeper.take(change(5, 8))
    delays: list[float] = []
    for _ in range(4):
        began = trio.current_time()
        while len(desk.exchange.asked) == len(delays):
            await trio.sleep(0.01)
        delays.append(trio.current_time() - began)
        await desk.answer(answer)
        assert not desk.is_valid
    assert delays[0] < 0.1 <= delays[1]
    assert delays[3] > 2 * delays[1]
    await trio.sleep(10)
    await desk.answer(snapshot(6))
    assert desk.is_valid


async def test_gap_breaks_and_heals(autojump_clock: MockClock, desk: Desk) -> None:
    """The change that shows the gap is the first of those that are kept for the next snapshot."""
    await desk.live(10)
    desk.keeper.take(change(11, 14, ["99.5", "5"]))
    assert (desk.phase, desk.is_valid) == (Phase.BROKEN, False)
    await trio.sleep(1)
    await desk.answer(snapshot(12))
    assert (desk.is_valid, desk.update_id) == (True, 14)
    figures = desk.keeper.figures()
    assert (figures.resyncs, figures.mismatches, figures.snapshots) == (1, 0, 2)


async def test_crossed_book_breaks(autojump_clock: MockClock, desk: Desk) -> None:
    """A bid above the best ask is no market: the book is not shown, and asked for anew."""
    await desk.live(10)
    desk.keeper.take(change(10, 14, ["100.5", "5"]))
    assert (desk.phase, desk.is_valid) == (Phase.BROKEN, False)
    desk.keeper.take(change(14, 18))
    await trio.sleep(1)
    await desk.answer(snapshot(15))
    assert (desk.is_valid, desk.update_id) == (True, 18)


async def test_repeated_changes_mean_nothing(autojump_clock: MockClock, desk: Desk) -> None:
    """As two connections bring them while one replaces the other."""
    await desk.live(10)
    desk.keeper.take(change(5, 10, ["99.99", "77"]))
    assert (desk.phase, desk.is_valid, desk.update_id) == (Phase.LIVE, True, 10)
    assert desk.books.memory["top"]["bids"]["quantity"][0, 0] == 1.0


async def test_newcomer_that_is_ahead_breaks_nothing(autojump_clock: MockClock, desk: Desk) -> None:
    """What it brings early has its place behind what the connection in charge still brings, or brings no more."""
    await desk.live(10)
    desk.keeper.take(change(14, 18, ["99.95", "2"]), is_newcomer=True)
    desk.keeper.take(change(18, 20, ["99.94", "3"]), is_newcomer=True)
    assert (desk.phase, desk.update_id) == (Phase.LIVE, 10)
    desk.keeper.take(change(10, 14))
    desk.keeper.take(change(20, 25))  # the newcomer is in charge by now
    assert (desk.phase, desk.is_valid, desk.update_id) == (Phase.LIVE, True, 25)
    assert desk.books.memory["top"]["bids"]["quantity"][0, :4].tolist() == [1.0, 1.0, 2.0, 3.0]
    desk.keeper.take(change(26, 30))
    assert desk.phase is Phase.BROKEN


async def test_lost_connection_hides_the_book(autojump_clock: MockClock, desk: Desk) -> None:
    """If the first change of the next connection follows, nothing was missed and no snapshot is needed."""
    await desk.live(10)
    desk.keeper.cut([STREAM, "btcusdt@bookTicker", "nobody@depth"])
    assert (desk.phase, desk.is_valid) == (Phase.PAUSED, False)
    desk.keeper.take(change(10, 12))
    assert (desk.phase, desk.is_valid) == (Phase.LIVE, True)
    desk.keeper.cut([STREAM])
    desk.keeper.cut([STREAM])
    desk.keeper.take(change(13, 15))
    assert (desk.phase, desk.is_valid) == (Phase.BROKEN, False)
    await trio.sleep(1)
    await desk.answer(snapshot(15))
    assert desk.is_valid
    assert desk.keeper.figures().snapshots == 2


@pytest.mark.parametrize("cut_at", ["before it asks", "while it asks", "while it joins"])
async def test_lost_connection_forgets_what_was_kept(
    autojump_clock: MockClock, desk: Desk, cut_at: str
) -> None:
    """Whatever a book waits for, what came before the break is no part of what follows."""
    desk.keeper.take(change(1, 5))
    if cut_at == "before it asks":
        desk.keeper.cut([STREAM])
        assert desk.phase is Phase.UNSYNCED
        await trio.sleep(1)
        assert desk.exchange.asked == []
        desk.keeper.take(change(20, 25))
    await settle()
    if cut_at == "while it joins":
        await desk.answer(snapshot(9))
    if cut_at != "before it asks":
        desk.keeper.cut([STREAM])
        desk.keeper.take(change(20, 25))
        assert not desk.is_valid
    if cut_at == "while it joins":
        assert desk.phase is Phase.BROKEN  # the snapshot ends before what came since
        await trio.sleep(1)
    await desk.answer(snapshot(22))
    assert (desk.is_valid, desk.update_id) == (True, 25)


async def test_thin_book_is_renewed_while_it_stays_valid(
    autojump_clock: MockClock, desk: Desk
) -> None:
    """Another snapshot is asked for in time; changes go on meanwhile, and are in the new one as well."""
    await desk.live(10, count=LIMIT)
    gone = [[f"{100.0 - step / 100:.2f}", "0"] for step in range(1, 700)]
    desk.keeper.take(change(10, 14, *gone))
    assert desk.is_valid
    await trio.sleep(1.5)
    assert (desk.phase, desk.exchange.asked) == (Phase.RENEWING, ["BTCUSDT"] * 2)
    desk.keeper.take(change(14, 18, ["93.005", "4"]))
    assert (desk.is_valid, desk.update_id) == (True, 18)
    await desk.answer(snapshot(16, count=LIMIT))
    assert (desk.phase, desk.is_valid, desk.update_id) == (Phase.LIVE, True, 18)
    assert not desk.books.is_thin(0)
    assert desk.keeper.figures().resyncs == 0


async def test_renewal_that_fails_leaves_the_book_as_it_is(
    autojump_clock: MockClock, desk: Desk
) -> None:
    """It is tried again, and a gap meanwhile is a gap."""
    await desk.live(10, count=LIMIT)
    gone = [[f"{100.0 - step / 100:.2f}", "0"] for step in range(1, 700)]
    desk.keeper.take(change(10, 14, *gone))
    await trio.sleep(1.5)
    await desk.answer(Unavailable("busy"))
    assert (desk.phase, desk.is_valid) == (Phase.LIVE, True)
    await trio.sleep(3)
    assert desk.phase is Phase.RENEWING
    desk.keeper.take(change(15, 19))
    assert (desk.phase, desk.is_valid) == (Phase.BROKEN, False)
    await desk.answer(snapshot(17, count=LIMIT))
    assert (desk.is_valid, desk.update_id) == (True, 19)


async def test_broken_books_come_before_thin_ones(autojump_clock: MockClock, desk: Desk) -> None:
    """One question at a time, and first for who cannot be read."""
    await desk.live(10, count=LIMIT)
    desk.keeper.take(change(1, 5, symbol="ETHUSDT"))
    await settle()
    gone = [[f"{100.0 - step / 100:.2f}", "0"] for step in range(1, 700)]
    desk.keeper.take(change(10, 14, *gone))
    await trio.sleep(2)
    assert desk.exchange.asked == ["BTCUSDT", "ETHUSDT"]
    await desk.answer(Unavailable("busy"))
    await trio.sleep(1)
    assert desk.exchange.asked[2:] == ["BTCUSDT"]


async def test_levels_that_no_market_has_are_refused(autojump_clock: MockClock, desk: Desk) -> None:
    """A change with one is not taken, so that the next one shows a gap; one that was kept costs its snapshot."""
    await desk.live(10)
    with pytest.raises(Refused):
        desk.keeper.take(change(10, 14, ["99.5", "-1"]))
    for begin, end in ((-1, 14), (10, 1 << 63), (10**400, 10**401)):
        with pytest.raises(Refused):
            desk.keeper.take(change(begin, end))
    assert desk.update_id == 10
    desk.keeper.take(change(14, 18, ["NaN", "1"]))
    assert desk.phase is Phase.BROKEN
    await trio.sleep(1)
    await desk.answer(snapshot(15))
    assert (desk.phase, desk.is_valid) == (Phase.BROKEN, False)
    assert desk.keeper.figures().unsound == 1
    desk.keeper.take(change(18, 22))
    await trio.sleep(1)
    await desk.answer(snapshot(20))
    assert (desk.is_valid, desk.update_id) == (True, 22)


async def test_symbol_without_a_book_is_told_apart(autojump_clock: MockClock, desk: Desk) -> None:
    """It is nobody's."""
    assert not desk.keeper.take(change(1, 2, symbol="DOGEUSDT"))
    assert desk.keeper.take(change(1, 2))


# ---- where snapshots come from


BEGAN_MS = 1_700_000_000_000


class Answers:
    """An exchange behind httpx."""

    def __init__(self, source: DepthSnapshots) -> None:
        self.status, self.used = 200, 20
        self.body: dict[str, object] = {"lastUpdateId": 7, "T": 5}
        self.body |= {"bids": [["9", "1"]], "asks": [["10", "1"]]}
        self.asked: list[httpx.URL] = []
        source._http = httpx.AsyncClient(
            transport=httpx.MockTransport(self._answer), base_url="http://x"
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url)
        headers = {"x-mbx-used-weight-1m": str(self.used)}
        return httpx.Response(self.status, json=self.body, headers=headers)


@pytest.fixture
async def source() -> AsyncIterator[DepthSnapshots]:
    async with DepthSnapshots("http://x", TrioClock()) as made:
        yield made


class TrioClock(ManualClock):
    """Runs with the test's clock."""

    def monotonic_ns(self) -> int:
        return round(trio.current_time() * 1e9)

    def wall_ns(self) -> int:
        return BEGAN_MS * 1_000_000 + self.monotonic_ns()


async def seconds_for(source: DepthSnapshots, count: int) -> float:
    began = trio.current_time()
    for _ in range(count):
        await source.budget()
    return trio.current_time() - began


async def test_snapshot_is_asked_for_whole(
    autojump_clock: MockClock, source: DepthSnapshots
) -> None:
    """A thousand levels, of which it has what the exchange has."""
    answers = Answers(source)
    found = await source.fetch("BTCUSDT")
    assert str(answers.asked[0]) == "http://x/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    assert (found.update_id, found.bids.tolist(), found.limit) == (7, [(900000000, 1.0)], 1000)


async def test_snapshots_keep_to_a_quarter_of_the_weight(
    autojump_clock: MockClock, source: DepthSnapshots
) -> None:
    """Thirty at once, then thirty a minute."""
    assert await seconds_for(source, 30) < 1
    assert 59 <= await seconds_for(source, 30) <= 61


async def test_weight_that_others_use_is_left_to_them(
    autojump_clock: MockClock, source: DepthSnapshots
) -> None:
    """Where nearly all of the minute is used, the next snapshot waits."""
    answers = Answers(source)
    answers.used = 1_900
    await source.budget()
    await source.fetch("BTCUSDT")
    assert await seconds_for(source, 1) < 1
    assert await seconds_for(source, 1) >= 1
    answers.used = 2_300
    await source.fetch("BTCUSDT")
    assert await seconds_for(source, 1) >= 30


@pytest.mark.parametrize("status", [418, 429])
async def test_ban_is_waited_out(
    autojump_clock: MockClock, source: DepthSnapshots, status: int
) -> None:
    """Nothing is asked for in the next minute."""
    answers = Answers(source)
    answers.status = status
    await source.budget()
    with pytest.raises(Unavailable):
        await source.fetch("BTCUSDT")
    assert await seconds_for(source, 1) >= 60


async def test_ban_lasts_as_long_as_it_says(
    autojump_clock: MockClock, source: DepthSnapshots
) -> None:
    """A ban of an hour is no reason to ask again after a minute: each question would make it longer."""
    answers = Answers(source)
    answers.status = 418
    until_ms = BEGAN_MS + round(trio.current_time() * 1e3) + 3_600_000
    answers.body = {"code": -1003, "msg": f"Way too many requests; banned until {until_ms}. Please"}
    await source.budget()
    with pytest.raises(Unavailable):
        await source.fetch("BTCUSDT")
    assert 3_600 <= await seconds_for(source, 1) <= 3_602


async def test_failures_are_unavailable(autojump_clock: MockClock, source: DepthSnapshots) -> None:
    """A status, and no connection at all."""
    answers = Answers(source)
    answers.status = 503
    with pytest.raises(Unavailable, match="503"):
        await source.fetch("BTCUSDT")
    source._http = httpx.AsyncClient(base_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="ConnectError"):
        await source.fetch("BTCUSDT")
