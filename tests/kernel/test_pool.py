"""The pool: objects lent and given back."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aegis.errors import Broken, Refused, Unavailable
from aegis.kernel.pool import Pool, PoolStats


@attrs.define(eq=False)
class Candle:
    high: float = 0.0
    low: float = 0.0


class Plain:
    """A class with a `__dict__`."""

    high = 0.0


class PoolMachine(RuleBasedStateMachine):
    """A pool that grows lends each object to one borrower at a time, and gets it back."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(Candle, size=3, grow_by=2, debug=True)
        self.lent: list[Candle] = []
        self.returned: list[Candle] = []

    @rule()
    def acquire(self) -> None:
        candle = self.pool.acquire()
        candle.high = float(len(self.lent))
        assert all(candle is not other for other in self.lent)
        self.returned = [other for other in self.returned if other is not candle]
        self.lent.append(candle)

    @precondition(lambda self: self.lent)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        candle = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        self.pool.release(candle)
        self.returned.append(candle)

    @precondition(lambda self: self.returned)
    @rule()
    def release_again(self) -> None:
        with pytest.raises(Broken, match="twice"):
            self.pool.release(self.returned[-1])

    @precondition(lambda self: self.returned)
    @rule()
    def use_after_release(self) -> None:
        with pytest.raises(Broken, match="after its release"):
            self.returned[-1].high += 1

    @invariant()
    def adds_up(self) -> None:
        stats = self.pool.stats()
        assert stats.size == 3 + 2 * stats.grown == stats.free + len(self.lent)


TestPoolMachine = PoolMachine.TestCase


def test_pool_makes_everything_at_once() -> None:
    """The default pool holds ten thousand objects, made before the first is lent."""
    made: list[Candle] = []

    def make() -> Candle:
        made.append(Candle())
        return made[-1]

    pool = Pool(make)
    assert len(made) == 10_000
    assert pool.stats() == PoolStats(size=10_000, free=10_000, acquired=0, grown=0)


def test_pool_lease_gives_back() -> None:
    """A lease ends with its block, also when that fails."""
    pool = Pool(Candle, size=1)
    with pytest.raises(LookupError), pool.lease() as candle:  # noqa: PT012  # the block is what fails
        candle.high = 5.0
        raise LookupError
    assert pool.acquire().high == 5.0


def test_pool_that_does_not_grow_refuses() -> None:
    """Where growing is not allowed, an empty pool says so."""
    pool = Pool(Candle, size=1)
    pool.acquire()
    with pytest.raises(Unavailable, match="all 1 objects"):
        pool.acquire()


@pytest.mark.parametrize("make", [Candle, Plain])
def test_pool_debug_finds_use_after_release(make: type[Candle | Plain]) -> None:
    """Reading, writing or printing an object that was given back is an error."""
    pool: Pool[Candle | Plain] = Pool(make, size=1, debug=True)
    candle = pool.acquire()
    pool.release(candle)
    for use in (lambda: candle.high, lambda: setattr(candle, "high", 1.0), lambda: repr(candle)):
        with pytest.raises(Broken, match=f"a {make.__name__} was used after its release"):
            use()
    assert pool.acquire().high == 0.0


def test_pool_debug_finds_a_foreign_object() -> None:
    """An object that the pool never lent is not taken."""
    with pytest.raises(Broken, match="not of this pool"):
        Pool(Candle, size=1, debug=True).release(Candle())


def test_pool_that_cannot_be_debugged() -> None:
    """Objects of a class written in C cannot be guarded, which is said at once."""
    with pytest.raises(Refused, match="cannot be debugged"):
        Pool(lambda: [0.0], size=1, debug=True)


@pytest.mark.parametrize(("size", "grow_by"), [(0, 0), (1, -1)])
def test_pool_of_nothing(size: int, grow_by: int) -> None:
    """A pool without objects, or one that shrinks, is refused."""
    with pytest.raises(Refused):
        Pool(Candle, size=size, grow_by=grow_by)
