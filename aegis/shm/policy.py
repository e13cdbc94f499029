"""What a reader chooses for itself when it joins."""

from __future__ import annotations

from enum import Enum

__all__ = ["Policy", "Start"]


class Policy(Enum):
    """What happens when this reader is a whole ring behind."""

    GATE = "gate"
    """The writer finds no room: nothing is lost, and the writer decides whether to wait."""
    LOSSY = "lossy"
    """The writer goes on: the reader moves forward and counts exactly what it missed."""


class Start(Enum):
    """Which record is this reader's first."""

    NEWEST = "newest"
    """The first that is published after it joined."""
    OLDEST = "oldest"
    """The oldest still there. The writer learns of a gating newcomer when it next looks at the gates, at most a
    lap later; until then even a gating one may lose records, and counts them."""
