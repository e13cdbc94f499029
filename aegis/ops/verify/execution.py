"""The execution report: everything measured, one thing after the other, and judged line by line."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import attrs
import trio

from aegis.errors import AegisError, Refused
from aegis.kernel.clock import SystemClock
from aegis.kernel.dispatcher import Dispatcher
from aegis.ops.compiling import compile_kernels
from aegis.ops.verify import lines
from aegis.ops.verify.endings import HOWS, measure_ending
from aegis.ops.verify.lines import Line, unmeasured
from aegis.ops.verify.load import measure_load
from aegis.ops.verify.loop import measure_loop
from aegis.ops.verify.objects import PooledCandle, PooledSignal, measure_path, measure_pool
from aegis.ops.verify.priorities import measure_dispatcher, measure_mailbox
from aegis.ops.verify.ring import measure_ring

__all__ = ["PARTS", "chosen", "report", "verify"]

Tell = Callable[[Line], None]


async def _priorities(_seconds: float) -> list[Line]:
    return [
        lines.priority_order("dispatcher", await measure_dispatcher(Dispatcher(workers=1))),
        lines.priority_order("mailbox", await measure_mailbox()),
    ]


async def _pools(_seconds: float) -> list[Line]:
    return [
        lines.pools("candles", measure_pool(PooledCandle)),
        lines.pools("signals", measure_pool(PooledSignal)),
    ]


async def _objects(_seconds: float) -> list[Line]:
    return [lines.path_allocations(measure_path())]


async def _ring(_seconds: float) -> list[Line]:
    return [lines.ring_hop(await measure_ring())]


async def _loop(_seconds: float) -> list[Line]:
    return [lines.loop_lateness(await measure_loop())]


async def _load(seconds: float) -> list[Line]:
    load = await measure_load(seconds)
    return [
        lines.processes(load),
        lines.structure_thread(load),
        lines.throughput(load),
        lines.engine_allocations(load),
        lines.tick_to_signal(load),
        lines.tick_to_order(load),
    ]


async def _endings(_seconds: float) -> list[Line]:
    return [lines.ending(await measure_ending(how)) for how in HOWS]


PARTS: Final[dict[str, Callable[[float], Awaitable[list[Line]]]]] = {
    "priorities": _priorities,
    "pools": _pools,
    "objects": _objects,
    "ring": _ring,
    "loop": _loop,
    "load": _load,
    "endings": _endings,
}


def chosen(text: str | None) -> tuple[str, ...]:
    """The parts to be measured, all of them where none is named.

    Raises:
        Refused: there is no such part.
    """
    names = tuple(PARTS) if text is None else tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in PARTS]:
        raise Refused(f"--only {unknown[0]}: expected some of {', '.join(PARTS)}")
    return names


async def verify(parts: Sequence[str], load_s: float, tell: Tell) -> list[Line]:
    """Measure these parts; each line is told as soon as it is known.

    What keeps a part from being measured becomes a line that does not hold.
    """
    # Before anything is timed, and before a process needs it that is waited for.
    await compile_kernels()
    found: list[Line] = []
    async for line in _measured(parts, load_s):
        tell(line)
        found.append(line)
    return found


async def _measured(parts: Sequence[str], load_s: float) -> AsyncIterator[Line]:
    for part in parts:
        for line in await _part(part, load_s):
            yield line


async def _part(part: str, load_s: float) -> list[Line]:
    try:
        return await PARTS[part](load_s)
    except* (AegisError, OSError, trio.TooSlowError) as group:
        cause: BaseException = group
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        why = str(cause) or type(cause).__name__
    return [unmeasured(part, why)]


def report(found: Sequence[Line]) -> dict[str, Any]:
    """The document of the report."""
    system = platform.uname()
    return {
        "verified": bool(found) and all(line.holds for line in found),
        "wall_ns": SystemClock.wall_ns(),
        "machine": f"{system.machine} {system.system} {system.release}",
        "python": platform.python_version(),
        "lines": [attrs.asdict(line) for line in found],
    }
