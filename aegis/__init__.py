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

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("aegis")
