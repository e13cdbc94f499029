"""What the Brain says of itself."""

from __future__ import annotations

import attrs

from aegis.actors.latency import LatencyReport

__all__ = ["BrainReport"]


@attrs.frozen
class BrainReport:
    """Ticks, bars and signals so far."""

    counts: dict[str, int]
    ticks_lost: int
    proposed: int
    superseded: int
    unsent: int
    """Signals that found the Gate gone."""
    signals_lost: int
    """Signals that found no room on their way to this actor: nobody has judged them, and a stop is proposed again."""
    by_rule: dict[str, int]
    """Of the proposed ones, those of each compiled strategy."""
    bars_lost: int
    """Closed bars that found no room on their way to this actor: the next one is broken for whoever follows."""
    bars_unsent: int
    """Closed bars that a strategist had no room for: its next one is broken."""
    lost: int
    """Signals, closed bars and updates that found no room between the thread and the actor."""
    loop_thread: int
    """Native id of the thread that runs the loop, and this actor;"""
    step_thread: int
    """and of the one that runs the step."""
    tick_to_signal_us: LatencyReport
