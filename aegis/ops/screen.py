"""The live screen on a terminal, and plain lines elsewhere: both drawn from the actors' reports, never their state."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aegis.ops.stdout import write_lines
from aegis.ops.summary import brain_ticks, unrealised

if TYPE_CHECKING:
    from aegis.engine import EngineReport

__all__ = ["LiveScreen", "PlainLines", "Screen", "Silent"]


class Screen(Protocol):
    """Where a run shows itself."""

    period_s: float

    def __enter__(self) -> Self:
        """Take the terminal."""

    def __exit__(self, *_: object) -> None:
        """Give it back."""

    def show(self, report: EngineReport, elapsed_s: float) -> None:
        """Draw a new state."""


class Silent:
    """No screen: for `--json`, whose standard output holds the summary alone."""

    period_s = 1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, report: EngineReport, elapsed_s: float) -> None:
        """Nothing to draw on."""


class PlainLines(Silent):
    """A line a second, for logs and pipes."""

    def show(self, report: EngineReport, elapsed_s: float) -> None:
        """Print the line."""
        executor, brain = report.executor, report.brain
        write_lines(
            f"{elapsed_s:6.1f}s  ticks {brain_ticks(report):>9,}  bars {brain.counts['bars']:>7,}"
            f"  signals {report.proposed:>5}  fills {executor.fills:>4}"
            f"  equity {_equity(report):,.2f}"
            f"  tick→order p50 {executor.times.tick_to_order_us.p50} us"
        )


class LiveScreen:
    """The screen: figures above, positions below."""

    period_s = 0.25

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        # No thread of Rich's own: the run draws when it has something new.
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._live.__exit__(None, None, None)

    def show(self, report: EngineReport, elapsed_s: float) -> None:
        """Draw the tables."""
        head = Text(f"{self._title}   {elapsed_s:.0f} s   Ctrl-C stops in order", style="bold")
        with suppress(OSError):  # a terminal may be gone: then nobody looks
            self._live.update(Group(head, _figures(report), _positions(report)), refresh=True)


def _figures(report: EngineReport) -> Table:
    executor, brain, gate = report.executor, report.brain, report.gate
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    rows = (
        ("ticks", f"{brain_ticks(report):,}", "lost", f"{brain.ticks_lost + report.feed.dropped}"),
        ("bars", f"{brain.counts['bars']:,}", "signals", f"{report.proposed:,}"),
        ("approved", f"{gate.approved}", "refused", f"{gate.refused}"),
        ("orders", f"{executor.sent}", "fills", f"{executor.fills}"),
        ("equity", f"{_equity(report):,.2f}", "fees", f"{executor.fees:,.2f}"),
        ("realised", f"{executor.realised:+,.2f}", "unrealised", f"{unrealised(report):+,.2f}"),
        ("funding, transfers", f"{executor.paid:+,.2f}", "", ""),
        (
            "tick → signal",
            f"{brain.tick_to_signal_us.p50} / {brain.tick_to_signal_us.p99} us",
            "tick → order",
            f"{executor.times.tick_to_order_us.p50} / {executor.times.tick_to_order_us.p99} us",
        ),
    )
    for row in rows:
        table.add_row(*row)
    if report.strategists:
        left_out = sum(len(each.quarantined) for each in report.strategists)
        names = ", ".join(each.name for each in report.strategists)
        table.add_row("strategies", names, "quarantined", f"{left_out}")
    return table


def _positions(report: EngineReport) -> Table:
    table = Table("symbol", "position", "entry", "last", "profit", box=None, padding=(0, 3, 0, 0))
    for symbol, position in report.executor.positions.items():
        mark = report.marks.get(symbol)
        profit = position.unrealised(Decimal(repr(mark))) if mark is not None else None
        table.add_row(
            symbol,
            f"{position.quantity:+}",
            f"{position.entry_price:.8g}",
            "-" if mark is None else f"{mark:.8g}",
            "-" if profit is None else f"{profit:+.2f}",
        )
    return table


def _equity(report: EngineReport) -> Decimal:
    return report.executor.wallet + unrealised(report)
