"""The synthetic market: a seeded tape of quotes and trades. Pure: a step is given the time, it reads none."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal

import attrs

from aegis.sim.book import Quote
from aegis.sim.contract import Contract
from aegis.sim.sequence import Sequence
from aegis.sim.tape import TapeWriter

__all__ = ["STEP_MS", "Printed", "Quoted", "SyntheticMarket", "TapeRate"]

STEP_MS = 10
_STEPS_A_SECOND = 1000 // STEP_MS
_FINE = 1000  # the fair price is kept in thousandths of a tick
_ACTIVE = 0.35  # share of steps in which anything is sent: what is sent comes in bursts
# Per step, in millionths of the price. Noise of 0.6 basis points and a drift of up to 0.3 in 100 ms: legs of one to
# eight seconds stand out of the noise, so that swings of 100 ms bars form and break all the time.
_NOISE = 33
_STRONGEST_DRIFT = 4
_SHORTEST_LEG, _LONGEST_LEG = 100, 800
_PULL = 25  # how much 1 % away from the typical price lowers the chance, in percent, of a leg that leads further away


@attrs.frozen
class TapeRate:
    """How lively the tape of one symbol is."""

    quotes_a_second: float = 80.0
    trades_a_second: float = 40.0


@attrs.frozen
class Quoted:
    """A new best bid and ask, in ticks and steps, and the message that tells of it."""

    contract: Contract
    payload: bytes
    update_id: int
    bid: int
    bid_steps: int
    ask: int
    ask_steps: int

    def quote(self) -> Quote:
        """Return it as the book takes it."""
        tick, step = self.contract.tick, self.contract.step
        return Quote(
            self.bid * tick,
            self.bid_steps * step,
            self.ask * tick,
            self.ask_steps * step,
            self.update_id,
        )


@attrs.frozen
class Printed:
    """A trade between others, in ticks and steps, and the message that tells of it."""

    contract: Contract
    payload: bytes
    ticks: int
    steps: int
    taker_buys: bool

    @property
    def price(self) -> Decimal:
        """The price of the trade."""
        return self.ticks * self.contract.tick

    @property
    def quantity(self) -> Decimal:
        """The quantity of the trade."""
        return self.steps * self.contract.step


class SyntheticMarket:
    """One symbol's market.

    A fair price drifts in legs and jitters; the touch stands around it, and takers hit the touch. The legs lean back
    towards the typical price the further they are away, and half or double of it is never left. Everything is an
    integer: ticks, steps, and thousandths of a tick. The same seed and times give the same bytes, as long as nobody
    else draws from the ids.
    """

    def __init__(
        self,
        contract: Contract,
        rng: random.Random,
        rate: TapeRate,
        update_ids: Sequence,
        trade_ids: Sequence,
        aggregate_ids: Sequence,
    ) -> None:
        self._contract = contract
        self._rng = rng
        self._writer = TapeWriter(contract)
        self._update_ids, self._trade_ids, self._aggregate_ids = (
            update_ids,
            trade_ids,
            aggregate_ids,
        )
        self._quotes = rate.quotes_a_second / _STEPS_A_SECOND / _ACTIVE
        self._trades = rate.trades_a_second / _STEPS_A_SECOND / _ACTIVE
        self._anchor = int(contract.typical_price / contract.tick) * _FINE
        self._typical_steps = max(
            1, int(contract.level_notional / contract.typical_price / contract.step)
        )
        self._fair = self._anchor
        self._drift = 0
        self._leg_left = 0
        self._last = self._requote(0)

    @property
    def symbol(self) -> str:
        """The name of what is traded."""
        return self._contract.symbol

    @property
    def volume_a_minute(self) -> int:
        """What trades in a minute, in steps, about."""
        trades = self._trades * _ACTIVE * _STEPS_A_SECOND * 60
        return max(1, int(trades * self._typical_steps / 8))

    def open(self, now_ms: int) -> Quoted:
        """Return the first quote, so that there is a book from the start."""
        self._last = self._requote(now_ms)
        return self._last

    def step(self, now_ms: int) -> Iterator[Quoted | Printed]:
        """Let 10 ms pass and yield what happens in them, all at `now_ms`.

        An id is taken when its event is asked for, so that fills in between keep the ids of the tape in order.
        """
        self._move()
        if self._rng.random() < _ACTIVE:
            yield from self._burst(now_ms)

    def _move(self) -> None:
        """Move the fair price by one step of its leg and a jitter."""
        if not self._leg_left:
            self._start_leg()
        self._leg_left -= 1
        width = self._fair * _NOISE // 1_000_000
        self._fair += self._fair * self._drift // 1_000_000 + self._rng.randint(-width, width)
        self._fair = min(max(self._fair, self._anchor // 2), self._anchor * 2)

    def _start_leg(self) -> None:
        rng = self._rng
        self._leg_left = rng.randint(_SHORTEST_LEG, _LONGEST_LEG)
        away = (self._fair - self._anchor) * 100 / self._anchor  # percent
        up = rng.random() * 100 < 50 - away * _PULL
        self._drift = rng.randint(0, _STRONGEST_DRIFT) * (1 if up else -1)

    def _burst(self, now_ms: int) -> Iterator[Quoted | Printed]:
        quotes, trades = self._some(self._quotes), self._some(self._trades)
        for turn in range(max(quotes, trades)):
            if turn < quotes:
                self._last = self._requote(now_ms)
                yield self._last
            if turn < trades:
                yield self._print(now_ms)

    def _some(self, mean: float) -> int:
        """Draw a whole number between 0 and about twice its mean."""
        return int(self._rng.random() * 2 * mean + self._rng.random())

    def _size(self, typical: int) -> int:
        """Draw a size in steps: mostly small, now and then four times the typical one."""
        return 1 + int(typical * 4 * self._rng.random() * self._rng.random())

    def _requote(self, now_ms: int) -> Quoted:
        bid = max(1, self._fair // _FINE)
        ask = bid + (1 if self._rng.random() < 0.9 else 2)
        bid_steps, ask_steps = self._size(self._typical_steps), self._size(self._typical_steps)
        update_id = self._update_ids.take()
        payload = self._writer.book_ticker(update_id, bid, bid_steps, ask, ask_steps, now_ms)
        return Quoted(self._contract, payload, update_id, bid, bid_steps, ask, ask_steps)

    def _print(self, now_ms: int) -> Printed:
        """Let a taker hit the touch, more often with the leg than against it."""
        rng, last = self._rng, self._last
        lean = 0.15 * ((self._drift > 0) - (self._drift < 0))
        buys = rng.random() < 0.5 + lean
        ticks, most = (last.ask, last.ask_steps) if buys else (last.bid, last.bid_steps)
        steps = min(most, self._size(max(1, self._typical_steps // 8)))
        makers = min(steps, 1 if rng.random() < 0.7 else 3)
        first = self._trade_ids.take(makers)
        payload = self._writer.agg_trade(
            self._aggregate_ids.take(),
            (first, first + makers - 1),
            ticks,
            steps,
            now_ms,
            buyer_is_maker=not buys,
        )
        return Printed(self._contract, payload, ticks, steps, buys)
