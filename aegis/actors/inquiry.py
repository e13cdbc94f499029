"""What became of an order: asked of the exchange, from every side that may know."""

from __future__ import annotations

from aegis.messages import Found, NotFound
from aegis.orders.order import Order
from aegis.venue.port import Venue

__all__ = ["inquire"]


async def inquire(venue: Venue, order: Order) -> Found | NotFound:
    """Ask for an order and its executions.

    Raises:
        Unavailable: the exchange could not be asked.
        Refused: it refused the question, which is no answer about the order either.
    """
    view = await venue.find(order.symbol, order.client_id)
    if view is None:  # which alone proves nothing: the list of open orders is asked too
        resting = await venue.open_orders(order.symbol)
        view = next((each for each in resting if each.client_id == order.client_id), None)
    if view is None:
        return NotFound(order.client_id)
    trades = await venue.trades_of(order.symbol, order.client_id, view.exchange_id)
    return Found(order.client_id, view.happening, view.filled, tuple(trades))
