"""The market streams of Binance USD-M Futures (protocol §4): bytes in, typed values out. No input or output of its own.

Every stream there is can be read. Unknown fields are ignored and optional ones may be absent: the exchange adds
fields several times a year. Prices and quantities become float64, as they feed indicators; the levels of a book stay
text, which whoever keeps the book reads without losing a digit. Field names are the wire's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import attrs
import msgspec

from aegis.errors import Refused

__all__ = [
    "AggTrade",
    "AssetIndex",
    "BookTicker",
    "CompositeIndex",
    "ContinuousKline",
    "ContractInfo",
    "DepthUpdate",
    "ForceOrder",
    "Kline",
    "MarkPrice",
    "MarketEvent",
    "MarketTrade",
    "Message",
    "MiniTicker",
    "Reply",
    "ServerShutdown",
    "Ticker",
    "TradingSession",
    "decode_market",
]

_COIN_MARGINED: Final = 2


class _Tick(msgspec.Struct, tag_field="e", kw_only=True):
    """An event that the lane reads as well: of its fields those are here that matter there."""

    st: int = 1  # 1: margined in USD, 2: in the coin


class _Event(_Tick, kw_only=True):
    """Any other event, with the time at which it was sent."""

    E: int = 0


class BookTicker(_Tick, tag="bookTicker", kw_only=True):
    """Best bid and ask."""

    s: str
    b: float
    B: float
    a: float
    A: float
    E: int
    u: int = 0


class AggTrade(_Tick, tag="aggTrade", kw_only=True):
    """The fills of one taker order at one price."""

    s: str
    p: float
    q: float
    T: int
    m: bool
    a: int = 0


class MarketTrade(_Tick, tag="trade", kw_only=True):
    """One fill: undocumented for futures today, and what recordings of 2024 hold."""

    s: str
    p: float
    q: float
    T: int
    m: bool
    t: int = 0


class MarkPrice(_Tick, tag="markPriceUpdate", kw_only=True):
    """The exchange's own valuation of a contract, and its funding; a contract that expires has none."""

    s: str
    p: float
    E: int
    i: float = 0.0
    r: float | Literal[""] = 0.0
    T: int = 0


class Candle(msgspec.Struct, kw_only=True):
    """`k` of a kline: one candle, as it is now; `x` says whether it is closed."""

    t: int
    T: int
    i: str
    o: float
    c: float
    h: float
    l: float  # noqa: E741  # the wire's spelling
    v: float
    x: bool
    n: int = 0
    q: float = 0.0
    V: float = 0.0
    Q: float = 0.0


class Kline(_Event, tag="kline", kw_only=True):
    """The forming candle of a symbol, or its last state."""

    s: str
    k: Candle


class ContinuousKline(_Event, tag="continuous_kline", kw_only=True):
    """The same for a pair and a kind of contract, whichever contract that is now."""

    ps: str
    ct: str
    k: Candle


class MiniTicker(_Event, tag="24hrMiniTicker", kw_only=True):
    """The last 24 hours in short."""

    s: str
    c: float
    o: float
    h: float
    l: float  # noqa: E741
    v: float
    q: float


class Ticker(_Event, tag="24hrTicker", kw_only=True):
    """The last 24 hours."""

    s: str
    c: float
    o: float
    h: float
    l: float  # noqa: E741
    v: float
    q: float
    p: float = 0.0
    P: float = 0.0
    w: float = 0.0
    Q: float = 0.0
    O: int = 0  # noqa: E741
    C: int = 0
    F: int = 0
    L: int = 0
    n: int = 0


class DepthUpdate(_Tick, tag="depthUpdate", kw_only=True):
    """A change of a book, or its top levels: each level a price and a quantity, as they were written.

    What the lane reads as well: it has no tick, but a place in an order book (`aegis.venue.depth_codec`).
    """

    s: str
    U: int
    u: int
    pu: int
    T: int
    b: list[list[str]]
    a: list[list[str]]


class Liquidation(msgspec.Struct, kw_only=True):
    """`o` of a forceOrder."""

    s: str
    S: str
    q: float
    p: float
    ap: float
    T: int
    o: str = ""
    f: str = ""
    X: str = ""
    l: float = 0.0  # noqa: E741
    z: float = 0.0


class ForceOrder(_Event, tag="forceOrder", kw_only=True):
    """The largest liquidation of a symbol within a second."""

    o: Liquidation


