"""The configuration: TOML into attrs classes. An unknown key or a wrong type is refused, with its name.

Secrets never stand in it: the API key comes from the environment (`aegis.venue.signing`).
"""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import AttributeValidationNote, ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from aegis.errors import Refused
from aegis.market.parameters import Parameters
from aegis.orders.limits import Limits
from aegis.paper import paper_symbols

__all__ = ["VENUES", "Config", "FeedConfig", "RunConfig", "VenueConfig", "load"]

VenueName = Literal["sim", "binance-testnet", "custom"]
VENUES: Final[tuple[VenueName, ...]] = ("sim", "binance-testnet", "custom")


@attrs.frozen
class VenueConfig:
    """Where to trade. The addresses are needed for `custom` only."""

    name: VenueName = "sim"
    rest_url: str = ""
    streams_url: str = ""
    order_timeout_ms: int = 4000


@attrs.frozen
class FeedConfig:
    """How ticks come in."""

    trade_stream: Literal["aggTrade", "trade"] = "aggTrade"
    """`trade` is what recordings of 2024 hold; the exchange sends `aggTrade` today."""
    ring_capacity: int = 16_384
    lossless: bool = False
    """True: a full ring holds the worker (and the exchange) back, as a replay wants. False: the market does not
    wait; what the Brain could not read in time is counted as lost."""
    silence_ms: int = 10_000
    """A market socket without an event for this long is broken, and connected again."""
    history_bars: int = 500
    """So many of the exchange's own candles are loaded at the start, where it has candles of this length (from one
    minute on); 0: none."""
    streams_per_socket: int = 1024
    socket_lifetime_s: int = 82_800
    """After which a socket is replaced by another without a break; the exchange closes it at 24 hours."""
    mark_silence_ms: int = 10_000
    """A stream of mark prices without an event for this long is asked for again, then its socket replaced; 0 never."""
    quote_silence_ms: int = 60_000
    """The same for best quotes."""
    trade_silence_ms: int = 300_000
    """The same for trades, which may rest: they are only asked for again."""
    future_ms: int = 10_000
    """A tick further ahead of exchange time than this is quarantined; 0 lets all in."""
    jump_sigmas: float = 20.0
    """A price further from the one before than this many standard deviations waits until the next two confirm it;
    0 lets all in."""


@attrs.frozen
class RunConfig:
    """How a run goes and ends."""

    on_stop: Literal["close", "keep"] = "close"
    """What becomes of open positions at the end."""
    journal: str = ""
    """Path of the journal; empty: one of its own for each paper run, under the state folder."""
    signal_ttl_ms: int = 250
    stop_timeout_ms: int = 10_000


@attrs.frozen
class Config:
    """Everything that can be set."""

    symbols: tuple[str, ...] = attrs.Factory(paper_symbols)
    venue: VenueConfig = attrs.Factory(VenueConfig)
    feed: FeedConfig = attrs.Factory(FeedConfig)
    strategy: Parameters = attrs.Factory(
        lambda: Parameters(interval_ms=100, pivot_bars=2, atr_period=4)
    )
    """Bars of 100 ms, so that a paper run shows something within seconds; trade on longer ones."""
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
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as why:
        raise Refused(f"{path}: is not TOML: {why}") from None
    try:
        return _converter.structure(table, Config)
    except ClassValidationError as why:
        raise Refused(f"{path}: {_first_fault(why)}") from None


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


def _structure_names(value: Any, _: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a list of strings, got {value!r}")
    return tuple(value)


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
    structure_keys = make_dict_structure_fn(cls, _converter, _cattrs_forbid_extra_keys=True)

    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"expected a table, got {value!r}")
        return structure_keys(value, kind)

    return structure


_NAMES: Final = {bool: "true or false", int: "a whole number", str: "a string"}
_converter: Final = cattrs.Converter()
for _kind in _NAMES:
    _converter.register_structure_hook(_kind, _strict(_kind))
_converter.register_structure_hook(float, _structure_float)
_converter.register_structure_hook(Decimal, _structure_decimal)
_converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], _structure_names)
_converter.register_structure_hook_factory(_is_literal, _choice)
_converter.register_structure_hook_factory(attrs.has, _table)


def _first_fault(fault: Exception, path: str = "") -> str:
    """The first thing that is wrong, as one line that names its key."""
    if isinstance(fault, ForbiddenExtraKeysError):
        known = ", ".join(field.name for field in attrs.fields(fault.cl))
        extra = ", ".join(f"{path}{key}" for key in sorted(fault.extra_fields))
        return f"unknown key {extra}; expected one of: {known}"
    if not isinstance(fault, ClassValidationError):
        return f"{path.rstrip('.')}: {fault}"
    inner = fault.exceptions[0]
    notes = [
        note
        for note in getattr(inner, "__notes__", ())
        if isinstance(note, AttributeValidationNote)
    ]
    return _first_fault(inner, f"{path}{notes[0].name}." if notes else path)
