"""AEGIS: a trading engine for crypto futures, an actor system on Trio.

    worker process            main process
    ┌─────────────┐        ┌──────────────────────────────────────────────────────────────┐
    │ sockets ────┼─ ring ─▶ Brain ──Signal──▶ Gate ──Approved──▶ Executor ──▶ exchange   │
    └──────▲──────┘        │    ▲                ▲                  │    ▲                 │
           └──── Feed      │    └─ OrderChanged ─┴──────────────────┘    └── user stream   │
                           │  Reconciler ──asks──▶ exchange      Scribe ──▶ journal        │
                           └──────────────────────────────────────────────────────────────┘

Read in this order: `messages.py` (what is said), `topology.py` (who says it), `actors/` (who they are), `kernel/`
(how they live), `shm/` (how ticks travel), `market/` and `orders/` (what is decided), `venue/` and `store/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["__version__"]

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: every process of ours would pay 50 ms for it."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # see above

        return version("aegis")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
