from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.kernel.clock import seeded_random
from aegis.sim.catalogue import DEFAULT_SYMBOLS, contract, recorded_contract
from aegis.sim.hub import Hub
from aegis.sim.market import Printed, Quoted, SyntheticMarket, TapeRate
from aegis.sim.order import Side, Trade
from aegis.sim.routes import Route
from aegis.sim.sequence import Sequence
from aegis.sim.synthetic import Synthetic
from aegis.sim.tape import TapeWriter, fixed_point, mark_price

START_MS = 1_700_000_000_000


def market(symbol: str = "BTCUSDT", seed: int = 7, **rate: float) -> SyntheticMarket:
    """Make a market of one symbol."""
    rng = seeded_random(f"{symbol} {seed}")
    ids = Sequence(), Sequence(), Sequence()
    return SyntheticMarket(contract(symbol), rng, TapeRate(**rate), *ids)


def tape(made: SyntheticMarket, steps: int) -> list[Quoted | Printed]:
    """Return everything that happens in so many steps."""
    return [event for step in range(steps) for event in made.step(START_MS + step * 10)]


def test_same_seed_gives_the_same_bytes() -> None:
    """The tape is a function of seed and times, byte for byte; another seed gives another one."""
    first = [each.payload for each in tape(market(), 2_000)]
    assert first == [each.payload for each in tape(market(), 2_000)]
    assert first != [each.payload for each in tape(market(seed=8), 2_000)]


def test_rates_are_kept() -> None:
    """Twenty seconds hold about 80 quotes and 40 trades each, or what else was asked for."""
    events = tape(market(), 2_000)
    quotes = sum(isinstance(each, Quoted) for each in events)
    assert 1_450 < quotes < 1_750
    assert 700 < len(events) - quotes < 900
    assert len(tape(market(quotes_a_second=5, trades_a_second=0), 2_000)) < 150


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT", "NEWCOINUSDT"])
def test_tape_is_sound(symbol: str) -> None:
    """Quotes never cross, sizes are whole steps, ids have no gap, and a trade is at the last touch."""
    made, listed = market(symbol), contract(symbol)
    last, next_trade, next_aggregate, update = made.open(START_MS), 1, 1, 0
    for event in tape(made, 3_000):
        if isinstance(event, Quoted):
            last, quote = event, event.quote()
            assert 0 < quote.bid < quote.ask
            assert quote.bid % listed.tick == quote.ask % listed.tick == 0
            assert min(quote.bid_quantity, quote.ask_quantity) >= listed.step
            assert event.update_id > update
            update = event.update_id
            continue
        fields = msgspec.json.decode(event.payload)
        assert (fields["a"], fields["f"]) == (next_aggregate, next_trade)
        next_aggregate, next_trade = fields["a"] + 1, fields["l"] + 1
        assert event.ticks == (last.ask if event.taker_buys else last.bid)
        assert fields["m"] is not event.taker_buys
        assert (Decimal(fields["p"]), Decimal(fields["q"])) == (event.price, event.quantity)


class Ear:
    """A subscriber that keeps the aggregate trades it hears."""

    route = Route.MARKET
    combined = False
    events: frozenset[str] | None = None

    def __init__(self) -> None:
        self.trades: list[dict[str, Any]] = []

    def send(self, frame: bytes) -> None:
        self.trades.append(msgspec.json.decode(frame[frame.index(b"{") :]))

    async def drained(self, size: int) -> None:
        """Keep nobody waiting."""


def test_own_fills_leave_no_gap_in_the_tape(venue: Any) -> None:
    """With own orders resting and taking in a burst, aggregate and trade ids still follow each other."""
    hub, ear = Hub(), Ear()
    hub.subscribe(ear, ["btcusdt@aggTrade"])
    synthetic = Synthetic(venue.exchange, hub, 7, TapeRate(200, 200))
    venue.print_to = synthetic.printed
    synthetic.open(START_MS)
    for step in range(1_000):
        synthetic.step(START_MS + step * 10)
        quote = venue.exchange.listing("BTCUSDT").quote
        if step % 20 == 0:
            venue.exchange.cancel_all("BTCUSDT", START_MS)
            for side in Side:
                venue.place(side, "0.3", str(quote.touch(side)[0]))
    assert any(each.maker for each in venue.exchange.trades)
    for one, other in pairwise(ear.trades):
        assert (other["a"], other["f"]) == (one["a"] + 1, one["l"] + 1)


