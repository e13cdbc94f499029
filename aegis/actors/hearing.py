"""Listening to the account, and noticing that nothing is heard."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog
import trio

__all__ = ["Hearing", "Listen"]

Listen = Callable[[Callable[[object], None]], Coroutine[Any, Any, None]]
"""A user stream: runs for ever, and hands each `Updated` and `StreamBack` to the function it is given."""

LATE_MS: Final = 1_500
"""An execution that is older than this should have been heard of."""

_log = structlog.get_logger(__name__)


class Hearing:
    """The user stream, opened anew where it turns out to be deaf.

    A stream can be alive and say nothing: its key was deleted, by another program of the account perhaps, and pings are answered
    all the same. It shows when an order that was asked for has executions that nobody told of.

    Args:
        listen: the stream.
    """

    def __init__(self, listen: Listen) -> None:
        self._listen: Final = listen
        self._scope = trio.CancelScope()
        self._since_ms: int | None = None
        """Exchange time since when all is to be heard; None until the stream has begun."""

    async def run(self, hear: Callable[[object], None]) -> None:
        """Listen until cancelled."""
        while True:
            with trio.CancelScope() as self._scope:
                await self._listen(hear)

    @property
    def stands(self) -> bool:
        """Whether the stream has begun, as far as is known."""
        return self._since_ms is not None

    def began(self, exchange_ms: int) -> None:
        """The stream stands."""
        self._since_ms = exchange_ms

    def found(self, event_ms: int, exchange_ms: int) -> None:
        """An execution was found by asking that nobody had told of; the stream is opened anew where it should have."""
        should_have = self._since_ms is not None and self._since_ms + LATE_MS < event_ms
        if should_have and event_ms + LATE_MS < exchange_ms:
            _log.warning("user_stream_deaf", late_ms=exchange_ms - event_ms)
            self._since_ms = None
            self._scope.cancel()
