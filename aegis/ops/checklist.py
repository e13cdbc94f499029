"""A list of checks as people see it: a table that grows on a terminal, a line a check elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from aegis.ops.stdout import write_lines

__all__ = ["Checklist", "LiveChecklist", "PlainChecklist", "SilentChecklist", "checklist"]

_STYLES: Final = {"pass": "green", "ok": "green", "warning": "yellow"}


class Checklist(Protocol):
    """Where checks are shown as they are made."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """End."""

    def add(self, verdict: str, *cells: str) -> None:
        """Show one check: what came of it, its name, and whatever else there is to say."""


class SilentChecklist:
    """For `--json`, whose standard output holds the document alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, verdict: str, *cells: str) -> None:
        """Nothing is shown."""


class PlainChecklist(SilentChecklist):
    """A line a check."""

    def add(self, verdict: str, *cells: str) -> None:
        """Print it."""
        name, *rest = cells
        write_lines(f"{verdict:<8} {name}: {'; '.join(cell for cell in rest if cell)}")


class LiveChecklist(SilentChecklist):
    """A table on a terminal."""

    def __init__(self, console: Console, columns: Sequence[str]) -> None:
        self._table = Table("", *columns, box=None, padding=(0, 2, 0, 0))
        # No thread of Rich's own: it is drawn when there is something new.
        self._live = Live(self._table, console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def add(self, verdict: str, *cells: str) -> None:
        """Draw it."""
        self._table.add_row(Text(verdict, style=_STYLES.get(verdict, "bold red")), *cells)
        self._live.refresh()


def checklist(columns: Sequence[str], *, as_json: bool) -> Checklist:
    """The one that fits standard output."""
    if as_json:
        return SilentChecklist()
    console = Console()
    return LiveChecklist(console, columns) if console.is_terminal else PlainChecklist()
