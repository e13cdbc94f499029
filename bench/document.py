"""Put the table of the last full run into docs/performance.md: `python -m bench.document`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench import full_run, table

__all__ = ["BEGIN", "END", "filled"]

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN: Final = "<!-- The table: python -m bench.document -->"
END: Final = "<!-- The end of the table. -->"


def filled(document: str, content: str) -> str:
    """The document with something else between its two marks.

    Raises:
        ValueError: it has no such marks.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks {BEGIN} or {END}")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def main() -> int:
    """Write it."""
    DOCUMENT.write_text(filled(DOCUMENT.read_text(), table.markdown(full_run.load())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
