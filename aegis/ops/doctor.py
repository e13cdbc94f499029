"""The doctor: looks at this machine and at its venue, and says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from aegis.config import Config
from aegis.errors import AegisError
from aegis.kernel.clock import SystemClock
from aegis.kernel.process import Child
from aegis.ops import findings, machine
from aegis.ops.findings import Finding, Verdict
from aegis.ops.machine import Offset
from aegis.ops.shipped_exchange import arguments, attend_exchange
from aegis.venue.addresses import TESTNET
from aegis.venue.binance_rest import BinanceRest
from aegis.venue.signing import Credentials

__all__ = ["examine", "report"]

_PATIENCE_S: Final = 15.0
_NOBODY: Final = Credentials("doctor", "doctor")
"""The time is told to everybody."""


async def examine(config: Config) -> list[Finding]:
    """Measure, and judge."""
    offset = await _offset(config)
    return findings.examine(machine.look(config, offset))


def report(found: Sequence[Finding]) -> dict[str, Any]:
    """The document of an examination."""
    return {
        "healthy": all(each.verdict is not Verdict.ERROR for each in found),
        "findings": [attrs.asdict(each) for each in found],
    }


async def _offset(config: Config) -> Offset:
    """Ask the configured venue for its time; the shipped one is started for that."""
    why = "no answer"
    with trio.move_on_after(_PATIENCE_S):
        try:
            async with (
                _address(config) as address,
                BinanceRest(address, _NOBODY, SystemClock()) as rest,
            ):
                return Offset(config.venue.name, await rest.sync_clock())
        except* (AegisError, OSError) as group:
            cause: BaseException = group
            while isinstance(cause, BaseExceptionGroup):
                cause = cause.exceptions[0]
            why = str(cause)
    return Offset(config.venue.name, None, why)


@asynccontextmanager
async def _address(config: Config) -> AsyncIterator[str]:
    if config.venue.name != "sim":
        yield config.venue.rest_url if config.venue.name == "custom" else TESTNET.rest
        return
    command = arguments(seed=7, symbols=config.symbols[:1])
    async with Child(command) as child, attend_exchange(child) as shipped:
        yield shipped.ready.rest
