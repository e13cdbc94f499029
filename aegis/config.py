"""The configuration: TOML into attrs classes. An unknown key, a wrong type or a senseless value is refused, with its name.

Secrets never stand in it: the API key comes from the environment (`aegis.venue.signing`).
"""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import cattrs
from attrs.validators import ge, le
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from aegis.errors import Refused
from aegis.market.parameters import MAX_INTERVAL_MS, BarKind, Parameters
from aegis.orders.limits import Limits
from aegis.paper import SYMBOLS_MAX, is_symbol, paper_symbols

__all__ = [
    "VENUES",
    "Config",
    "FeedConfig",
    "RunConfig",
    "StrategyConfig",
    "VenueConfig",
    "load",
    "read_table",
]

VenueName = Literal["sim", "binance-testnet", "custom"]
VENUES: Final[tuple[VenueName, ...]] = ("sim", "binance-testnet", "custom")

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
# These are what the ring, the exchange and the kernel can do; a test holds them to the modules that know.
_RING_CAPACITY: Final = (64, 1 << 24)
_STREAMS_PER_SOCKET: Final = (2, 1024)
_CANDLES_MAX: Final = 1499
_CPU_LATENCY_US_MAX: Final = (1 << 31) - 1
_SIGMAS_MAX: Final = 1e6


def _whole(default: int, least: int, most: int) -> Any:
    """A whole number within bounds."""
    return attrs.field(default=default, validator=[ge(least), le(most)])


def _power_of_two(_: object, field: attrs.Attribute[int], value: int) -> None:
    least, most = _RING_CAPACITY
    if not least <= value <= most or value & (value - 1):
        raise ValueError(f"'{field.name}' must be a power of two from {least} to {most}: {value}")


