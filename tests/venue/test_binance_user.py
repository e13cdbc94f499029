from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis.errors import Refused
from aegis.orders.instrument import Instrument, Side
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening
from aegis.venue.binance_user import ListenKeyExpired, decode_user
from aegis.venue.port import AccountView, OrderUpdate

PAYLOADS = Path(__file__).parents[2].parent / "shared" / "data" / "payloads"

FILL = b'{"e":"ORDER_TRADE_UPDATE","T":1772461923867,"E":1772461923868,"o":{"s":"ACHUSDT","c":"WgLUfog03IeNEactrAJNDS","S":"BUY","o":"LIMIT","f":"GTC","q":"800","p":"0.006628","ap":"0.00661","sp":"0","x":"TRADE","X":"FILLED","i":4903999096,"l":"800","z":"800","L":"0.00661","n":"0.002644","N":"USDT","T":1772461923867,"t":258307413,"b":"0","a":"0","m":false,"R":false,"wt":"CONTRACT_PRICE","ot":"LIMIT","ps":"BOTH","cp":false,"rp":"0","pP":false,"si":0,"ss":0,"V":"EXPIRE_MAKER","pm":"NONE","gtd":0,"er":"0"}}'
ACCOUNT = b'{"e":"ACCOUNT_UPDATE","T":1610638208309,"E":1610638208312,"a":{"B":[{"a":"USDT","wb":"41155.75036105","cw":"41155.75036105"}],"P":[{"s":"BTCUSDT","pa":"5","ep":"39560.50000","cr":"41904.65494994","up":"1408.83485865","mt":"cross","iw":"0","ps":"BOTH","ma":"USDT"}],"m":"ORDER"}}'

USER_KINDS = (OrderUpdate, AccountView, ListenKeyExpired, type(None))


@given(st.binary(max_size=200))
def test_user_stream_refuses_what_it_cannot_read(noise: bytes) -> None:
    """Noise is refused by one error, never by another."""
    with suppress(Refused):
        assert isinstance(decode_user(noise), USER_KINDS)


@pytest.mark.parametrize("opening", [b"[", b'{"x":'])
def test_user_stream_refuses_what_is_nested_beyond_reason(opening: bytes) -> None:
    """Depth is an attack or an accident, never an answer."""
    with pytest.raises(Refused):
        decode_user(FILL[:-1] + b',"y":' + opening * 100_000)


def test_user_stream_reads_a_recorded_fill() -> None:
    """The fill of the user stream carries its trade, exactly."""
    update = decode_user(FILL)
    assert isinstance(update, OrderUpdate)
    assert update.happening is None
    assert update.trade is not None
    assert (update.trade.side, update.trade.quantity) == (Side.BUY, Decimal(800))
    assert (update.trade.price, update.trade.fee) == (Decimal("0.00661"), Decimal("0.002644"))
    assert update.trade.trade_id == 258307413


def test_user_stream_reads_a_recorded_new_order() -> None:
    """The first event of an order proves that it was accepted, and fills nothing."""
    new = FILL.replace(b'"x":"TRADE","X":"FILLED"', b'"x":"NEW","X":"NEW"')
    new = new.replace(b'"t":258307413', b'"t":0').replace(b'"l":"800"', b'"l":"0"')
    update = decode_user(new)
    assert isinstance(update, OrderUpdate)
    assert update.happening is Happening.ACCEPTED
    assert update.trade is None


def test_user_stream_reads_a_recorded_account_update() -> None:
    """Balance and positions come as they are."""
    view = decode_user(ACCOUNT)
    expected = {"BTCUSDT": Position(Decimal(5), Decimal("39560.5"))}
    assert view == AccountView(Decimal("41155.75036105"), expected)


def test_user_stream_passes_over_user_events_that_change_nothing() -> None:
    """An event that we do not act on is no error."""
    assert decode_user(b'{"e":"TRADE_LITE","E":1,"s":"BTCUSDT"}') is None


def test_user_stream_passes_over_contracts_that_are_margined_in_coins() -> None:
    """Both halves of the exchange share a stream: ten contracts of 100 dollars are no ten coins."""
    assert isinstance(decode_user(FILL.replace(b'"E":', b'"st":1,"E":', 1)), OrderUpdate)
    assert decode_user(FILL.replace(b'"E":', b'"st":2,"E":', 1)) is None


def test_user_stream_reads_the_recorded_user_events() -> None:
    """Every recorded user-data event of the reference set can be read."""
    folder = PAYLOADS / "QuantConnect+Lean.Brokerages.Binance"
    if not folder.is_dir():
        pytest.skip("the recorded payloads are not beside the project")
    lines = [
        line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()
    ]
    orders = [line for line in lines if b'"e":"ORDER_TRADE_UPDATE"' in line]
    assert orders
    assert all(isinstance(decode_user(line), OrderUpdate) for line in orders)
    for line in lines:
        decode_user(line)  # the others are read, or passed over; none is refused


def test_instrument_is_read_from_recorded_filters() -> None:
    """The filters of a recorded exchangeInfo row become an instrument, the market lot bounding the quantity."""
    row = msgspec.json.decode(
        b'{"symbol":"BTCUSDT","filters":[{"filterType":"PRICE_FILTER","maxPrice":"4529764","minPrice":"556.80","tickSize":"0.10"},{"filterType":"LOT_SIZE","maxQty":"1000","minQty":"0.001","stepSize":"0.001"},{"filterType":"MARKET_LOT_SIZE","maxQty":"120","minQty":"0.001","stepSize":"0.001"},{"filterType":"MIN_NOTIONAL","notional":"100"}]}'
    )
    instrument = Instrument.from_exchange_info(row)
    assert instrument.max_quantity == 120
    assert instrument.tick_size == Decimal("0.1")
    with pytest.raises(Refused, match="MIN_NOTIONAL"):
        Instrument.from_exchange_info({**row, "filters": row["filters"][:3]})


def test_instrument_keeps_to_the_narrower_of_two_lot_filters() -> None:
    """A MARKET order has a filter of its own: what one of the two does not take is not ordered."""
    lot = {"filterType": "LOT_SIZE", "maxQty": "1000", "minQty": "0.01", "stepSize": "0.001"}
    market = {
        "filterType": "MARKET_LOT_SIZE",
        "maxQty": "120",
        "minQty": "0.002",
        "stepSize": "0.1",
    }
    price = {"filterType": "PRICE_FILTER", "maxPrice": "9", "minPrice": "1", "tickSize": "0.1"}
    least = {"filterType": "MIN_NOTIONAL", "notional": "5"}
    row = {"symbol": "BTCUSDT", "filters": [lot, market, price, least]}
    read = Instrument.from_exchange_info(row)
    assert (read.step_size, read.min_quantity, read.max_quantity) == (
        Decimal("0.1"),
        Decimal("0.102"),
        Decimal(120),
    )
