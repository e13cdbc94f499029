"""The stream between a connection and trio-websocket: the lane takes its frames out, the library gets the rest."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import trio

from aegis.kernel.clock import Clock
from aegis.market.records import received_us
from aegis.venue.fastlane import Lane
from aegis.venue.fastlane_transport import Transport

__all__ = ["LaneStream", "LaneWriter"]

_HEAD_END: Final = b"\r\n\r\n"
_HEAD_MAX: Final = 1 << 16
_SWITCHING: Final = b"HTTP/1.1 101"


class LaneStream(trio.abc.Stream):
    pass
