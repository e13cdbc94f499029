"""What a run was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs

from aegis.config import Config

__all__ = ["RunOptions"]


@attrs.frozen
class RunOptions:
    """What a run was asked for."""

    config: Config
    mode: Literal["paper", "replay"]
    seed: int
    for_s: float | None
    recordings: tuple[Path, ...] = ()
    speed: str = "1x"
    port: int = 0
    load: int = 0
    """Ticks a second of an even market, for measuring; 0: a lively one."""
