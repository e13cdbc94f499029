"""The ledger: whose position it is that the account shows at the start of a run."""

from __future__ import annotations

from decimal import Decimal

import attrs
import pytest

from aegis.orders.instrument import Side
from aegis.orders.ledger import Ledger
from aegis.orders.order import Order, Trade
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening

BUY, SELL = Side.BUY, Side.SELL


def ledger_of(*orders: tuple[Side, str, str | Happening]) -> Ledger:
    """Orders of 0.02, each with what was filled of it or how it ended unfilled."""
    ledger = Ledger()
    for number, (side, quantity, end) in enumerate(orders, 1):
        client_id = f"aegis-1-{number}"
        ledger.intend(Order(client_id, "BTCUSDT", side, Decimal(quantity), reduce_only=False))
        if isinstance(end, Happening):
            ledger.happened(client_id, end)
        elif Decimal(end):
            ledger.traded(trade(number, client_id, side, end))
    return ledger


def trade(number: int, client_id: str, side: Side, quantity: str) -> Trade:
    price = Decimal(50_000)
    return Trade(
        "BTCUSDT", number, client_id, side, Decimal(quantity), price, Decimal(0), "USDT", 1
    )


def adopt(ledger: Ledger, held: str) -> None:
    ledger.adopt(Decimal(1000), {"BTCUSDT": Position(Decimal(held), Decimal(50_000))}, at_ms=2)


@pytest.mark.parametrize(
    ("orders", "held", "is_foreign"),
    [
        ([], "0.02", True),
        ([(BUY, "0.02", "0.02")], "0.02", False),
        ([(BUY, "0.02", "0.02")], "0.01", False),  # closed in part by hand
        ([(BUY, "0.02", "0.02")], "0.05", True),
        ([(BUY, "0.02", "0.02")], "-0.02", True),
        ([(BUY, "0.02", Happening.REJECTED)], "0.02", True),
        ([(BUY, "0.02", "0")], "0.02", False),  # it may have filled while nobody listened
        ([(SELL, "0.02", "0")], "0.02", True),
        ([(BUY, "0.02", "0.02"), (SELL, "0.02", "0.02")], "0.02", True),
    ],
)
def test_a_position_that_no_order_of_ours_can_have_made_is_foreign(
    orders: list[tuple[Side, str, str | Happening]], held: str, is_foreign: bool
) -> None:
    """By what is booked and what may have filled unheard, on its side."""
    ledger = ledger_of(*orders)
    adopt(ledger, held)
    assert ledger.foreign == ({"BTCUSDT"} if is_foreign else set())


def test_a_foreign_position_stays_so_at_the_next_start_and_until_it_is_closed() -> None:
    """That it was adopted before makes it nobody's order; what our own order makes after its end is ours."""
    ledger = ledger_of((BUY, "0.01", "0"))
    adopt(ledger, "0.02")
    adopt(ledger, "0.02")
    assert ledger.foreign == {"BTCUSDT"}
    by_hand = ((SELL, "0.01", ""), (SELL, "0.01", ""), (BUY, "0.01", "aegis-1-1"))
    for number, (side, quantity, client_id) in enumerate(by_hand, 1):
        ledger.traded(later(trade(number, client_id, side, quantity)))
        assert ledger.foreign == ({"BTCUSDT"} if number == 1 else set())


@pytest.mark.parametrize(
    ("trades", "is_foreign"),
    [
        ([("web", BUY, "0.02")], True),  # opened
        ([("ours", BUY, "0.02"), ("web", BUY, "0.01")], False),
        ([("ours", BUY, "0.02"), ("web", SELL, "0.02")], False),  # closed
        ([("ours", BUY, "0.02"), ("web", SELL, "0.02"), ("web", BUY, "0.02")], True),
        ([("ours", BUY, "0.02"), ("web", SELL, "0.05")], True),  # turned
        ([("web", SELL, "0.01"), ("ours", BUY, "0.02")], False),  # turned by ours
        ([("web", SELL, "0.03"), ("ours", BUY, "0.02")], True),
    ],
)
def test_a_position_that_somebody_else_opens_while_we_run_is_foreign(
    trades: list[tuple[str, Side, str]], is_foreign: bool
) -> None:
    """As one that is found at the start, and it is so after a restart as well: no stop of ours was meant for it."""
    ledger = ledger_of((BUY, "0.02", "0"))
    for number, (whose, side, quantity) in enumerate(trades, 1):
        client_id = "aegis-1-1" if whose == "ours" else "web_1"
        ledger.traded(trade(number, client_id, side, quantity))
    foreign = {"BTCUSDT"} if is_foreign else set()
    assert ledger.foreign == foreign
    ledger.happened("aegis-1-1", Happening.CANCELLED)
    held = ledger.portfolio.open_positions()
    ledger.adopt(Decimal(1000), held, at_ms=2)
    assert ledger.foreign == foreign


def test_what_is_held_and_watched_by_nobody_is_named() -> None:
    """A symbol that is traded no longer may hold what our own order has made: no tick of it comes, and no end closes it."""
    ledger = ledger_of((BUY, "0.02", "0.02"))
    assert ledger.unguarded(("BTCUSDT",)) == {}
    assert ledger.unguarded(("ETHUSDT",)) == {"BTCUSDT": "it is none of the run's symbols"}
    adopt(ledger, "-0.02")
    assert ledger.unguarded(("BTCUSDT",)) == {"BTCUSDT": "no order of this journal made it"}


def later(made: Trade) -> Trade:
    """The same trade after the account was adopted."""
    return attrs.evolve(made, event_ms=3)
