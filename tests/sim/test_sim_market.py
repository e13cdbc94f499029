from __future__ import annotations

import random
from decimal import Decimal as D
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.sim.catalogue import DEFAULT_SYMBOLS, contract, recorded_contract
from aegis.sim.market import Printed, Quoted, SyntheticMarket, TapeRate
from aegis.sim.order import Side, Trade
from aegis.sim.sequence import Sequence
from aegis.sim.tape import TapeWriter, fixed_point, mark_price

START_MS = 1_700_000_000_000


def market(symbol: str = "BTCUSDT", seed: int = 7, **rate: float) -> SyntheticMarket:
    rng = random.Random(f"{symbol} {seed}")
    ids = Sequence(), Sequence(), Sequence()
    return SyntheticMarket(contract(symbol), rng, TapeRate(**rate), *ids)


def tape(made: SyntheticMarket, steps: int) -> list[Quoted | Printed]:
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
        assert (D(fields["p"]), D(fields["q"])) == (event.price, event.quantity)


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
    own = Trade(4, 1, "BTCUSDT", Side.SELL, D("61800.1"), D("0.01"), maker=True, time_ms=3)
    trade = msgspec.json.decode(writer.own_fill(own, 2))
    assert list(trade) == ["e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m", "st"]
    assert (trade["p"], trade["f"], trade["l"], trade["m"]) == ("61800.10", 4, 4, False)
    mark = msgspec.json.decode(mark_price("BTCUSDT", D("61800.05"), 8, 3))
    assert (mark["p"], mark["T"], mark["E"]) == ("61800.05000000", 8, 3)


@given(st.integers(1, 10**12), st.sampled_from(["0.10", "0.001", "1", "0.000010", "0.5", "10"]))
def test_fixed_point_equals_decimal(units: int, unit: str) -> None:
    """Writing units by integers gives what Decimal would."""
    text = fixed_point(D(unit))(units)
    assert D(text) == units * D(unit)
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
    prices, sizes = [D("2681.62"), D("2681.635")], [D("1.165"), D("0.0001")]
    assert recorded_contract("ETHUSDT", prices, sizes).tick == D("0.001")
    unknown = recorded_contract("QQQUSDT", prices, [D("1.0"), D("3")])
    assert (unknown.tick, unknown.step, unknown.typical_price) == (D("0.001"), 1, D("2681.62"))
