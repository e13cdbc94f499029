"""The exchange that ships with the engine, as a child process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import attrs
import msgspec
import structlog
import trio

from aegis.errors import Refused, Unavailable
from aegis.kernel.process import Child

__all__ = ["ExchangeReady", "ShippedExchange", "attend_exchange"]

_START_S: Final = 20.0

_log = structlog.get_logger(__name__)


class ExchangeReady(msgspec.Struct, frozen=True):
    """The line that says where the exchange is."""

    rest: str
    streams: str
    api_key: str
    api_secret: str
    pid: int
    symbols: list[str]
    driving: list[str]
    """The recorded streams that a replay waits for; empty for a synthetic market."""


class _Line(msgspec.Struct):
    """Any line of the exchange's standard output."""

    event: str
    frames: dict[str, int] = {}
    malformed: int = 0
    error: str = ""


@attrs.define
class ShippedExchange:
    """A running exchange."""

    ready: ExchangeReady
    recording_ended: trio.Event
    frames: dict[str, int] = attrs.Factory(dict)
    """Frames served by stream, once the recording has ended."""
    unreadable: int = 0
    """Lines of it that were no frames, and files that broke off; known then."""

    def trade_stream(self) -> Literal["aggTrade", "trade"]:
        """The kind of trades that it sends: recordings of 2024 hold another than the exchange sends today."""
        kinds = {stream.partition("@")[2] for stream in self.ready.driving}
        return "trade" if "trade" in kinds and "aggTrade" not in kinds else "aggTrade"

    def served(self) -> dict[str, int] | None:
        """How much of the recording there was to serve: frames, and lines that were none. None before it has ended."""
        if not self.recording_ended.is_set():
            return None
        return {"frames": sum(self.frames.values()), "unreadable": self.unreadable}

    def recorded_ticks(self) -> int:
        """How many of the recorded frames are ticks."""
        return sum(
            count
            for stream, count in self.frames.items()
            if stream.partition("@")[2] in {"bookTicker", "trade", "aggTrade"}
        )


def arguments(
    *,
    seed: int,
    symbols: Sequence[str] = (),
    recordings: Sequence[Path] = (),
    speed: str = "1x",
    port: int = 0,
    load: int = 0,
) -> list[str]:
    """The command line of the exchange."""
    line = [sys.executable, "-m", "aegis", "exchange", "--json", "--child"]
    line += ["--port", str(port), "--seed", str(seed)]
    if symbols:
        line += ["--symbols", ",".join(symbols)]
    if load:
        line += ["--load", str(load)]
    if recordings:
        line += ["--speed", speed, *(f"--recording={path}" for path in recordings)]
    return line


@asynccontextmanager
async def attend_exchange(child: Child) -> AsyncIterator[ShippedExchange]:
    """Wait until the exchange is ready, and watch it for as long as it is needed.

    Raises:
        Refused: it could not start (a port that is taken, a recording that cannot be read).
        Unavailable: it ended while it was needed.
    """
    exchange = ShippedExchange(await _await_ready(child), trio.Event())
    _log.info("exchange_started", pid=child.pid, rest=exchange.ready.rest)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, child, exchange)
        nursery.start_soon(_watch, child)
        yield exchange
        nursery.cancel_scope.cancel()


async def _await_ready(child: Child) -> ExchangeReady:
    with trio.move_on_after(_START_S):
        line = await child.lines.read()
        if line is not None:
            said = msgspec.json.decode(line, type=_Line)
            if said.event == "ready":
                return msgspec.json.decode(line, type=ExchangeReady)
            raise Refused(said.error)
        raise Unavailable(f"the exchange did not start: it ended with code {await child.wait()}")
    raise Unavailable(f"the exchange was not ready within {_START_S:.0f} s")


async def _read(child: Child, exchange: ShippedExchange) -> None:
    async for line in child.lines:
        said = msgspec.json.decode(line, type=_Line)
        if said.event == "recording_ended":
            exchange.frames, exchange.unreadable = said.frames, said.malformed
            if said.malformed:
                _log.warning("recording_damaged", lines=said.malformed)
            exchange.recording_ended.set()


async def _watch(child: Child) -> None:
    code = await child.wait()
    raise Unavailable(f"the exchange (pid {child.pid}) ended with code {code}")
