"""Runs the synthetic market of all symbols against the venue, ten milliseconds at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from aegis.kernel.clock import seeded_random
from aegis.sim.depth import SPEEDS_MS, DepthTape, depth_stream
from aegis.sim.exchange import Exchange
from aegis.sim.hub import Hub
from aegis.sim.listing import Listing
from aegis.sim.market import STEP_MS, Quoted, SyntheticMarket, TapeRate
from aegis.sim.order import Side, Trade
from aegis.sim.past import past_of
from aegis.sim.sequence import Sequence
from aegis.sim.tape import TapeWriter

__all__ = ["Synthetic"]

_STEP_S = STEP_MS / 1000
_WORST_LAG_STEPS = 100  # one second behind, the market goes on from there instead of catching up


class Synthetic:
    """A `SyntheticMarket` a symbol, each with a random source of its own, made from the seed and its name."""

    def __init__(self, exchange: Exchange, hub: Hub, seed: int, rate: TapeRate) -> None:
        self._exchange = exchange
        self._hub = hub
        self._seed = seed
        self._update_ids = Sequence()
        self._markets = [self._market(each, seed, rate) for each in exchange.listings.values()]
        self._names = {each: each.lower() for each in exchange.listings}
        self._steps = 0
        self._tapes: dict[str, DepthTape] = {}
        """The depth streams that somebody has heard."""
        self._depth_streams = {
            symbol: [(speed_ms, depth_stream(name, speed_ms)) for speed_ms in SPEEDS_MS]
            for symbol, name in self._names.items()
        }

    def _market(self, listing: Listing, seed: int, rate: TapeRate) -> SyntheticMarket:
        return SyntheticMarket(
            listing.contract,
            seeded_random(f"{listing.contract.symbol} {seed}"),
            rate,
            self._update_ids,
            listing.trade_ids,
            listing.aggregate_ids,
        )

    def open(self, now_ms: int) -> None:
        """Show the first quotes, so that there is a book before there is a client, and have a past."""
        for market in self._markets:
            first = market.open(now_ms)
            self._exchange.quoted(market.symbol, first.quote(), now_ms)
            rng = seeded_random(f"past of {market.symbol} {self._seed}")
            recall = partial(past_of, rng, now_ms, first.bid, market.volume_a_minute)
            self._exchange.listings[market.symbol].candles.begin_after(recall)

    async def run(self, wall_ms: Callable[[], int]) -> None:
        """Step every market each 10 ms, for ever."""
        steps, began = 0, trio.current_time()
        while True:
            steps += 1
            await trio.sleep_until(began + steps * _STEP_S)
            lag = (trio.current_time() - began) / _STEP_S - steps
            if lag > _WORST_LAG_STEPS:
                steps += int(lag)
            self.step(wall_ms())

    def step(self, now_ms: int) -> None:
        """Let 10 ms pass in every market."""
        self._steps += 1
        for market in self._markets:
            symbol, name = market.symbol, self._names[market.symbol]
            for event in market.step(now_ms):
                if isinstance(event, Quoted):
                    self._note(symbol, event)
                    self._hub.publish(f"{name}@bookTicker", event.payload)
                    self._exchange.quoted(symbol, event.quote(), now_ms)
                else:
                    self._hub.publish(f"{name}@aggTrade", event.payload)
                    side = Side.BUY if event.taker_buys else Side.SELL
                    self._exchange.traded(symbol, event.price, event.quantity, side, now_ms, now_ms)

            self._publish_depth(symbol, now_ms)

    def _note(self, symbol: str, event: Quoted) -> None:
        for _, stream in self._depth_streams[symbol]:
            if stream in self._tapes:
                self._tapes[stream].saw(event.update_id, event.bid, event.ask)

    def _publish_depth(self, symbol: str, now_ms: int) -> None:
        """Tell what has changed in a symbol's book on the streams that are due and heard."""
        for speed_ms, stream in self._depth_streams[symbol]:
            if self._steps * STEP_MS % speed_ms or not self._hub.heard(stream):
                continue
            listing = self._exchange.listings[symbol]
            if stream not in self._tapes:
                book = listing.quoted_book
                self._tapes[stream] = DepthTape(listing.contract, book, listing.quote)
            payload = self._tapes[stream].event(listing.quote, now_ms)
            if payload is not None:
                self._hub.publish(stream, payload)

    def printed(self, trade: Trade) -> None:
        """Put a fill of an own order on the public tape."""
        listing = self._exchange.listings[trade.symbol]
        payload = TapeWriter(listing.contract).own_fill(trade, listing.aggregate_ids.take())
        self._hub.publish(f"{self._names[trade.symbol]}@aggTrade", payload)
        taker = trade.side.opposite if trade.maker else trade.side
        listing.take_print(trade.price, trade.quantity, taker, trade.time_ms)