class Bracket(msgspec.Struct, kw_only=True):
    """One row of `bks`: from which notional to which, the maintenance margin and the leverage."""

    bs: int
    bnf: float
    bnc: float
    mmr: float
    cf: float
    mi: int
    ma: int


class ContractInfo(_Event, tag="contractInfo", kw_only=True):
    """A contract was listed, settled, or has other brackets."""

    s: str
    ct: str = ""
    dt: int = 0
    ot: int = 0
    cs: str = ""
    ps: str = ""
    bks: list[Bracket] = []


class Constituent(msgspec.Struct, kw_only=True):
    """One row of `c` of a compositeIndex: an asset, and its weight."""

    b: str
    q: str = ""
    w: float = 0.0
    W: float = 0.0
    i: float = 0.0


class CompositeIndex(_Event, tag="compositeIndex", kw_only=True):
    """An index of several assets."""

    s: str
    p: float
    C: str = ""
    c: list[Constituent] = []


class AssetIndex(_Event, tag="assetIndexUpdate", kw_only=True):
    """What an asset is worth as margin."""

    s: str
    i: float
    b: float = 0.0
    a: float = 0.0
    B: float = 0.0
    A: float = 0.0
    q: float = 0.0
    g: float = 0.0
    Q: float = 0.0
    G: float = 0.0


class TradingSession(msgspec.Struct, tag_field="e", tag="EquityUpdate", kw_only=True):
    """The session of the market behind a tokenised share."""

    E: int = 0
    t: int = 0
    T: int = 0
    S: str = ""


class CommoditySession(TradingSession, tag="CommodityUpdate", kw_only=True):
    """The same of a commodity."""


class ServerShutdown(msgspec.Struct, tag_field="e", tag="serverShutdown", kw_only=True):
    """This server will be gone in some minutes."""

    E: int = 0


MarketEvent = (
    BookTicker
    | AggTrade
    | MarketTrade
    | MarkPrice
    | Kline
    | ContinuousKline
    | MiniTicker
    | Ticker
    | DepthUpdate
    | ForceOrder
    | ContractInfo
    | CompositeIndex
    | AssetIndex
    | TradingSession
    | CommoditySession
    | ServerShutdown
)


class Reply(msgspec.Struct):
    """The answer to a control frame, or a frame without an event."""

    id: int | None = None
    error: Any = None
    code: int | None = None

    @property
    def is_acknowledgement(self) -> bool:
        """Whether it says yes to a request: a refusal comes as `error`, or bare as `code`."""
        return self.id is not None and self.error is None and self.code is None


@attrs.frozen
class Message:
    """The events of one frame: one, or those of an array."""

    stream: str
    """The stream that it came by; empty in a raw frame."""
    events: Sequence[MarketEvent]
    """Without those of contracts margined in a coin, which the streams of all symbols bring as well."""


class _Envelope(msgspec.Struct):
    """Any frame, as far as needed to tell a combined one (`data`), a raw one (`e`) and a reply apart."""

    data: msgspec.Raw = msgspec.Raw()
    stream: Any = ""
    e: str = ""
    event: msgspec.Raw = msgspec.Raw()  # what a shutdown is announced in


_Body = bytes | str | msgspec.Raw
_envelope: Final = msgspec.json.Decoder(_Envelope | list[msgspec.Raw]).decode
_reply: Final = msgspec.json.Decoder(Reply).decode
_market: Final[Callable[[_Body], MarketEvent | list[MarketEvent]]] = msgspec.json.Decoder(
    MarketEvent | list[MarketEvent], strict=False
).decode
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)
"""ValueError: bad UTF-8. RecursionError: deeper than any answer, even in a field that is skipped."""


def decode_market(frame: bytes | str) -> Message | Reply:
    """One frame of a market socket, raw or combined.

    Raises:
        Refused: it is malformed, or an event that was never subscribed to.
    """
    try:
        envelope = _envelope(frame)
        if isinstance(envelope, list):
            return _message("", frame)
        if envelope.data:
            return _message(envelope.stream, envelope.data)
        if envelope.e:
            return _message("", frame)
        return _message("", envelope.event) if envelope.event else _reply(frame)
    except _UNREADABLE as why:
        raise Refused(f"a market frame cannot be read: {why}") from None


def _message(stream: object, body: _Body) -> Message:
    found = _market(body)
    events = found if isinstance(found, list) else [found]
    name = stream if isinstance(stream, str) else ""
    return Message(name, [each for each in events if not _is_coin_margined(each)])


def _is_coin_margined(event: MarketEvent) -> bool:
    return isinstance(event, _Tick) and event.st == _COIN_MARGINED
