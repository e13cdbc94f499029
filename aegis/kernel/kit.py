"""The kit: tests of actors on a virtual clock, in an order that is the same each time.

    async def test_brain(mock_clock):
        async with open_kit() as kit:
            probe = kit.probe("executor")
            brain = await kit.spawn(Brain, probe.ref)
            brain.tell(Tick("BTCUSDT", 1.0))
            await kit.advance(1.0)
            assert probe.expect(Order).symbol == "BTCUSDT"
            probe.expect_none()

It needs a run on Trio's `MockClock`, such as pytest-trio's `mock_clock`. Time passes in `advance`, and while the test
itself waits for something that only time can bring; `offload` runs inline. The conductor owns the order of all steps,
so the trace is the same in every process.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.lowlevel import RunVar, current_clock, current_statistics
from trio.testing import MockClock

from aegis.errors import Refused
from aegis.kernel.actor import Actor
from aegis.kernel.clock import VirtualClock, least_step_s
from aegis.kernel.conductor import Conductor
from aegis.kernel.probe import Probe
from aegis.kernel.ref import ActorRef
from aegis.kernel.supervisor import ESCALATE, Policy
from aegis.kernel.system import System, open_system

__all__ = ["Kit", "Probe", "open_kit"]

_open: RunVar[str] = RunVar("the name of the run's kit")


@asynccontextmanager
async def open_kit(
    name: str = "kit", *, seed: int = 0, order: int | None = None, grace_s: float = 5.0
) -> AsyncIterator[Kit]:
    """Open a system for a test; at the end it is closed in order, with as much virtual time as that takes.

    Args:
        name: of the system.
        seed: of the system's chance, as in `open_system`.
        order: None lets ready tasks take their steps in rotation; each number is another order, drawn at random.
        grace_s: as in `open_system`.

    Raises:
        Refused: when the run is not on a `MockClock`, or has an open kit already: each would let time pass while the other one
            has steps to grant. What a program keeps in several systems a test keeps in this one.
    """
    mock_clock = current_clock()
    if not isinstance(mock_clock, MockClock):
        raise Refused("the kit needs a run on a MockClock; with pytest-trio, ask for mock_clock")
    if other := _open.get(""):
        raise Refused(f"a run has one kit at a time, and {other} is open")
    timeline = _Timeline(mock_clock)
    conductor = Conductor(order, timeline.note, timeline.skip)
    mine = _open.set(name or "kit")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conductor.run, name=f"{name} conductor")
        try:
            async with open_system(
                name, clock=timeline.clock, seed=seed, grace_s=grace_s, driver=conductor
            ) as system:
                kit = Kit(system, conductor, timeline)
                yield kit
                kit.end_probes()
        finally:
            conductor.stop()
            _open.reset(mine)


class Kit:
    """A system under test; made by `open_kit`."""

    def __init__(self, system: System, conductor: Conductor, timeline: _Timeline) -> None:
        self.system = system
        self._conductor = conductor
        self._timeline = timeline
        self._probes: list[Probe] = []

    @property
    def trace(self) -> list[str]:
        """Every message handled so far, in order: nanoseconds, actor, message."""
        return self._timeline.trace

    @property
    def steps(self) -> int:
        """How many steps were granted so far."""
        return self._conductor.steps

    async def spawn(
        self,
        kind: type[Actor],
        *args: Any,
        name: str | None = None,
        policy: Policy = ESCALATE,
        **kwargs: Any,
    ) -> ActorRef:
        """Start an actor at the top of the tree; see `Group.spawn`."""
        return await self.system.spawn(kind, *args, name=name, policy=policy, **kwargs)

    def probe(self, name: str = "probe") -> Probe:
        """Make a reference whose messages the test reads."""
        probe = Probe(self.system, name)
        self._probes.append(probe)
        return probe

    async def settle(self) -> None:
        """Let everything happen that can happen before time passes."""
        await self.advance(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass, stopping at each deadline on the way for everything that happens then."""
        now_ns = self._timeline.clock.monotonic_ns()
        await self._conductor.reach(now_ns + round(seconds * 1e9))

    def trace_hash(self) -> str:
        """The SHA-256 of the trace, in hexadecimal."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def end_probes(self) -> None:
        """End the probes that have not ended, so that nobody waits for their answers."""
        for probe in self._probes:
            if probe.ref.alive:
                probe.end()


class _Timeline:
    """The virtual time of a test, and what happened when."""

    def __init__(self, mock_clock: MockClock) -> None:
        self.clock = VirtualClock()
        self.trace: list[str] = []
        self._mock_clock = mock_clock

    def note(self, actor: str, message: object) -> None:
        """Add a handled message to the trace."""
        self.trace.append(f"{self.clock.monotonic_ns()} {actor} {message!r}")

    def skip(self, end_ns: int | None) -> bool:
        """Jump to the next deadline, or to the end if that is nearer; False when there is nowhere to go."""
        gap_s = current_statistics().seconds_to_next_deadline
        if end_ns is not None:
            left_ns = end_ns - self.clock.monotonic_ns()
            # Half a nanosecond of tolerance: the float of a deadline at the end may be a last bit beyond it.
            if gap_s * 1e9 > left_ns + 0.5:
                gap_s = max(left_ns / 1e9, least_step_s()) if left_ns > 0 else math.inf
        if gap_s == math.inf:
            return False
        self._mock_clock.jump(max(0.0, gap_s))
        return True
