"""Keeps the order books of the feed worker in step with their streams: what `aegis.venue.book_sync` says, done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import attrs
import trio

from aegis.actors.feed_protocol import BookFigures
from aegis.errors import Refused, Unavailable
from aegis.kernel.clock import seeded_random
from aegis.venue.backoff import Backoff
from aegis.venue.binance_market import DepthUpdate
from aegis.venue.book_sync import TABLE, Action, Happening, Kept, Phase
from aegis.venue.depth_book import Fault, Order
from aegis.venue.depth_books import DepthBooks
from aegis.venue.depth_codec import DepthSnapshot, change_levels, check_place

__all__ = ["BookKeeper", "Snapshots"]

_SETTLED_S: Final = 60.0
"""A book that was in step for so long begins its delays anew when it breaks."""
_LOOK_S: Final = 1.0
"""How often is looked for books that have become thin."""
_WITH_BOOK: Final = frozenset({Phase.LIVE, Phase.RENEWING, Phase.PAUSED})
"""Only what these hold can be followed by a change."""
_ORDERS: Final = {
    Order.FOLLOWS: Happening.FOLLOWS,
    Order.REPEATED: Happening.REPEATED,
    Order.AHEAD: Happening.AHEAD,
}


class Snapshots(Protocol):
    """Where snapshots come from."""

    async def budget(self) -> None:
        """Wait until the next one may be asked for."""

    async def fetch(self, symbol: str) -> DepthSnapshot:
        """Ask for one; `Unavailable` or `Refused` where there is none."""


@attrs.define
class _State:
    """Where one book stands."""

    backoff: Backoff
    phase: Phase = Phase.UNSYNCED
    kept: Kept = attrs.Factory(Kept)
    early: Kept = attrs.Factory(Kept)
    """Changes that a newcomer among the connections brought before it was their turn."""
    snapshot: DepthSnapshot | None = None
    """One that has yet to meet a change."""
    change: DepthUpdate | None = None
    """The one that has just come."""
    in_step_since: float = math.inf


class BookKeeper:
    """The order books of a worker. One symbol at a time is brought into step again.

    Args:
        books: their memory.
        symbols: their names, by index.
        snapshots: where snapshots come from.
    """

    def __init__(self, books: DepthBooks, symbols: Sequence[str], snapshots: Snapshots) -> None:
        self.books: Final = books
        self._symbols = tuple(symbols)
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._snapshots = snapshots
        self._states = [
            _State(Backoff(seeded_random(f"book {symbol}"), first_s=0.2)) for symbol in symbols
        ]
        self._wanted: dict[int, float] = {}
        """Who wants a snapshot, and from when on."""
        self._wanting = trio.Event()
        self._resyncs = self._mismatches = self._fetched = self._unsound = 0
        self._actions: Final[dict[Action, Callable[[int, _State], None]]] = {
            Action.KEEP: self._keep,
            Action.APPLY: self._apply,
            Action.APPLY_AND_KEEP: self._apply_and_keep,
            Action.DROP: self._drop,
            Action.BREAK: self._break,
            Action.ASK: self._ask,
            Action.JOIN: self._join,
            Action.LOAD: self._load,
            Action.WAIT: self._wait,
            Action.HIDE: self._hide,
        }

    def figures(self) -> BookFigures:
        """The figures now."""
        memory = self.books.memory
        return BookFigures(
            valid=self.books.valid,
            resyncs=self._resyncs,
            mismatches=self._mismatches,
            agreements=int(memory["agreements"].sum()),
            changes=int(memory["changes"].sum()),
            snapshots=self._fetched,
            unsound=self._unsound,
        )

    def phase(self, symbol: str) -> Phase:
        """Where a symbol's book stands."""
        return self._states[self._index[symbol]].phase

    # ---- what happens

    def take(self, update: DepthUpdate, *, is_newcomer: bool = False) -> bool:
        """Take a change that compiled code has left; False for a symbol that has no book.

        Args:
            update: the change.
            is_newcomer: whether it came by a connection that is to replace another, and may be ahead of that one.

        Raises:
            Refused: no market has such a change; the book will miss it.
        """
        index = self._index.get(update.s)
        if index is None:
            return False
        check_place(update)
        state = self._states[index]
        happening = self._place(index, state, update)
        if happening is Happening.AHEAD and state.phase in _WITH_BOOK and is_newcomer:
            state.early.add(update)
            return True
        state.change = update
        try:
            self._happen(index, happening)
        finally:
            state.change = None
        return True

    def _place(self, index: int, state: _State, change: DepthUpdate) -> Happening:
        """What a change is to its book, which first takes what came early and has its place before it."""
        if state.phase not in _WITH_BOOK:
            return Happening.AHEAD
        for early in state.early:
            if self.books.order(index, early) is Order.FOLLOWS:
                self._apply_kept(index, early)
        if self.books.fault(index) is not Fault.NONE:
            return Happening.FAULT
        order = self.books.order(index, change)
        if order is not Order.AHEAD:
            state.early.forget_through(change.u)
        return _ORDERS[order]

    def cut(self, streams: Iterable[str]) -> None:
        """Take note that a connection with these streams is lost: their books are not valid until they go on."""
        for stream in streams:
            symbol, _, kind = stream.partition("@")
            index = self._index.get(symbol.upper())
            if index is not None and kind.startswith("depth"):
                self._happen(index, Happening.CUT)

    def _happen(self, index: int, happening: Happening) -> None:
        state = self._states[index]
        state.phase, action = TABLE[state.phase, happening]
        self._mismatches += (
            happening is Happening.FAULT and self.books.fault(index) is Fault.MISMATCH
        )
        self._actions[action](index, state)

    # ---- what is done

    def _keep(self, index: int, state: _State) -> None:
        if state.change is not None:
            state.kept.add(state.change)
        if state.phase is Phase.BUFFERING:
            self._want(index)
        self._meet(index, state)

    def _apply(self, index: int, state: _State) -> None:
        change = state.change
        if change is not None and self._apply_change(index, change):
            self.books.put_in_step(index)

    def _apply_and_keep(self, index: int, state: _State) -> None:
        change = state.change
        if change is not None and self._apply_change(index, change):
            self.books.hold(index)
            state.kept.add(change)
            self._meet(index, state)

    def _apply_change(self, index: int, change: DepthUpdate) -> bool:
        """Take a change into the book; False when the book is broken by it.

        Raises:
            Refused: no market has such levels; the book is as it was.
        """
        fault = self.books.apply(index, change, *change_levels(change))
        if fault is not Fault.NONE:
            self._happen(index, Happening.FAULT)
        return fault is Fault.NONE

    def _apply_kept(self, index: int, change: DepthUpdate) -> bool:
        """Take a change that was kept; False when the book is broken by it, or cannot take it."""
        try:
            return self.books.apply(index, change, *change_levels(change)) is Fault.NONE
        except Refused:
            self._unsound += 1
            return False

    def _drop(self, index: int, state: _State) -> None:
        if state.change is not None:
            self.books.drop(index)
        else:
            state.snapshot = None
        if state.phase is Phase.LIVE:
            self.books.put_in_step(index)

    def _break(self, index: int, state: _State) -> None:
        self._resyncs += 1
        self._hide(index, state)
        if state.change is not None:
            state.kept.add(state.change)
        if trio.current_time() - state.in_step_since > _SETTLED_S:
            state.backoff.succeeded()
        self._want(index, state.backoff.next_s())

    def _hide(self, index: int, state: _State) -> None:
        self.books.step_out(index)
        state.kept.forget()
        state.early.forget()
        if state.phase is not Phase.JOINING:
            state.snapshot = None
        if state.phase in {Phase.UNSYNCED, Phase.PAUSED}:
            self._wanted.pop(index, None)

    def _ask(self, index: int, state: _State) -> None:
        state.snapshot = None
        if state.phase is Phase.RENEWING:
            self.books.hold(index)

    def _wait(self, index: int, state: _State) -> None:
        state.snapshot = None
        if state.phase is Phase.LIVE:
            state.kept.forget()
            self.books.put_in_step(index)
        self._want(index, state.backoff.next_s())

    def _join(self, index: int, state: _State) -> None:
        self._wanted.pop(index, None)
        self._meet(index, state)

    def _meet(self, index: int, state: _State) -> None:
        """See whether a snapshot that is there meets what was kept."""
        if state.snapshot is not None:
            met = state.kept.meeting(state.snapshot.update_id)
            if met is not None:
                self._happen(index, met)

    def _load(self, index: int, state: _State) -> None:
        snapshot, state.snapshot = state.snapshot, None
        kept = list(state.kept)
        state.kept.forget()
        if snapshot is None:
            return
        state.in_step_since = trio.current_time()
        holds = self.books.load(index, snapshot) is Fault.NONE
        if holds and all(self._apply_kept(index, change) for change in kept):
            self.books.put_in_step(index)
        else:
            self._happen(index, Happening.FAULT)

    # ---- snapshots

    def _want(self, index: int, delay_s: float = 0.0) -> None:
        if index not in self._wanted:
            self._wanted[index] = trio.current_time() + delay_s
            self._wanting.set()

    async def run(self) -> None:
        """Ask for the snapshots that are wanted, one at a time, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_for_thin)
            while True:
                index = await self._next()
                await self._snapshots.budget()
                await self._synchronise(index)

    async def _next(self) -> int:
        """Wait until somebody's turn has come."""
        while True:
            now = trio.current_time()
            due = [index for index, from_s in self._wanted.items() if from_s <= now]
            if due:
                index = min(due, key=self._urgency)
                del self._wanted[index]
                return index
            with trio.move_on_at(min(self._wanted.values(), default=math.inf)):
                await self._wanting.wait()
                self._wanting = trio.Event()

    def _urgency(self, index: int) -> tuple[bool, float]:
        """Books that are not valid come first, then who has waited longest."""
        return self._states[index].phase is Phase.LIVE, self._wanted[index]

    async def _synchronise(self, index: int) -> None:
        state = self._states[index]
        if (state.phase, Happening.TURN) not in TABLE:
            return  # its connection was lost while it waited
        self._happen(index, Happening.TURN)
        try:
            snapshot = await self._snapshots.fetch(self._symbols[index])
        except (Unavailable, Refused):
            happening = Happening.FAILED
        else:
            happening = Happening.SNAPSHOT
            self._fetched += 1
            state.snapshot = snapshot
        if (state.phase, happening) in TABLE:
            self._happen(index, happening)

    async def _look_for_thin(self) -> None:
        while True:
            await trio.sleep(_LOOK_S)
            for index, state in enumerate(self._states):
                if state.phase is Phase.LIVE and self.books.is_thin(index):
                    self._want(index)