def _some_names(_: object, field: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    if not 1 <= len(value) <= SYMBOLS_MAX:
        raise ValueError(f"'{field.name}' must be 1 to {SYMBOLS_MAX} names: {len(value)}")
    if (odd := next((name for name in value if not is_symbol(name)), None)) is not None:
        raise ValueError(f"'{field.name}' must be names such as BTCUSDT: {odd!r}")
    if len(set(value)) < len(value):
        twice = next(name for name in value if value.count(name) > 1)
        raise ValueError(f"'{field.name}' must be different names: {twice!r} is there twice")


@attrs.frozen
class VenueConfig:
    """Where to trade. The addresses are needed for `custom` only."""

    name: VenueName = "sim"
    rest_url: str = ""
    streams_url: str = ""
    order_timeout_ms: int = _whole(4000, 1, _MINUTE_MS)


@attrs.frozen
class FeedConfig:
    """How ticks come in."""

    trade_stream: Literal["aggTrade", "trade"] = "aggTrade"
    """`trade` is what recordings of 2024 hold; the exchange sends `aggTrade` today."""
    ring_capacity: int = attrs.field(default=16_384, validator=_power_of_two)
    lossless: bool = False
    """True: a full ring holds the worker (and the exchange) back, as a replay wants. False: the market does not
    wait; what the Brain could not read in time is counted as lost."""
    silence_ms: int = _whole(10_000, 0, _DAY_MS)
    """A market socket without an event for this long is broken, and connected again; 0 never."""
    conflate_ms: int = _whole(100, 0, _DAY_MS)
    """Whoever listens to updates is told the latest of each symbol so often, in exchange time, with all that its trades
    say to a bar; 0: each tick by itself. Bars and strategies see every tick, whatever this is."""
    history_bars: int = _whole(500, 0, _CANDLES_MAX)
    """So many of the exchange's own candles are loaded at the start, where it has candles of this length (from one
    minute on); 0: none."""
    streams_per_socket: int = _whole(1024, *_STREAMS_PER_SOCKET)
    """At most; the two of one symbol that go the same way share a socket."""
    socket_lifetime_s: int = _whole(82_800, 1, _DAY_MS // 1000)
    """After which a socket is replaced by another without a break; the exchange closes it at 24 hours."""
    mark_silence_ms: int = _whole(10_000, 0, _DAY_MS)
    """A stream of mark prices without an event for this long is asked for again, then its socket replaced; 0 never."""
    quote_silence_ms: int = _whole(60_000, 0, _DAY_MS)
    """The same for best quotes."""
    trade_silence_ms: int = _whole(300_000, 0, _DAY_MS)
    """The same for trades, which may rest: they are only asked for again."""
    future_ms: int = _whole(10_000, 0, _DAY_MS)
    """A tick further ahead of exchange time than this is quarantined; 0 lets all in."""
    depth: Literal["", "0ms", "100ms", "250ms", "500ms"] = ""
    """How often the exchange tells what has changed in its order books, of which the engine then keeps a copy; empty:
    there are none."""
    jump_sigmas: float = attrs.field(default=20.0, validator=[ge(0.0), le(_SIGMAS_MAX)])
    """A price further from the one before than this many standard deviations waits until the next two confirm it;
    0 lets all in."""


@attrs.frozen
class RunConfig:
    """How a run goes and ends."""

    on_stop: Literal["close", "keep"] = "close"
    """What becomes of open positions at the end."""
    journal: str = ""
    """Path of the journal; empty: one of its own for each paper run, under the state folder."""
    own_core: bool = True
    """The loop keeps to the last core that the engine may use, and has the journal's thread beside it; the Brain's thread, offloaded
    work, the worker and the shipped exchange keep off it. Where another engine has that core already, or there is no other,
    the scheduler decides. False: it always does; for containers that have the same cores, as none sees what another claims."""
    cpu_latency_us: int = attrs.field(default=0, validator=le(_CPU_LATENCY_US_MAX))
    """Idle cores of the machine are asked to be back at work within this time (`aegis.cpu_latency`); 0: they look for work all the
    time, and signals and orders come sooner, for some power. A few microseconds leave a machine's own cores their lightest rest.
    Less than 0: not asked. Whoever may not write to /dev/cpu_dma_latency runs with cores that rest."""
    keep_awake: bool = False
    """True: where idle cores rest nevertheless, a thread of the lowest priority keeps the last one that the engine may use from it
    (`aegis.vigil`). For a machine of one's own: that core is busy all the time. docs/performance.md says what both bring."""
    signal_ttl_ms: int = _whole(250, 1, _HOUR_MS)
    """An entry that the Gate has not judged by then expires."""
    stop_timeout_ms: int = _whole(20_000, 0, _DAY_MS)
    """The longest that the end waits for orders and positions. An order can be without an answer for 17 s; what is still held or
    open then is reported."""


@attrs.frozen
class StrategyConfig:
    """One strategy: `[[strategies]]`, as often as wanted."""

    class_: str
    """Key `class`: `package.module:Class`, or the name of a shipped one. What is imported runs as part of the engine."""
    name: str = ""
    """By which its signals are known; the class's own name in lower case, unless told otherwise."""
    symbols: tuple[str, ...] = ()
    """Of the run's; empty for all of them."""
    interval_ms: int = _whole(0, 0, MAX_INTERVAL_MS)
    """Of its bars: a whole number of `strategy.interval_ms`; 0 for just that."""
    parameters: dict[str, Any] = attrs.Factory(dict)
    """Keys and types are the strategy's own."""
    analysis: dict[str, Any] = attrs.Factory(dict)
    """Keys of `strategy` that are otherwise for this one: periods, pivots, but not what the bars are made of."""


@attrs.frozen
class Config:
    """Everything that can be set."""

    symbols: tuple[str, ...] = attrs.field(factory=paper_symbols, validator=_some_names)
    venue: VenueConfig = attrs.Factory(VenueConfig)
    feed: FeedConfig = attrs.Factory(FeedConfig)
    strategy: Parameters = attrs.Factory(
        lambda: Parameters(interval_ms=100, pivot_bars=2, atr_period=4)
    )
    """The bars, indicators and structure that strategies see. Bars of 100 ms, so that a paper run shows something within
    seconds; trade on longer ones."""
    strategies: tuple[StrategyConfig, ...] = ()
    """None: the shipped `breakout`, with `strategy.stop_atr`."""
    limits: Limits = attrs.Factory(Limits)
    run: RunConfig = attrs.Factory(RunConfig)


def load(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        Refused: one line naming the file, the key and what was expected.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as why:
        raise Refused(f"{path}: cannot be read: {why.strerror}") from None
    except ValueError as why:  # of its bytes, its grammar, or a number with thousands of digits
        raise Refused(f"{path}: is not TOML: {why}") from None
    try:
        return _converter.structure(table, Config)
    except BaseValidationError as why:
        raise Refused(f"{path}: {_first_fault(why)}") from None


def read_table(table: dict[str, Any], cls: type, path: str) -> Any:
    """Read a table into an attrs class, by the rules of the configuration.

    Raises:
        Refused: one line naming the key, from `path` on, and what was expected.
    """
    try:
        return _converter.structure(table, cls)
    except BaseValidationError as why:
        raise Refused(_first_fault(why, f"{path}.")) from None


def _strict(kind: type) -> Any:
    """A hook that takes a value of just this type: TOML has types, so nothing has to be guessed."""

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {_NAMES[kind]}, got {value!r}")
        return value

    return structure


def _structure_decimal(value: Any, _: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"expected a number, got {value!r}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise TypeError(f"expected a number, got {value!r}") from None
    if not number.is_finite():
        raise TypeError(f"expected a finite number, got {value!r}")
    return number


def _structure_float(value: Any, _: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def _structure_bar_kind(value: Any, _: Any) -> BarKind:
    if type(value) is not int or value not in set(BarKind):
        raise TypeError(f"expected one of {', '.join(map(str, map(int, BarKind)))}, got {value!r}")
    return BarKind(value)


def _structure_symbols(value: Any, _: Any) -> tuple[str, ...]:
    """Names, in small letters or in capitals, as on the command line."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a list of strings, got {value!r}")
    return tuple(name.upper() for name in value)


def _choice(literal: Any) -> Any:
    """A hook for one of a few words."""
    choices = get_args(literal)

    def structure(value: Any, _: Any) -> Any:
        if value not in choices:
            raise TypeError(f"expected one of {', '.join(choices)}, got {value!r}")
        return value

    return structure


def _is_literal(kind: Any) -> bool:
    return bool(get_origin(kind) == Literal)


def _table(cls: Any) -> Any:
    """A hook for a table of keys: one of our attrs classes."""
    spelled: dict[str, Any] = {
        field.name: override(rename=_spelled(field.name))
        for field in attrs.fields(cls)
        if field.name != _spelled(field.name)
    }
    structure_keys = make_dict_structure_fn(
        cls, _converter, _cattrs_forbid_extra_keys=True, **spelled
    )

    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"expected a table, got {value!r}")
        return structure_keys(value, kind)

    return structure


def _spelled(field: str) -> str:
    """A field's name as a key: `class_` cannot be spelled without its underscore in Python."""
    return field.removesuffix("_")


def _structure_tables(value: Any, kind: Any) -> Any:
    """A list of tables of one kind."""
    if not isinstance(value, list):
        raise TypeError(f"expected a list of tables, got {value!r}")
    tables: Any = list[get_args(kind)[0]]  # type: ignore[misc]  # a type that is known here only
    return tuple(_converter.structure(value, tables))


def _structure_any_table(value: Any, _: Any) -> dict[str, Any]:
    """A table whose keys are known later, by `read_table`."""
    if not isinstance(value, dict):
        raise TypeError(f"expected a table, got {value!r}")
    return value


def _is_tables(kind: Any) -> bool:
    return get_origin(kind) is tuple and attrs.has(get_args(kind)[0])


_NAMES: Final = {bool: "true or false", int: "a whole number", str: "a string"}
_converter: Final = cattrs.Converter()
for _kind in _NAMES:
    _converter.register_structure_hook(_kind, _strict(_kind))
_converter.register_structure_hook(float, _structure_float)
_converter.register_structure_hook(Decimal, _structure_decimal)
_converter.register_structure_hook(BarKind, _structure_bar_kind)
_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _structure_symbols)
_converter.register_structure_hook_func(lambda kind: kind == dict[str, Any], _structure_any_table)
_converter.register_structure_hook_func(_is_tables, _structure_tables)
_converter.register_structure_hook_factory(_is_literal, _choice)
_converter.register_structure_hook_factory(attrs.has, _table)


def _first_fault(fault: Exception, path: str = "") -> str:
    """The first thing that is wrong, as one line that names its key."""
    if isinstance(fault, ForbiddenExtraKeysError):
        known = ", ".join(_spelled(field.name) for field in attrs.fields(fault.cl))
        extra = ", ".join(f"{path}{key}" for key in sorted(fault.extra_fields))
        return f"unknown key {extra}; expected one of: {known}"
    if not isinstance(fault, BaseValidationError):
        what = "is missing" if isinstance(fault, KeyError) else fault
        return f"{path.rstrip('.')}: {what}" if path else f"{what}"
    inner = fault.exceptions[0]
    for note in getattr(inner, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            path = f"{path}{_spelled(note.name)}."
        elif isinstance(note, IterableValidationNote):
            path = f"{path.removesuffix('.')}[{note.index}]."
    return _first_fault(inner, path)
