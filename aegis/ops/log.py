"""The log: one line an event on standard error, so that standard output belongs to results."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import structlog

from aegis.ops.stdout import STDERR

__all__ = ["set_up_log"]


def set_up_log(*, verbose: bool, as_json: bool) -> None:
    """Configure the log of this process, once, at its start."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=True, key="at"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if verbose else logging.INFO
        ),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", STDERR)),
        cache_logger_on_first_use=True,
    )
