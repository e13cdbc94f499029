"""Drivers: who decides the order in which the tasks of a system take their steps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from aegis.kernel.actor import Actor, Handler

__all__ = ["Driver"]

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, object]])


class Driver:
    """Live: Trio decides, and nothing stands between it and the actors. The kit has a driver of its own."""

    def wrap(self, function: F) -> F:
        """Give the function to run as a task in place of another."""
        return function

    def handlers(self, name: str, kind: type[Actor]) -> dict[type, Handler]:
        """Give the table of handlers for a new actor of this name; the actor owns it."""
        return dict(kind.handlers)
