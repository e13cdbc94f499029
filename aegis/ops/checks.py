"""The commands that check something: they show each check as it is made, and return the document.

The doctor must not need what it looks for, so the compiled code is loaded by `verify` alone.
"""

# ruff: noqa: PLC0415  # see above

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import trio

from aegis.config import Config, RunConfig
from aegis.cpu_latency import request_cpu_latency
from aegis.ops import doctor as practice
from aegis.ops.checklist import checklist

if TYPE_CHECKING:
    from aegis.ops.verify.lines import Line

__all__ = ["doctor", "verify"]


def verify(only: str | None, load_s: float, *, keep_awake: bool, as_json: bool) -> dict[str, Any]:
    """Make the execution report, or some parts of it.

    Raises:
        Refused: there is no such part, or the cores cannot be kept awake.
    """
    from aegis.ops.verify import execution
    from aegis.vigil import Vigil

    parts = execution.chosen(only)
    with (
        checklist(("promise", "figure", "bound", "from"), as_json=as_json) as shown,
        request_cpu_latency(RunConfig().cpu_latency_us) as resting,
        Vigil() if keep_awake and resting else nullcontext(),
    ):

        def tell(line: Line) -> None:
            verdict = "pass" if line.holds else "FAIL"
            shown.add(verdict, line.name, line.figure, line.bound, line.source)

        found = trio.run(execution.verify, parts, load_s, tell)
    return execution.report(found)


def doctor(config: Config, *, as_json: bool) -> dict[str, Any]:
    """Look at this machine."""
    findings = trio.run(practice.examine, config)
    with checklist(("", "found", "what to do"), as_json=as_json) as shown:
        for each in findings:
            shown.add(each.verdict.value, each.name, each.found, each.advice)
    return practice.report(findings)
