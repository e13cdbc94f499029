"""The process of a feed worker, from its first line: `python -m aegis.actors.feed_process`.

It dies with its parent before it loads what takes most of its start, and loads without the collector.
"""

from __future__ import annotations

import trio

from aegis.kernel.process import die_with_parent
from aegis.loading import uncollected

__all__ = ["main"]


def main() -> None:
    """Run as a process."""
    die_with_parent()
    with uncollected():
        from aegis.actors.feed_worker import work  # noqa: PLC0415  # see above
    trio.run(work)


if __name__ == "__main__":
    main()
