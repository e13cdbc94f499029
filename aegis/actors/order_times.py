"""What the time from a tick to its order goes into, hop by hop."""

from __future__ import annotations

from typing import Final

import attrs

from aegis.actors.latency import Latency, LatencyReport
from aegis.messages import Approved

__all__ = ["OrderTimes", "OrderTimesReport"]

_STAMP_MASK: Final = 0xFFFFFFFF


@attrs.frozen
class OrderTimesReport:
    """Quantiles in us of all orders so far."""

    signal_to_order_us: LatencyReport
    tick_to_order_us: LatencyReport
    judged_us: LatencyReport
    """From the signal's making to the Executor's taking the order up: the Gate's verdict, and both mailboxes."""
    durable_us: LatencyReport
    """Until the intent is on disk."""
    sent_us: LatencyReport
    """Until the signed bytes were given to the system."""
    answered_us: LatencyReport
    """Until the exchange's answer was read."""


class OrderTimes:
    """The Executor's record of its own pace."""

    def __init__(self) -> None:
        self._signal_to_order = Latency()
        self._tick_to_order = Latency()
        self._judged = Latency()
        self._durable = Latency()
        self._sent = Latency()
        self._answered = Latency()
        self._taken_ns: dict[str, int] = {}

    def taken(self, approved: Approved, now_ns: int) -> None:
        """An order was taken up."""
        self._taken_ns[approved.client_id] = now_ns
        self._judged.add((now_ns - approved.created_ns) // 1000)

    def durable(self, approved: Approved, now_ns: int) -> None:
        """Its intent is on disk."""
        self._durable.add((now_ns - self._taken_ns.pop(approved.client_id)) // 1000)

    def answered(self, approved: Approved, durable_ns: int, sent_ns: int, now_ns: int) -> None:
        """An order was sent, and answered in one way or another."""
        self._sent.add((sent_ns - durable_ns) // 1000)
        self._answered.add((now_ns - sent_ns) // 1000)
        self._signal_to_order.add((sent_ns - approved.created_ns) // 1000)
        self._tick_to_order.add((sent_ns // 1000 - approved.caused_us) & _STAMP_MASK)

    def report(self) -> OrderTimesReport:
        """The quantiles."""
        return OrderTimesReport(
            signal_to_order_us=self._signal_to_order.report(),
            tick_to_order_us=self._tick_to_order.report(),
            judged_us=self._judged.report(),
            durable_us=self._durable.report(),
            sent_us=self._sent.report(),
            answered_us=self._answered.report(),
        )
