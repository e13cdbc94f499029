"""Request parameters as the venue reads them, with the published refusals (protocol §7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl

from aegis.errors import Rejected

__all__ = ["Params"]

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?\Z")
_INTEGER = re.compile(r"-?[0-9]{1,19}\Z")

Choice = TypeVar("Choice", bound=StrEnum)


class Params(Mapping[str, str]):
    """The decoded parameters of one request; where query and body name the same one, the query wins."""

    def __init__(self, query: bytes, body: bytes) -> None:
        """Decode both.

        Raises:
            Rejected: -1100 for bytes that are no text, -1105 for a parameter with an empty value.
        """
        try:
            self._values = _decoded(body) | _decoded(query)
        except UnicodeDecodeError:
            raise Rejected(-1100, "Illegal characters found in a parameter.") from None
        for name, value in self._values.items():
            if not value.strip():
                raise Rejected(-1105, f"Parameter '{name}' was empty.")

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, name: str) -> str:
        """Return a mandatory parameter."""
        try:
            return self._values[name]
        except KeyError:
            raise missing(name) from None

    def decimal(self, name: str) -> Decimal:
        """Return a mandatory decimal: plain notation, no sign, no exponent."""
        text = self.text(name)
        if not _NUMBER.match(text):
            raise Rejected(
                -1100,
                f"Illegal characters found in parameter '{name}';"
                " legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
            )
        try:
            return Decimal(text)
        except InvalidOperation:
            raise missing(name) from None

    def integer(self, name: str) -> int:
        """Return a mandatory integer."""
        text = self.text(name)
        if not _INTEGER.match(text):
            raise missing(name)
        return int(text)

    def optional_integer(self, name: str) -> int | None:
        """Return an integer, or None where the parameter was not sent."""
        return self.integer(name) if name in self else None

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return a boolean, written `true` or `false`; mandatory without a default."""
        if name not in self and default is not None:
            return default
        text = self.text(name).lower()
        if text not in {"true", "false"}:
            raise missing(name)
        return text == "true"

    def choice(self, name: str, kind: type[Choice], refusal: Rejected) -> Choice:
        """Return a mandatory member of a set, or raise the refusal that belongs to it."""
        try:
            return kind(self.text(name))
        except ValueError:
            raise refusal from None


def missing(name: str) -> Rejected:
    """Return the refusal of a mandatory parameter that is absent or malformed."""
    return Rejected(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def _decoded(encoded: bytes) -> dict[str, str]:
    return dict(parse_qsl(encoded.decode("ascii"), keep_blank_values=True, errors="strict"))
