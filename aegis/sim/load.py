"""A market at an even rate, for measuring: so many ticks a second, whoever listens and whatever happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

import trio

from aegis.kernel.clock import seeded_random
from aegis.sim.book import Quote
from aegis.sim.contract import Contract
from aegis.sim.exchange import Exchange
from aegis.sim.frames import combined, text_frame
from aegis.sim.hub import Hub, Spoken
from aegis.sim.order import Trade
from aegis.sim.tape import TapeWriter

__all__ = ["Load"]

_LEVELS: Final = 32
_PATH_STEPS: Final = 512
_STEP_MS: Final = 200
_SHORTEST_LEG, _LONGEST_LEG = 6, 24  # levels
_PAUSE_S: Final = 0.001
_REFRESH_PAUSES: Final = 50  # after so many of them every symbol's book has followed its tape
_AT_ONCE: Final = 1000
_WORST_LAG_S: Final = 1.0
# What stands in a frame where the time and the ids belong: as many digits as those have.
_TIME: Final = 1_111_111_111_111
_ID: Final = 2_222_222_222_222
_FIRST_ID: Final = 10**12


class Load:
    """Quotes and trades of all symbols in turn; each symbol's price walks up and down its levels.

    The frames are made beforehand and only their times and ids are filled in, so that this takes a tenth of a core at
    100,000 ticks a second. Own fills are not printed: the tape does not depend on who trades.
    """

    def __init__(self, exchange: Exchange, hub: Hub, seed: int, ticks_a_second: int) -> None:
        self._exchange = exchange
        self._hub = hub
        self._rate = ticks_a_second
        self._tapes = [_Tape(each.contract, seed) for each in exchange.listings.values()]
        self._sent = 0
        self._id = _FIRST_ID
        self._refreshed = 0

    def open(self, now_ms: int) -> None:
        """Show the first quotes, so that there is a book before there is a client."""
        for tape in self._tapes:
            self._exchange.quoted(tape.symbol, tape.quote(self._id, now_ms), now_ms)

    async def run(self, wall_ms: Callable[[], int]) -> None:
        """Send what is due each millisecond or two, for ever; who is a second late goes on from there."""
        began = trio.current_time()
        while True:
            await trio.sleep(_PAUSE_S)
            late_s = trio.current_time() - began - self._sent / self._rate
            began += max(0.0, late_s - _WORST_LAG_S)
            due = int((trio.current_time() - began) * self._rate)
            while self._sent < due:
                self.send(due - self._sent, wall_ms())
                if due - self._sent > _AT_ONCE:  # behind: orders must not wait until that is over
                    await trio.lowlevel.checkpoint()
            self._refresh(wall_ms())

    def send(self, count: int, now_ms: int) -> None:
        """Send so many ticks, at most to the end of a turn of all symbols, all at `now_ms`."""
        symbols = len(self._tapes)
        turn, first = divmod(self._sent, symbols)
        last = min(first + count, symbols)
        self._sent += last - first
        # A symbol trades once in two turns, and quotes once: its ids have no holes, which a client would take for a loss.
        self._id = _FIRST_ID + turn // 2
        time, id_ = b"%d" % now_ms, b"%d" % self._id

        def filled(frames: bytes) -> bytes:
            return frames.replace(b"%d" % _TIME, time).replace(b"%d" % _ID, id_)

        frames = (
            tape.spoken((turn + index) % 2, now_ms)
            for index, tape in enumerate(self._tapes[first:last], first)
        )
        self._hub.publish_together(frames, filled)

    def printed(self, trade: Trade) -> None:
        """Nothing: a fill of an own order is no part of this tape."""

    def _refresh(self, now_ms: int) -> None:
        """Let some of the books follow their tapes."""
        for _ in range(len(self._tapes) // _REFRESH_PAUSES + 1):
            tape = self._tapes[self._refreshed % len(self._tapes)]
            self._exchange.quoted(tape.symbol, tape.quote(self._id, now_ms), now_ms)
            self._refreshed += 1


class _Tape:
    """One symbol: its path over the levels, there and back, and its frames at each of them."""

    def __init__(self, contract: Contract, seed: int) -> None:
        self.symbol = contract.symbol
        self._contract = contract
        self._lowest = int(contract.typical_price / contract.tick)
        self._steps = max(1, int(contract.level_notional / contract.typical_price / contract.step))
        rng = seeded_random(f"load {contract.symbol} {seed}")
        there = bytes(_path(rng))
        self._path = there + there[::-1]
        self._shift_ms = rng.randrange(_STEP_MS)  # not all of them at the same moment
        self._frames = [
            list(map(self._quoted, range(_LEVELS))),
            list(map(self._traded, range(_LEVELS))),
        ]

    def spoken(self, is_trade: int, now_ms: int) -> Spoken:
        """The frame of a kind at the level of the moment."""
        return self._frames[is_trade][self._level(now_ms)]

    def quote(self, update_id: int, now_ms: int) -> Quote:
        """The quote of the moment, as the book takes it."""
        tick, size = self._contract.tick, self._steps * self._contract.step
        bid = self._lowest + self._level(now_ms)
        return Quote(bid * tick, size, (bid + 1) * tick, size, update_id)

    def _level(self, now_ms: int) -> int:
        return self._path[(now_ms + self._shift_ms) // _STEP_MS % len(self._path)]

    def _quoted(self, level: int) -> Spoken:
        bid, steps = self._lowest + level, self._steps
        payload = TapeWriter(self._contract).book_ticker(_ID, bid, steps, bid + 1, steps, _TIME)
        return self._speech("bookTicker", payload)

    def _traded(self, level: int) -> Spoken:
        """Buyers take at odd levels, sellers at even ones: neither side has the market."""
        sells = level % 2 == 0
        price = self._lowest + level + (not sells)
        payload = TapeWriter(self._contract).agg_trade(
            _ID, (_ID, _ID), price, 1, _TIME, buyer_is_maker=sells
        )
        return self._speech("aggTrade", payload)

    def _speech(self, kind: str, payload: bytes) -> Spoken:
        name = f"{self.symbol.lower()}@{kind}"
        return Spoken(name, text_frame(combined(name, payload)), text_frame(payload))


def _path(rng: random.Random) -> Iterator[int]:
    """A level for each step: legs up and down in turn, a level a step, turned back at the ends."""
    level, up, left = rng.randrange(_LEVELS), bool(rng.getrandbits(1)), 0
    for _ in range(_PATH_STEPS):
        if not left:
            left, up = rng.randint(_SHORTEST_LEG, _LONGEST_LEG), not up
        left -= 1
        level = min(max(level + (1 if up else -1), 0), _LEVELS - 1)
        yield level
