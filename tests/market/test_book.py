"""The order book against dictionaries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aegis.errors import Broken
from aegis.market.book import LEVEL, LEVELS, THIN
from aegis.market.book_top import BOOK_TOP, PRICE_ONE, SHOWN, BookTop, BookTops, top_of
from aegis.market.order_book import Book

Row = tuple[int, float]
Side = dict[int, float]

MIDDLE = 61_000 * PRICE_ONE
TICK = PRICE_ONE // 10


def levels(*rows: Row) -> np.ndarray:
    return np.array(list(rows), LEVEL)


def side(sign: int, quantities: st.SearchStrategy[float]) -> st.SearchStrategy[list[Row]]:
    """Levels of one side: near the middle, and now and then across it."""
    price = st.integers(-3, 60).map(lambda ticks: MIDDLE - sign * ticks * TICK)
    return st.lists(st.tuples(price, quantities), max_size=30)


ABSENT = st.just(0.0)
SIZES = st.integers(1, 50).map(lambda steps: steps / 1000)


class BookMachine(RuleBasedStateMachine):
    """The model is two dictionaries and the worst price that is known of each; what is behind it is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.sides: tuple[Side, Side] = ({}, {})
        self.edges = [-math.inf, math.inf]

    def apply(self, side: int, rows: list[Row]) -> None:
        for price, quantity in rows:
            known = price >= self.edges[0] if side == 0 else price <= self.edges[1]
            if known:
                self.sides[side].pop(price, None)
                if quantity:
                    self.sides[side][price] = quantity

    def holds(self) -> bool:
        bids, asks = self.sides
        if bids and asks:
            return max(bids) < min(asks)
        return not any(
            math.isfinite(edge) and not each
            for edge, each in zip(self.edges, self.sides, strict=True)
        )

    @rule(bids=side(1, SIZES), asks=side(-1, SIZES))
    def load(self, bids: list[Row], asks: list[Row]) -> None:
        self.sides, self.edges = ({}, {}), [-math.inf, math.inf]
        self.apply(0, bids)
        self.apply(1, asks)
        held = self.book.load(levels(*bids), levels(*asks), limit=20)
        if len(bids) >= 20:
            self.edges[0] = min(self.sides[0])
        if len(asks) >= 20:
            self.edges[1] = max(self.sides[1])
        assert held == (not all(self.sides) or max(self.sides[0]) < min(self.sides[1]))

    @rule(bids=side(1, SIZES | ABSENT), asks=side(-1, SIZES | ABSENT))
    def change(self, bids: list[Row], asks: list[Row]) -> None:
        self.apply(0, bids)
        self.apply(1, asks)
        assert self.book.change(levels(*bids), levels(*asks)) == self.holds()

    @precondition(lambda self: self.sides[0])
    @rule(data=st.data())
    def take_the_best(self, data: st.DataObject) -> None:
        """Some of the best bids go, the best one with them."""
        best = sorted(self.sides[0], reverse=True)[: data.draw(st.integers(1, 5))]
        gone = [(price, 0.0) for price in best]
        self.apply(0, gone)
        assert self.book.change(levels(*gone), levels()) == self.holds()

    @invariant()
    def agrees(self) -> None:
        bids, asks = (sorted(each.items()) for each in self.sides)
        assert self.book.bids().tolist() == bids[::-1]
        assert self.book.asks().tolist() == asks
        few = [len(each) < THIN for each in (bids, asks)]
        assert self.book.is_thin == any(
            is_few and math.isfinite(edge) for is_few, edge in zip(few, self.edges, strict=True)
        )

    @invariant()
    def shows_the_best(self) -> None:
        row = np.zeros(1, BOOK_TOP)
        row["bids"]["price"] = row["asks"]["price"] = 7.0  # of an older, longer book
        self.book.show(row)
        top = top_of(row[0])
        assert top.bids.tolist() == [
            (price / PRICE_ONE, self.sides[0][price])
            for price in sorted(self.sides[0], reverse=True)[:SHOWN]
        ]
        assert top.asks.tolist() == [
            (price / PRICE_ONE, self.sides[1][price]) for price in sorted(self.sides[1])[:SHOWN]
        ]
        assert (row["bids"]["price"][0, len(top.bids) :] == 0.0).all()


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_full_side_forgets_its_worst_quarter() -> None:
    """The best stay, the edge moves up to the worst that is left, and what is behind it is not taken up again."""
    book = Book()
    asks = [(MIDDLE + number * TICK, 1.0) for number in range(LEVELS)]
    book.load(levels((MIDDLE - TICK, 1.0)), levels(*asks), limit=LEVELS + 1)
    assert len(book.asks()) == LEVELS
    assert not book.is_thin
    nearer = (MIDDLE - TICK // 2, 2.0)
    assert book.change(levels(), levels(nearer, asks[-1]))
    assert book.asks().tolist() == [nearer, *asks[: LEVELS * 3 // 4]]


def test_a_side_that_has_run_out_does_not_hold() -> None:
    """Where there may be more than the snapshot showed, no level left is no empty book: nobody knows the best one."""
    bids, asks = [(MIDDLE - TICK, 1.0)], [(MIDDLE, 1.0)]
    gone = levels((MIDDLE - TICK, 0.0))
    cut, whole = Book(), Book()
    cut.load(levels(*bids), levels(*asks), limit=1)
    whole.load(levels(*bids), levels(*asks), limit=2)
    assert not cut.change(gone, levels())
    assert whole.change(gone, levels())


def test_prices_come_out_as_the_exchange_wrote_them() -> None:
    """A price is exact to the eighth place, and shown as `float` reads its text."""
    for text in ("0.00000001", "61800.10", "0.30000000", "1.23456789", "90000000.00000001"):
        price = round(float(text) * PRICE_ONE)
        book = Book()
        book.load(levels((price, 0.1)), levels(), limit=5)
        row = np.zeros(1, BOOK_TOP)
        book.show(row)
        assert top_of(row[0]).bid == float(text)


class OneRow:
    """A table of one row that can be read, or not."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row
        self.has_writer = self.is_readable = True

    def read_into(self, row: int, out: np.ndarray) -> bool:
        assert row == 0
        out[:] = self.row
        return self.is_readable


def shown(bids: list[float], asks: list[float], *, valid: bool = True) -> np.ndarray:
    """A row with such sizes, one unit of price apart."""
    row = np.zeros(1, BOOK_TOP)
    row["valid"], row["bid_levels"], row["ask_levels"] = valid, len(bids), len(asks)
    for place, size in enumerate(bids):
        row["bids"][0, place] = (100.0 - place, size)
    for place, size in enumerate(asks):
        row["asks"][0, place] = (101.0 + place, size)
    return row


def test_imbalance_is_of_the_best_levels() -> None:
    """With one level it is the queue imbalance; more levels count, as far as they are there."""
    top = top_of(shown([3.0, 1.0], [1.0, 1.0, 6.0])[0])
    assert (top.bid, top.ask) == (100.0, 101.0)
    assert top.imbalance() == 0.5
    assert top.imbalance(2) == pytest.approx((4 - 2) / 6)
    assert top.imbalance(20) == pytest.approx((4 - 8) / 12)
    for levels in (0, SHOWN + 1):
        with pytest.raises(Broken):
            top.imbalance(levels)


def test_imbalance_of_nothing_is_nan() -> None:
    """An empty book has no best price and no imbalance."""
    top = top_of(shown([], [])[0])
    assert math.isnan(top.imbalance())
    assert math.isnan(top.bid)
    assert math.isnan(top.ask)


def test_top_is_a_copy_of_a_valid_row() -> None:
    """It does not change with the row; a row that cannot be read, or that nobody keeps up, is not valid."""
    table = OneRow(shown([1.0], [1.0]))
    tops = BookTops(table, ["BTCUSDT"])
    top: BookTop = tops.of("BTCUSDT")
    assert top.valid
    table.row["bids"]["price"] = 5.0
    assert tops.of("BTCUSDT").bid == 5.0
    assert top.bid == 100.0
    table.is_readable = False
    assert not tops.of("BTCUSDT").valid
    assert not tops.of("ETHUSDT").valid
    table.is_readable, table.has_writer = True, False
    assert not tops.of("BTCUSDT").valid
