"""A pool: objects made once and lent again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, NoReturn, TypeVar

import attrs

from aegis.errors import Broken, Refused, Unavailable

__all__ = ["Pool", "PoolStats"]

T = TypeVar("T")


@attrs.frozen
class PoolStats:
    """A pool's figures."""

    size: int
    free: int
    acquired: int
    grown: int  # steps


class Pool(Generic[T]):
    """Pre-allocated objects with `acquire` and `release` in O(1).

    Where it helps, by `python -m bench.mailbox`: a candle of six floats that is filled and kept for a while costs 160 ns
    from a pool and 220 ns made anew, and a pool gives the garbage collector nothing to count, so it never starts in a
    busy moment. It does not help for small objects that die at once: CPython makes and frees those as fast. And where
    there are thousands of one kind, rows of an array need no object at all: 5 ns a candle filled by columns. So ticks
    and bars are array records, and a pool is for what has to be an object and outlives the handler that made it.

    Args:
        make: makes one object. They are made here, so that none is made while it matters.
        size: how many.
        grow_by: how many more to make when all are lent, which is counted; 0 refuses instead.
        debug: make a double or foreign release an error, and any use of an object after its release. It needs objects
            of a class written in Python.
    """

    def __init__(
        self, make: Callable[[], T], *, size: int = 10_000, grow_by: int = 0, debug: bool = False
    ) -> None:
        if size < 1 or grow_by < 0:
            raise Refused(f"a pool has at least one object and never shrinks: {size}, {grow_by}")
        self._make = make
        self._grow_by = grow_by
        self._free = [make() for _ in range(size)]
        self._size = size
        self._acquired = 0
        self._grown = 0
        self._guard = _Guard(self._free) if debug else None

    def acquire(self) -> T:
        """Borrow an object, in the state in which it was released.

        Raises:
            Unavailable: when all are lent and the pool does not grow.
        """
        if not self._free:
            self._grow()
        self._acquired += 1
        item = self._free.pop()
        if self._guard is not None:
            self._guard.lend(item)
        return item

    def release(self, item: T) -> None:
        """Give an object back; whoever gives it back must not use it again.

        Raises:
            Broken: in debug mode, when it is not lent.
        """
        if self._guard is not None:
            self._guard.take_back(item)
        self._free.append(item)

    @contextmanager
    def lease(self) -> Iterator[T]:
        """Borrow an object for the length of a block."""
        item = self.acquire()
        try:
            yield item
        finally:
            self.release(item)

    def stats(self) -> PoolStats:
        """The figures as of now."""
        return PoolStats(self._size, len(self._free), self._acquired, self._grown)

    def _grow(self) -> None:
        if not self._grow_by:
            raise Unavailable(f"all {self._size} objects of the pool are lent")
        more = [self._make() for _ in range(self._grow_by)]
        if self._guard is not None:
            self._guard.adopt(more)
        self._free += more
        self._size += len(more)
        self._grown += 1


class _Guard(Generic[T]):
    """Turns an object that is not lent into a ghost: its class becomes one on which every access is an error."""

    def __init__(self, items: list[T]) -> None:
        self._kind = type(items[0])
        self._ghost = _ghost_of(self._kind)
        self._lent: set[int] = set()
        self.adopt(items)

    def adopt(self, items: list[T]) -> None:
        for item in items:
            self._turn_into(item, self._ghost)

    def lend(self, item: T) -> None:
        self._turn_into(item, self._kind)
        self._lent.add(id(item))

    def take_back(self, item: T) -> None:
        if id(item) not in self._lent:
            what = "was released twice" if type(item) is self._ghost else "is not of this pool"
            raise Broken(f"a {type(item).__qualname__} {what}")
        self._lent.remove(id(item))
        self._turn_into(item, self._ghost)

    def _turn_into(self, item: T, kind: type) -> None:
        try:
            object.__setattr__(item, "__class__", kind)
        except TypeError as error:
            raise Refused(
                f"a pool of {self._kind.__qualname__} cannot be debugged: {error}"
            ) from error


def _ghost_of(kind: type) -> type:
    def refuse(_self: object, *_: object) -> NoReturn:
        raise Broken(f"a {kind.__qualname__} was used after its release")

    accesses = ("__getattribute__", "__setattr__", "__delattr__", "__eq__", "__hash__", "__repr__")
    return type(
        f"Released{kind.__name__}", (kind,), {"__slots__": (), **dict.fromkeys(accesses, refuse)}
    )
