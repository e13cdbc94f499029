"""Strategies: what to do at the close of a bar, in plain Python.

    @attrs.frozen
    class DipParameters:
        stop_atr: float = 2.0

    class Dip(Strategy[DipParameters]):
        def on_bar(self, view: View) -> Proposal | None:
            if view.indicators["rsi"] < 30.0:
                return Proposal.long(stop=view.close - self.parameters.stop_atr * view.indicators["atr"])
            return None

A strategy proposes; the Gate decides, and the engine guards what it opened. docs/strategies.md shows how to write and test one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_origin,
)

import attrs
from attrs.validators import in_, instance_of, max_len

if TYPE_CHECKING:
    from aegis.market.view import View

__all__ = ["REASON_MAX", "NoParameters", "Proposal", "Strategy"]

P = TypeVar("P")

REASON_MAX: Final = 200
"""Characters: it is written down with every verdict."""


def _is_text(_proposal: object, _field: object, text: str) -> None:
    text.encode()  # half a character, as a broken decoding leaves, cannot be written down


@attrs.frozen
class Proposal:
    """What a strategy wants: to hold a side of its symbol, or (`side` 0) to hold nothing.

    Raises a `ValueError` where the side is none, the reason too long or one that cannot be encoded, a `TypeError` where that is no
    text. A stop that is not a number, as before the ATR is warm, is no mistake:
    the entry is withheld, and counted, because it could not be guarded.

    Attributes:
        side: +1 long, -1 short, 0 neither.
        stop: where the position is given up, for an entry.
        target: where it takes its profit, if anywhere.
        reason: a few words for the journal, at most REASON_MAX characters.
    """

    side: Literal[1, -1, 0] = attrs.field(validator=in_((1, -1, 0)))
    stop: float = attrs.field(default=math.nan, converter=float)
    target: float | None = attrs.field(default=None, converter=attrs.converters.optional(float))
    reason: str = attrs.field(
        default="", validator=[instance_of(str), max_len(REASON_MAX), _is_text]
    )

    @classmethod
    def entry(
        cls, side: int, *, stop: float, target: float | None = None, reason: str = ""
    ) -> Self:
        """Hold a side: +1 or -1."""
        if side == 0:
            raise ValueError("an entry has a side, +1 or -1")
        return cls(1 if side > 0 else -1, stop, target, reason)

    @classmethod
    def long(cls, *, stop: float, target: float | None = None, reason: str = "") -> Self:
        """Hold the symbol; a short position is reversed."""
        return cls(1, stop, target, reason)

    @classmethod
    def short(cls, *, stop: float, target: float | None = None, reason: str = "") -> Self:
        """Owe the symbol; a long position is reversed."""
        return cls(-1, stop, target, reason)

    @classmethod
    def exit(cls, reason: str = "") -> Self:
        """Hold nothing."""
        return cls(0, reason=reason)

    @property
    def can_be_guarded(self) -> bool:
        """Whether its stop and target are prices that an order can have; an exit needs none."""
        if self.side == 0:
            return True
        has_target = self.target is None or 0.0 < self.target < math.inf
        return 0.0 < self.stop < math.inf and has_target


@attrs.frozen
class NoParameters:
    """Of a strategy that cannot be told anything."""


class Strategy(ABC, Generic[P]):
    """One strategy on one symbol: an instance a symbol, so what it remembers is about that symbol alone.

    `P` is an attrs class, all of whose fields have defaults: the keys and types that a configuration may set. Where it fails,
    by whatever exception, it is asked no more about that symbol; others, and what guards an open position, are unaffected.
    """

    parameters_type: ClassVar[type] = NoParameters
    rule: ClassVar[Callable[..., None] | None] = None
    """The same strategy, compiled: the step itself asks it, on bars of the analysis' own interval."""

    def __init__(self, parameters: P) -> None:
        self.parameters = parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in vars(cls).get("__orig_bases__", ()):
            if get_origin(base) is Strategy and isinstance(get_args(base)[0], type):
                cls.parameters_type = get_args(base)[0]

    @abstractmethod
    def on_bar(self, view: View) -> Proposal | None:
        """Look at a closed bar, and propose something or nothing.

        It runs on the engine's loop: what takes longer than a millisecond holds up everything else. The view is valid
        until it returns.
        """