def test_price_stays_believable_for_hours() -> None:
    """Two hours later the price is still near where it started, and it has moved all the time."""
    made = market(quotes_a_second=1, trades_a_second=0)
    bids = [each.bid for each in tape(made, 720_000) if isinstance(each, Quoted)]
    start = int(contract("BTCUSDT").typical_price / contract("BTCUSDT").tick)
    assert 0.9 < min(bids) / start < max(bids) / start < 1.1
    assert sum(one != other for one, other in pairwise(bids)) > len(bids) * 0.9


def test_messages_have_the_documented_keys() -> None:
    """bookTicker, aggTrade and markPrice carry the keys of the 2026 stream."""
    writer = TapeWriter(contract("BTCUSDT"))
    quote = msgspec.json.decode(writer.book_ticker(9, 618_000, 5, 618_001, 7, 3))
    assert list(quote) == ["e", "u", "s", "b", "B", "a", "A", "T", "E", "st"]
    assert (quote["b"], quote["B"], quote["a"]) == ("61800.00", "0.005", "61800.10")
    own = Trade(
        4, 1, "BTCUSDT", Side.SELL, Decimal("61800.1"), Decimal("0.01"), maker=True, time_ms=3
    )
    trade = msgspec.json.decode(writer.own_fill(own, 2))
    assert list(trade) == ["e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m", "st"]
    assert (trade["p"], trade["f"], trade["l"], trade["m"]) == ("61800.10", 4, 4, False)
    mark = msgspec.json.decode(mark_price("BTCUSDT", Decimal("61800.05"), 8, 3))
    assert (mark["p"], mark["T"], mark["E"]) == ("61800.05000000", 8, 3)


@given(st.integers(1, 10**12), st.sampled_from(["0.10", "0.001", "1", "0.000010", "0.5", "10"]))
def test_fixed_point_equals_decimal(units: int, unit: str) -> None:
    """Writing units by integers gives what Decimal would."""
    text = fixed_point(Decimal(unit))(units)
    assert Decimal(text) == units * Decimal(unit)
    assert len(text.partition(".")[2]) == len(unit.partition(".")[2])


def test_any_name_makes_a_contract() -> None:
    """A known name has its real filters, any other the same ones each time, and odd ones are refused."""
    assert contract("BTCUSDT").min_notional == 100
    assert contract("NEWCOINUSDT") == contract("NEWCOINUSDT")
    assert contract("币安人生USDT").tick > 0
    assert len(set(DEFAULT_SYMBOLS)) == 8
    for name in ("btcusdt", "BTC USDT", "BTC@USDT", "", 'A"B', "X" * 41):
        with pytest.raises(Refused):
            contract(name)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=12))
def test_derived_contracts_are_tradable(base: str) -> None:
    """Every derived contract has a typical price of 10,000 ticks or more and filters that let it trade."""
    made = contract(f"{base}USDT")
    assert made.typical_price / made.tick >= 1_000
    assert made.min_price < made.typical_price < made.max_price
    assert made.step * made.typical_price < 1000
    assert made.typical_price * made.market_max_quantity > 10_000


def test_recorded_contract_learns_its_units() -> None:
    """A recording refines tick and step of a known symbol and determines those of an unknown one."""
    prices, sizes = [Decimal("2681.62"), Decimal("2681.635")], [Decimal("1.165"), Decimal("0.0001")]
    assert recorded_contract("ETHUSDT", prices, sizes).tick == Decimal("0.001")
    unknown = recorded_contract("QQQUSDT", prices, [Decimal("1.0"), Decimal(3)])
    assert (unknown.tick, unknown.step, unknown.typical_price) == (
        Decimal("0.001"),
        Decimal(1),
        Decimal("2681.62"),
    )
