"""The market's public messages as bytes: bookTicker, depthUpdate, aggTrade, markPrice (protocol §4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from aegis.sim.amounts import money
from aegis.sim.contract import Contract
from aegis.sim.funding import FUNDING_RATE
from aegis.sim.order import Side, Trade

__all__ = ["TapeWriter", "fixed_point", "mark_price"]


def fixed_point(unit: Decimal) -> Callable[[int], str]:
    """Return a function that writes a whole number of units as a decimal, without Decimal work.

    Args:
        unit: a tick or step such as 0.10: its digits as written are the decimals that are shown.
    """
    _, digits, exponent = unit.as_tuple()
    places = max(0, -int(exponent))
    worth = int("".join(map(str, digits))) * 10 ** max(0, int(exponent))
    scale = 10**places
    if not places:
        return lambda units: str(units * worth)
    return lambda units: f"{units * worth // scale}.{units * worth % scale:0{places}d}"


class TapeWriter:
    """Writes one symbol's messages; `E` equals `T`, because nothing lies between this market and its venue."""

    def __init__(self, contract: Contract) -> None:
        self._symbol = contract.symbol
        self._contract = contract
        self._price = fixed_point(contract.tick)
        self._quantity = fixed_point(contract.step)

    def book_ticker(
        self, update_id: int, bid: int, bid_steps: int, ask: int, ask_steps: int, now_ms: int
    ) -> bytes:
        """Write a quote in ticks and steps."""
        price, quantity = self._price, self._quantity
        return (
            f'{{"e":"bookTicker","u":{update_id},"s":"{self._symbol}","b":"{price(bid)}",'
            f'"B":"{quantity(bid_steps)}","a":"{price(ask)}","A":"{quantity(ask_steps)}",'
            f'"T":{now_ms},"E":{now_ms},"st":1}}'
        ).encode()

    def depth_update(
        self,
        ids: tuple[int, int, int],
        bids: Iterable[tuple[int, int]],
        asks: Iterable[tuple[int, int]],
        now_ms: int,
    ) -> bytes:
        """Write changes of levels in ticks and steps, with their first and last id and the last one before them."""
        first, last, previous = ids
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"T":{now_ms},"s":"{self._symbol}","U":{first},'
            f'"u":{last},"pu":{previous},"b":[{self._levels(bids)}],"a":[{self._levels(asks)}],"st":1}}'
        ).encode()

    def _levels(self, rows: Iterable[tuple[int, int]]) -> str:
        price, quantity = self._price, self._quantity
        return ",".join(f'["{price(ticks)}","{quantity(steps)}"]' for ticks, steps in rows)

    def agg_trade(
        self,
        aggregate_id: int,
        ids: tuple[int, int],
        ticks: int,
        steps: int,
        now_ms: int,
        *,
        buyer_is_maker: bool,
    ) -> bytes:
        """Write an aggregate trade in ticks and steps, with its first and last trade id."""
        quantity = self._quantity(steps)
        first, last = ids
        return (
            f'{{"e":"aggTrade","E":{now_ms},"a":{aggregate_id},"s":"{self._symbol}",'
            f'"p":"{self._price(ticks)}","q":"{quantity}","nq":"{quantity}","f":{first},"l":{last},'
            f'"T":{now_ms},"m":{"true" if buyer_is_maker else "false"},"st":1}}'
        ).encode()

    def own_fill(self, trade: Trade, aggregate_id: int) -> bytes:
        """Write a fill of an own order as the public sees it."""
        contract, buys = self._contract, trade.side is Side.BUY
        return self.agg_trade(
            aggregate_id,
            (trade.id, trade.id),
            int(trade.price / contract.tick),
            int(trade.quantity / contract.step),
            trade.time_ms,
            buyer_is_maker=buys is trade.maker,
        )


def mark_price(symbol: str, mark: Decimal, next_funding_ms: int, now_ms: int) -> bytes:
    """Write a mark price; the index is the mark, as nothing else prices this market."""
    text = money(mark)
    return (
        f'{{"e":"markPriceUpdate","E":{now_ms},"s":"{symbol}","p":"{text}","ap":"{text}",'
        f'"P":"{text}","i":"{text}","r":"{money(FUNDING_RATE)}","T":{next_funding_ms},"st":1}}'
    ).encode()
