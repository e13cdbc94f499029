"""Supervision: what a failure costs, and the only place of the engine that takes any exception whatever.

`except Exception` stands here and nowhere else. `KeyboardInterrupt` and `Cancelled` are no `Exception`: they pass
through untouched, also inside a group, since a group that holds one of them is a `BaseExceptionGroup`.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, TypeAlias, TypeVar

import attrs

from aegis.errors import Refused
from aegis.kernel.clock import Clock

__all__ = [
    "ESCALATE",
    "STOP",
    "Budget",
    "Policy",
    "Restart",
    "Verdict",
    "caught",
    "caught_call",
    "log",
    "root_cause",
]

A = TypeVar("A")
T = TypeVar("T")

log = logging.getLogger("aegis.kernel")
_DOUBLINGS_MAX: Final = 1000
"""Beyond any ceiling, and what a float can still hold."""


class Verdict(Enum):
    """What a failure leads to when it does not lead to a restart."""

    ESCALATE = "escalate"  # raise it into the nursery: all or nothing, as in any Trio program
    STOP = "stop"  # the actor ends; who watches it hears of it


ESCALATE: Final = Verdict.ESCALATE
STOP: Final = Verdict.STOP


@attrs.frozen
class Restart:
    """Begin again after a failure, up to a budget; one failure more escalates.

    The wait before a restart doubles with each failure still counted, up to `ceiling`; half of it is jitter, so that
    actors which failed together do not come back together.
    """

    max_restarts: int = 3
    within: float = 10.0  # seconds after which a failure is forgotten
    backoff: float = 0.05  # seconds before the first restart
    ceiling: float = 5.0  # seconds before any restart, at most

    def __attrs_post_init__(self) -> None:
        if self.max_restarts < 1 or self.within <= 0 or not 0 <= self.backoff <= self.ceiling:
            raise Refused(f"a restart budget that cannot be kept: {self}")


Policy: TypeAlias = Restart | Verdict


class Budget:
    """The failures of one actor that still count. One budget a child: a burst in one must not kill another."""

    def __init__(self, policy: Policy, clock: Clock, chance: random.Random) -> None:
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self._failures_ns: deque[int] = deque()

    def charge(self) -> float | Verdict:
        """Count a failure now; returns the seconds to wait before a restart, or what happens instead of one."""
        policy = self._policy
        if isinstance(policy, Verdict):
            return policy
        now_ns = self._clock.monotonic_ns()
        failures = self._failures_ns
        failures.append(now_ns)
        while now_ns - failures[0] > policy.within * 1e9:
            failures.popleft()
        if len(failures) > policy.max_restarts:
            return Verdict.ESCALATE
        doublings = min(len(failures) - 1, _DOUBLINGS_MAX)
        full: float = min(policy.ceiling, policy.backoff * 2.0**doublings)
        return full * (1 + self._chance.random()) / 2


async def caught(function: Callable[[A], Awaitable[object]], argument: A) -> Exception | None:
    """Await a function of one argument; returns how it failed, or None."""
    try:
        await function(argument)
    except Exception as error:  # noqa: BLE001  # this is the place
        return root_cause(error)
    return None


def caught_call(function: Callable[[A], T], argument: A) -> tuple[T | None, Exception | None]:
    """Call a plain function of one argument; returns its value and how it failed, one of them None."""
    try:
        return function(argument), None
    except Exception as error:  # noqa: BLE001  # this is the place
        return None, error


def root_cause(error: Exception) -> Exception:
    """Unwrap groups of one, which each nursery on the way up adds, down to what was raised."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
