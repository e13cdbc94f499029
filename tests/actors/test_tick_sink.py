from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aegis.actors.tick_sink import QUARANTINE, TickSink
from aegis.market.records import TICK, TickKind
from aegis.venue.admission import Admission, AdmissionRules
from aegis.venue.binance_market import Message, Reply

BOOK = '{"e":"bookTicker","u":5,"s":"ETHUSDT","b":"2681.62","B":"1.165","a":"2681.63","A":"73.077","T":1723161256310,"E":1723161256311}'
AGG = '{"e":"aggTrade","E":1616202009196,"a":3895,"s":"BTCUSDT","p":"58665.00","q":"0.043","f":6,"l":6,"T":1616202009188,"m":false}'
MARK = '{"e":"markPriceUpdate","E":1654858692000,"s":"BTCUSDT","p":"29968.93335956","i":"29980.66509373","r":"-0.00010000","T":1654876800000}'


class ScriptedWriter:
    """A ring writer that has room for a number of records, and more once it was waited for."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.records: list[Any] = []  # numpy's void scalars, indexed by field

    def write(self, *words: float) -> bool:
        if len(self.records) >= self.room:
            return False
        raw = np.array([words], np.dtype("i8,u8,f8,f8,f8,f8"))
        self.records.append(raw.view(TICK)[0].copy())
        return True

    async def write_all(self, records: npt.NDArray[np.void]) -> None:
        self.room += len(records)
        self.records += [record.copy() for record in records]


async def sink_of(
    frame: str, *, lossless: bool = False, room: int = 100
) -> tuple[TickSink, ScriptedWriter]:
    writer = ScriptedWriter(room)
    sink = TickSink(writer, ("BTCUSDT", "ETHUSDT"), lossless=lossless)
    await sink.take(frame, recv_us=77)
    return sink, writer


async def test_sink_writes_a_quote() -> None:
    """A best quote keeps its four numbers, its event time and when it was received."""
    sink, writer = await sink_of(BOOK)
    (record,) = writer.records
    assert (record["symbol"], record["kind"], record["recv_us"]) == (1, TickKind.QUOTE, 77)
    assert record["event_ns"] == 1723161256311 * 1_000_000
    assert [record[name] for name in ("bid", "ask", "bid_size", "ask_size")] == [
        2681.62,
        2681.63,
        1.165,
        73.077,
    ]
    assert sink.ticks == 1


@pytest.mark.parametrize(("maker", "sold", "bought"), [("false", 0.0, 0.043), ("true", 0.043, 0.0)])
async def test_sink_writes_a_trade_on_the_side_that_took(
    maker: str, sold: float, bought: float
) -> None:
    """The difference of the two sizes is the signed volume; the time is that of the trade."""
    _, writer = await sink_of(AGG.replace("false", maker))
    (record,) = writer.records
    assert (record["kind"], record["bid"], record["ask"]) == (TickKind.TRADE, 58665.0, 58665.0)
    assert (record["bid_size"], record["ask_size"]) == (sold, bought)
    assert record["event_ns"] == 1616202009188 * 1_000_000


async def test_sink_writes_a_mark() -> None:
    """The valuation of the exchange travels as a record of its own kind, whatever the sign of the funding rate."""
    _, writer = await sink_of(MARK)
    (record,) = writer.records
    assert (record["kind"], record["event_ns"]) == (TickKind.MARK, 1654858692000 * 1_000_000)
    assert record["bid"] == 29968.93335956
    assert record["ask"] == 29980.66509373
    assert (record["bid_size"], record["ask_size"]) == (-0.0001, 1654876800000.0)


async def test_sink_takes_every_mark_of_an_array() -> None:
    """The stream of all mark prices makes a tick of each that is ours."""
    other = MARK.replace("BTCUSDT", "XRPUSDT")
    coin = MARK[:-1] + ',"st":2}'
    ours = MARK.replace("BTCUSDT", "ETHUSDT").replace('"-0.00010000"', '""')
    sink, writer = await sink_of(f'{{"stream":"!markPrice@arr","data":[{other},{coin},{ours}]}}')
    assert [(record["symbol"], record["bid_size"]) for record in writer.records] == [(1, 0.0)]
    assert (sink.ticks, sink.strangers) == (1, 1)


async def test_sink_hands_on_what_makes_no_tick() -> None:
    """A candle, or a warning of the server, is for whoever reads the socket."""
    sink, writer = await sink_of(AGG)
    said = await sink.take('{"event":{"e":"serverShutdown","E":1}}', 0)
    assert isinstance(said, Message)
    assert len(writer.records) == sink.ticks == 1


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        BOOK.replace('"b":"2681.62"', '"b":"2681.64"'),  # crossed
        BOOK.replace('"a":"2681.63"', '"a":"NaN"'),
        BOOK.replace('"B":"1.165"', '"B":"-1"'),
        AGG.replace("58665.00", "0"),
        AGG.replace("58665.00", "1e999"),
        AGG.replace('"q":"0.043"', '"q":"inf"'),
        AGG.replace('"p":"58665.00",', ""),
        AGG.replace('"T":1616202009188', '"T":9223372036855'),  # in ns beyond 64 bits
        BOOK.replace('"E":1723161256311', '"E":9223372036854775807'),
        BOOK.replace('"E":1723161256311', '"E":0'),
        AGG.replace('"T":1616202009188', '"T":-5'),
        AGG.replace("58665.00", "1e12"),  # no market has such a price
        BOOK.replace("1.165", "1e15"),
        AGG.replace('"a":3895', '"a":-1'),
        AGG.replace('"a":3895', '"a":9223372036854775807'),
        MARK.replace("29968.93335956", "-1"),
        MARK.replace("-0.00010000", "nan"),
        MARK.replace("-0.00010000", "1.5"),
        MARK.replace('"T":1654876800000', '"T":9223372036855'),
        AGG.replace('"a":3895', '"a":' + "[" * 10_000 + "]" * 10_000),
    ],
)
async def test_sink_keeps_what_is_no_tick(frame: str) -> None:
    """A frame that is malformed or impossible is counted and kept; nothing of it reaches the ring."""
    sink, writer = await sink_of(frame)
    assert writer.records == []
    assert (sink.ticks, sink.malformed, list(sink.quarantine)) == (0, 1, [frame[:500]])


async def test_sink_keeps_the_last_frames_only() -> None:
    """However many frames are bad, what is kept of them is bounded."""
    sink, _ = await sink_of("{")
    for number in range(100):
        await sink.take(f"{{{number}" + "x" * 10_000, 0)
    assert (sink.malformed, len(sink.quarantine)) == (101, QUARANTINE)
    assert all(len(frame) <= 500 for frame in sink.quarantine)


async def test_sink_counts_symbols_that_nobody_asked_for() -> None:
    """A frame of another symbol is no error, and no tick."""
    sink, writer = await sink_of(AGG.replace("BTCUSDT", "XRPUSDT"))
    assert (sink.strangers, sink.malformed, writer.records) == (1, 0, [])


async def test_sink_hands_back_control_replies() -> None:
    """The answer to a subscription is for whoever asked."""
    sink, _ = await sink_of(AGG)
    reply = await sink.take('{"result":null,"id":1}', 0)
    assert isinstance(reply, Reply)
    assert reply.is_acknowledgement


async def test_sink_waits_for_room_when_nothing_may_be_lost() -> None:
    """A lossless run writes the record once there is room; another one counts it as dropped."""
    waiting, writer = await sink_of(AGG, lossless=True, room=0)
    assert (waiting.ticks, waiting.dropped, len(writer.records)) == (1, 0, 1)
    assert writer.records[0]["bid"] == 58665.0
    dropping, writer = await sink_of(AGG, room=0)
    assert (dropping.ticks, dropping.dropped, len(writer.records)) == (0, 1, 0)


async def test_sink_marks_each_symbol_of_a_broken_connection() -> None:
    """A GAP stands before whatever comes next."""
    sink, writer = await sink_of(AGG)
    await sink.mark_gaps([0, 1], 5)
    assert [(record["symbol"], record["kind"]) for record in writer.records[1:]] == [
        (0, TickKind.GAP),
        (1, TickKind.GAP),
    ]
    assert sink.gaps == 2


async def test_sink_keeps_what_is_not_let_in() -> None:
    """A tick of tomorrow, or of another order of price, is kept for people; one that was seen is only counted."""
    writer = ScriptedWriter()
    sink = TickSink(writer, ("BTCUSDT",), lossless=False, admission=Admission(1, AdmissionRules()))
    tomorrow = AGG.replace(":3895", ":3896").replace('"T":1616202009188', '"T":1616288409188')
    absurd = AGG.replace(":3895", ":3896").replace("58665.00", "586650.00")
    for frame in (AGG, AGG, tomorrow, absurd):
        await sink.take(frame, recv_us=77)
    assert len(writer.records) == sink.ticks == 1
    assert (sink.duplicates, sink.future, sink.outliers, sink.malformed) == (1, 1, 1, 2)
    assert list(sink.quarantine) == [tomorrow, absurd]


async def test_sink_puts_a_gap_before_a_tick_whose_id_does_not_follow() -> None:
    """An aggTrade that was skipped inside a connection leaves its mark in the ring."""
    writer = ScriptedWriter()
    sink = TickSink(writer, ("BTCUSDT",), lossless=False, admission=Admission(1))
    for number in (3895, 3897):
        await sink.take(AGG.replace("3895", str(number)), recv_us=77)
    kinds = [record["kind"] for record in writer.records]
    assert kinds == [TickKind.TRADE, TickKind.GAP, TickKind.TRADE]
    assert (sink.gaps, sink.ticks) == (1, 2)


async def test_sink_outlives_numbers_that_no_column_holds() -> None:
    """An integer of the wire may have hundreds of digits: nothing that a server sends stops the worker."""
    mark = (
        '{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1654858692000,"s":"BTCUSDT",'
        '"p":"29968.9","i":"29980.6","r":"0.0001","T":%s}}'
    )
    for frame in (mark % ("9" * 400), AGG.replace("3895", "9" * 400)):
        sink, writer = await sink_of(frame)
        assert (sink.malformed, writer.records) == (1, [])
    sink, _ = await sink_of(mark % 1654876800000)
    assert (sink.malformed, sink.ticks) == (0, 1)
