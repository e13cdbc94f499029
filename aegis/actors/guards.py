"""The guards: which stops and targets the step has to watch, as it was told last."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aegis.market import commands
from aegis.messages import OrderChanged
from aegis.orders.instrument import Side

__all__ = ["Guards"]


class Guards:
    """The stop and the target of what is held, by row, as commands to whoever steps.

    A stop that is reached is disarmed with the signal that it writes. So where signals were lost, all have to be armed once more.

    Args:
        index: the row of each symbol.
    """

    def __init__(self, index: Mapping[str, int]) -> None:
        self._index = index
        self._armed: dict[int, npt.NDArray[np.void]] = {}

    def follow(self, changed: OrderChanged) -> npt.NDArray[np.void]:
        """What is to be watched from here on: once a position is gone, nothing. No command for a symbol without a row."""
        row = self._index.get(changed.symbol)
        if row is None:
            return commands.NONE
        self._armed.pop(row, None)
        # A journal of before such prices were refused may hold one that nothing can reach: it guards nothing.
        stop, target = float(changed.stop_price or 0), float(changed.target_price or 0)
        if stop <= 0.0:
            return commands.disarm_stop(row)
        side = Side.of(changed.position.quantity).sign
        command = commands.arm_stop(row, side, stop, target if target > 0.0 else None)
        self._armed[row] = command
        return command

    def armed(self) -> npt.NDArray[np.void]:
        """Everything that is to be watched, once more: one that is armed stays so."""
        return np.concatenate([commands.NONE, *self._armed.values()])
