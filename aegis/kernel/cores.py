"""Which core is whose: helper processes leave one to the process that decides."""

from __future__ import annotations

import os

__all__ = ["last_core", "leave_the_last_core"]


def last_core() -> int:
    """The last core that the calling thread may use: the one that children leave to their parent's loop."""
    return max(os.sched_getaffinity(0))


def leave_the_last_core() -> None:
    """Keep the calling thread, and those that it starts from here on, off the last core that it may use, if it has two.

    For the main thread of a child process. What runs on a core takes its caches, and whoever is woken there waits for its
    turn; with one core that no child takes, the parent's loop is where both cost the least. The parent itself goes where
    the scheduler puts it.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[:-1])
