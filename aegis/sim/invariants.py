"""What must hold at the venue after every event (protocol §18.5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from aegis.errors import check
from aegis.sim.account import Account
from aegis.sim.amounts import ZERO
from aegis.sim.order import Order, Status, Trade

__all__ = ["check_venue"]


def check_venue(account: Account, orders: Iterable[Order], trades: Iterable[Trade]) -> None:
    """Check the venue's books against each other.

    Args:
        account: the account now.
        orders: every order ever accepted, as it stands now.
        trades: every trade ever booked.

    Raises:
        Broken: naming the first claim that does not hold.
    """
    trades = list(trades)
    check(
        account.wallet
        == account.starting_balance
        + sum((t.realised - t.fee for t in trades), ZERO)
        + sum((each.amount for each in account.incomes), ZERO),
        "the wallet is its start plus all realised profit less all fees, and what came without a trade",
    )
    booked = [(trade.symbol, trade.id) for trade in trades]
    check(len(booked) == len(set(booked)), "each trade id is booked once")
    _check_positions(account, trades)
    _check_orders(orders, trades)


def _check_positions(account: Account, trades: Iterable[Trade]) -> None:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for trade in trades:
        held[trade.symbol] += trade.side.sign * trade.quantity
    for symbol in held.keys() | account.positions.keys():
        check(
            account.position(symbol).quantity == held[symbol],
            f"the position in {symbol} is the sum of its trades",
        )


def _check_orders(orders: Iterable[Order], trades: Iterable[Trade]) -> None:
    filled: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for trade in trades:
        filled[trade.symbol, trade.order_id] += trade.quantity
    for order in orders:
        done = filled.pop((order.asked.symbol, order.id), ZERO)
        check(order.executed == done, f"order {order.id} has filled the sum of its trades")
        check(
            done <= order.asked.quantity, f"order {order.id} has filled no more than it asked for"
        )
        whole = done == order.asked.quantity
        check(
            whole == (order.status is Status.FILLED), f"order {order.id} is FILLED iff it is whole"
        )
    check(not filled, "each trade belongs to an order")
