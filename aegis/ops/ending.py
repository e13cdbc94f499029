"""The end of a run: who asks for it, and what has come of the run by then."""

from __future__ import annotations

import attrs
import trio

__all__ = ["Ending"]


@attrs.define
class Ending:
    """Who ends the run, and how soon."""

    asked: trio.Event = attrs.Factory(trio.Event)
    by: str = ""

    def ask(self, by: str) -> None:
        """End it in order; whoever asks first is named."""
        self.by = self.by or by
        self.asked.set()
