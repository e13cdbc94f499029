"""A world to trade in: Binance USD-M Futures on loopback, with a synthetic market or a recorded one.

order.py, rules.py, book.py, matching.py      one symbol's matching, pure
margin.py, account.py, invariants.py          the money, pure
exchange.py                                   all symbols and the account; user_events.py is what it tells
market.py, synthetic.py / recording.py, replay.py   what moves the market
rest.py and the endpoints / hub.py, connection.py, control.py   the two sides of the one port in server.py
process.py                                    the venue as a process
"""

from __future__ import annotations

from aegis.sim.credentials import PAPER_KEY, PAPER_SECRET
from aegis.sim.faults import Faults, OrderFaultKind
from aegis.sim.market import TapeRate
from aegis.sim.options import MAX_SPEED, ExchangeOptions
from aegis.sim.process import run_exchange
from aegis.sim.server import Server, serve_exchange

__all__ = [
    "MAX_SPEED",
    "PAPER_KEY",
    "PAPER_SECRET",
    "ExchangeOptions",
    "Faults",
    "OrderFaultKind",
    "Server",
    "TapeRate",
    "run_exchange",
    "serve_exchange",
]
