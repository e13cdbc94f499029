"""The summary of a run: one document with everything that a run has to answer for.

Later versions add keys; they rename none.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgspec

from aegis.orders.instrument import plain

if TYPE_CHECKING:
    from aegis.engine import EngineReport

__all__ = ["Clean", "RunFacts", "is_fed", "summarise"]

_CENT: Final = Decimal("0.00000001")
_TOO_SHORT_S: Final = 10.0
"""A run that ends before this need not have heard of the market yet."""


@attrs.frozen
class Clean:
    """What a run left behind: all zero, or something is wrong."""

    processes: int
    segments: int


@attrs.frozen
class RunFacts:
    """What is known of a run outside of its actors."""

    mode: str
    venue: str
    seed: int
    started_ns: int
    """Monotonic, when the process started: not when the engine was ready."""
    duration_s: float
    main_pid: int
    exchange_pid: int | None
    ended_by: str
    recording: dict[str, int] | None = None
    """Of a replay that came to its end: how much there was."""


def summarise(facts: RunFacts, report: EngineReport, clean: Clean) -> dict[str, Any]:
    """The summary as JSON values; money as decimal strings."""
    first_fill_ns = report.executor.first_fill_ns
    reconciliation = report.reconciliation
    return {
        "mode": facts.mode,
        "venue": facts.venue,
        "seed": facts.seed,
        "duration_s": round(facts.duration_s, 3),
        "ended_by": facts.ended_by,
        "recording": facts.recording,
        "pids": {
            "main": facts.main_pid,
            "feed": report.feed.worker_pid,
            "exchange": facts.exchange_pid,
        },
        "threads": {"loop": report.brain.loop_thread, "step": report.brain.step_thread},
        **_market(report),
        **_trading(report),
        **_money(report),
        "latency_us": {
            "tick_to_signal": attrs.asdict(report.brain.tick_to_signal_us),
            **{
                name.removesuffix("_us"): each
                for name, each in attrs.asdict(report.executor.times).items()
            },
        },
        "garbage": _garbage(report),
        "journal": attrs.asdict(report.scribe),
        "reconciled": bool(reconciliation and reconciliation.agreed and report.journal_agrees),
        "differences": _differences(report),
        "fed": is_fed(brain_ticks(report), report.feed.restarts, facts.duration_s),
        "clean": attrs.asdict(clean),
        "first_fill_s": (
            None if first_fill_ns is None else round((first_fill_ns - facts.started_ns) / 1e9, 3)
        ),
    }


def is_fed(ticks: int, restarts: int, duration_s: float) -> bool:
    """Whether the market was heard, or the run was too short to tell: one that saw nothing must not look well.

    Args:
        ticks: that reached the Brain.
        restarts: of the feed; one that had to be started again and again has failed, however short the run was.
        duration_s: of the trading.
    """
    return ticks > 0 or (restarts <= 1 and duration_s < _TOO_SHORT_S)


def _market(report: EngineReport) -> dict[str, Any]:
    """What came in."""
    feed, brain = report.feed, report.brain
    return {
        "ticks": brain_ticks(report),
        "ticks_lost": brain.ticks_lost + feed.dropped,
        "bars": brain.counts["bars"],
        "bars_lost": brain.bars_lost,
        "bars_unsent": brain.bars_unsent,
        "bars_refused": brain.counts["bars_refused"],
        "history": None if report.history is None else attrs.asdict(report.history),
        "feed": {
            "restarts": feed.restarts,
            "connects": feed.connects,
            "malformed": feed.malformed,
            "strangers": feed.strangers,
            "duplicates": feed.duplicates,
            "gaps": feed.gaps,
            "early": brain.counts["early"],
            "late": brain.counts["late"],
            "quarantine": list(feed.quarantine),
            "books": msgspec.to_builtins(feed.books),
        },
    }


def _trading(report: EngineReport) -> dict[str, Any]:
    """What was made of it. Every signal is counted once: proposed is the sum of the four that follow, and what was lost before comes on top."""
    gate, executor = report.gate, report.executor
    return {
        "signals": {
            "proposed": report.proposed,
            "approved": gate.approved,
            "refused": gate.refused,
            "expired": gate.expired + report.unsent,
            "superseded": report.superseded,
            "lost": report.brain.signals_lost,
        },
        "strategies": _strategies(report),
        "refusals": gate.refusals,
        "orders": {
            "sent": executor.sent,
            "accepted": executor.accepted,
            "refused": executor.refused,
            "unknown": executor.unknown,
            "cancelled": executor.cancelled,
            "withdrawn": executor.withdrawn,
        },
        "fills": executor.fills,
        "positions": {
            symbol: {
                "quantity": plain(position.quantity),
                "entry_price": plain(position.entry_price.quantize(_CENT).normalize()),
            }
            for symbol, position in executor.positions.items()
        },
    }


def _strategies(report: EngineReport) -> dict[str, Any]:
    """Each strategy that proposed something, or looked at a bar, by its name."""
    compiled = {name: {"proposed": count} for name, count in report.brain.by_rule.items()}
    return compiled | {
        each.name: {
            "bars": each.bars,
            "proposed": each.proposed,
            "withheld": each.withheld,
            "quarantined": each.quarantined,
            "on_bar_us": attrs.asdict(each.on_bar_us),
        }
        for each in report.strategists
    }


def brain_ticks(report: EngineReport) -> int:
    """Quotes and trades that reached the Brain: what tells of a gap, or values without a trade, is none."""
    counts = report.brain.counts
    return counts["ticks"] - counts["gaps"] - counts["marks"]


def unrealised(report: EngineReport) -> Decimal:
    """The profit of closing everything at the middle of the last quotes."""
    return sum(
        (
            position.unrealised(Decimal(repr(report.marks[symbol])))
            for symbol, position in report.executor.positions.items()
            if symbol in report.marks
        ),
        Decimal(0),
    )


def _money(report: EngineReport) -> dict[str, Any]:
    executor = report.executor
    open_profit = unrealised(report)
    return {
        "equity": plain((executor.wallet + open_profit).quantize(_CENT)),
        "pnl": {
            "realised": plain(executor.realised.quantize(_CENT)),
            "unrealised": plain(open_profit.quantize(_CENT)),
            "fees": plain(executor.fees.quantize(_CENT)),
            "paid": plain(executor.paid.quantize(_CENT)),
            "other_fees": {asset: plain(fee) for asset, fee in executor.other_fees.items()},
        },
    }


def _garbage(report: EngineReport) -> dict[str, Any]:
    """What the interpreter's collector did, and what it was given to do."""
    garbage, ticks = report.garbage, brain_ticks(report)
    return {
        "collections": {"idle": list(garbage.idle), "busy": list(garbage.busy)},
        "pause_us": attrs.asdict(garbage.pause_us),
        "freed": garbage.freed,
        "objects": garbage.objects,
        "objects_a_tick": round(garbage.objects / ticks, 4) if ticks else None,
    }


def _differences(report: EngineReport) -> list[str]:
    found = list(report.reconciliation.differences) if report.reconciliation else []
    if not report.journal_agrees:
        found.append("the fold of the journal is not the live state")
    return found
