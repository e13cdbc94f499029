"""The end of a run: who asks for it, and how soon."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import attrs
import trio

__all__ = ["Ending", "asked_by_signal", "insistence"]

_INSISTS: Final = 3
"""Signals after which a process ends that has not ended at the second: its loop is held up, by a strategy perhaps."""


@attrs.define
class Ending:
    """Who ends the run, and how soon."""

    asked: trio.Event = attrs.Factory(trio.Event)
    by: str = ""

    def ask(self, by: str) -> None:
        """End it in order; whoever asks first is named."""
        self.by = self.by or by
        self.asked.set()


def asked_by_signal() -> tuple[signal.Signals, ...]:
    """The signals that ask for the end: that of a terminal which is gone as well, unless it is to be outlived (`nohup`)."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


@contextmanager
def insistence(numbers: Sequence[signal.Signals]) -> Iterator[None]:
    """Count these signals, beside whoever handles them: the third one ends the process, whatever its loop is at.

    Its children end with it, as after SIGKILL.
    """
    heard = 0
    handlers = {number: signal.getsignal(number) for number in numbers}

    def count(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard >= _INSISTS:
            os._exit(1)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in numbers:
        signal.signal(number, count)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
