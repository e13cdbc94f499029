"""From ledger events to journal entries and back: what is written down is enough to be in the same place again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from aegis.errors import check
from aegis.orders.instrument import Side, plain
from aegis.orders.ledger import Ledger
from aegis.orders.order import Order, Ticket, Trade
from aegis.orders.payment import Payment
from aegis.orders.portfolio import Position
from aegis.orders.states import Happening
from aegis.store.journal import Entry, Row

__all__ = ["adopted", "fold", "happened", "intended", "paid", "traded"]


def adopted(
    wallet: Decimal, positions: Mapping[str, Position], at_ms: int, payments: Iterable[str] = ()
) -> Entry:
    """The account as a run found it, the exchange's time when it did, and the ids of the last payments in it."""
    return Entry(
        "account_adopted",
        {
            "wallet": plain(wallet),
            "at_ms": at_ms,
            "payments": sorted(payments),
            "positions": {
                symbol: [plain(position.quantity), plain(position.entry_price)]
                for symbol, position in sorted(positions.items())
            },
        },
    )


def intended(client_id: str, ticket: Ticket) -> Entry:
    """An order that is about to be sent: on disk before its first byte leaves."""
    return Entry(
        "order_intended",
        {
            "id": client_id,
            "symbol": ticket.symbol,
            "side": ticket.side.value,
            "quantity": plain(ticket.quantity),
            "reduce_only": ticket.reduce_only,
            "limit": None if ticket.limit_price is None else plain(ticket.limit_price),
            "reference": plain(ticket.reference_price),
            "stop": None if ticket.stop_price is None else plain(ticket.stop_price),
            "target": None if ticket.target_price is None else plain(ticket.target_price),
            "signal": ticket.signal_id,
            "strategy": ticket.strategy,
            "checks": list(ticket.checks),
            "data_age_us": ticket.data_age_us,
        },
    )


def happened(client_id: str, happening: Happening, why: str) -> Entry:
    """Something that moved no quantity."""
    return Entry("order_happened", {"id": client_id, "what": happening.value, "why": why})


def traded(trade: Trade) -> Entry:
    """An execution."""
    return Entry(
        "trade",
        {
            "id": trade.client_id,
            "symbol": trade.symbol,
            "trade": trade.trade_id,
            "side": trade.side.value,
            "quantity": plain(trade.quantity),
            "price": plain(trade.price),
            "fee": plain(trade.fee),
            "fee_asset": trade.fee_asset,
            "event_ms": trade.event_ms,
        },
    )


def paid(payment: Payment) -> Entry:
    """Money that came or went without a trade."""
    return Entry(
        "payment",
        {
            "id": payment.payment_id,
            "symbol": payment.symbol,
            "amount": plain(payment.amount),
            "event_ms": payment.event_ms,
        },
    )


def fold(rows: Iterable[Row]) -> Ledger:
    """The ledger that a journal's rows make. Rows of other kinds tell a story, and change nothing."""
    ledger = Ledger()
    for row in rows:
        apply = _APPLY.get(row.kind)
        if apply is not None:
            apply(ledger, row.decoded())
    return ledger


def _apply_adopted(ledger: Ledger, body: dict[str, Any]) -> None:
    positions = {
        symbol: Position(Decimal(quantity), Decimal(entry))
        for symbol, (quantity, entry) in body["positions"].items()
    }
    payments = body.get("payments", ())  # journals of version 0.1 and before have none
    ledger.adopt(Decimal(body["wallet"]), positions, body["at_ms"], payments)


def _apply_intended(ledger: Ledger, body: dict[str, Any]) -> None:
    ledger.intend(
        Order(
            client_id=body["id"],
            symbol=body["symbol"],
            side=Side(body["side"]),
            quantity=Decimal(body["quantity"]),
            reduce_only=body["reduce_only"],
            stop_price=None if body["stop"] is None else Decimal(body["stop"]),
            # Journals of version 0.1 and before have no targets.
            target_price=None if body.get("target") is None else Decimal(body["target"]),
        )
    )


def _apply_happened(ledger: Ledger, body: dict[str, Any]) -> None:
    check(body["id"] in ledger.orders, "nothing happens to an order that was not intended")
    ledger.happened(body["id"], Happening(body["what"]))


def _apply_trade(ledger: Ledger, body: dict[str, Any]) -> None:
    ledger.traded(
        Trade(
            symbol=body["symbol"],
            trade_id=body["trade"],
            client_id=body["id"],
            side=Side(body["side"]),
            quantity=Decimal(body["quantity"]),
            price=Decimal(body["price"]),
            fee=Decimal(body["fee"]),
            fee_asset=body["fee_asset"],
            event_ms=body["event_ms"],
        )
    )


def _apply_payment(ledger: Ledger, body: dict[str, Any]) -> None:
    amount = Decimal(body["amount"])
    ledger.paid(Payment(body["id"], body["symbol"], amount, body["event_ms"]))


_APPLY: Final = {
    "account_adopted": _apply_adopted,
    "order_intended": _apply_intended,
    "order_happened": _apply_happened,
    "trade": _apply_trade,
    "payment": _apply_payment,
}
