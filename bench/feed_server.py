"""The exchange of `bench.feed`, a process of its own: `python -m bench.feed_server`.

It serves one connection after another, as the path asks: `/flat/KIND/COUNT/RECORD` sends COUNT frames as fast as they
are taken, RECORD of them in one send (through TLS: in one record); `/paced/RATE/BURST/COUNT` sends BURST frames at a
time, RATE a second, each stamped with the time of its send. A reply to a SUBSCRIBE says that all were sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

__all__ = ["EPOCH_US", "ROUND", "SYMBOLS", "Address", "sizes", "start"]

SYMBOLS: Final = tuple(f"COIN{number:03}USDT" for number in range(300))
EPOCH_US: Final = 10**12
"""Added to a time in us, so that it has the thirteen digits of an exchange's time in ms."""
DONE: Final = b'{"result":null,"id":1}'
ROUND: Final = 40 * len(SYMBOLS)
_TIME: Final = b"1616202009188"
_ID: Final = 389_500_000
"""The first id of each symbol's stream; they are contiguous, and their last digits are written anew each round."""
_ID_DIGITS: Final = 5
_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@attrs.frozen
class Address:
    """Where the server listens, and the certificate of its encrypted port."""

    plain: int
    encrypted: int
    certificate: str


def sizes(count: int) -> float:
    """What the sizes in the first `count` frames add up to: quantities of trades, ask sizes of quotes."""
    rounds, rest = divmod(count, ROUND)
    return float(rounds * sum(range(1, ROUND + 1)) + sum(range(1, rest + 1)))


def payload(kind: str, number: int) -> str:
    """A frame's text in the exchange's own form."""
    symbol = SYMBOLS[number % len(SYMBOLS)]
    at, size = int(_TIME), number + 1
    event = (
        {"e": "aggTrade", "E": at, "a": _ID, "s": symbol, "p": "58665.10", "q": f"{size}.000"}
        | {"f": 621622993, "l": 621622993, "T": at, "m": False}
        if kind == "aggTrade"
        else {"e": "bookTicker", "u": _ID, "s": symbol, "b": "2681.62", "B": "1.165"}
        | {"a": "2681.63", "A": f"{size}.000", "T": at, "E": at}
    )
    stream = f"{symbol.lower()}@{kind}"
    return json.dumps({"stream": stream, "data": event}, separators=(",", ":"))


def frame(text: bytes) -> bytes:
    size = len(text)
    return b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")) + text


class Round:
    """`ROUND` frames as one piece of memory, in which each symbol's ids go on from round to round."""

    def __init__(self, kind: str) -> None:
        frames = [frame(payload(kind, number).encode()) for number in range(ROUND)]
        self._ends = np.cumsum([0, *map(len, frames)])
        self._bytes = np.frombuffer(bytearray(b"".join(frames)), np.uint8)
        ids = [text.index(b"%d" % _ID) + len(b"%d" % _ID) - _ID_DIGITS for text in frames]
        self._digits_at = (self._ends[:-1] + ids)[:, None] + np.arange(_ID_DIGITS)
        self._in_round = np.arange(ROUND) // len(SYMBOLS)
        self._powers = 10 ** np.arange(_ID_DIGITS)[::-1]

    def frames(self, number: int, first: int, last: int) -> memoryview:
        """The frames `first` to `last - 1` of a round, with their ids."""
        in_round = self._in_round[first:last]
        ids = in_round[0] + np.arange(in_round[-1] - in_round[0] + 1)
        digits = (ids + number * ROUND // len(SYMBOLS))[:, None] // self._powers % 10 + ord("0")
        self._bytes[self._digits_at[first:last]] = digits[in_round - in_round[0]]
        return self._bytes.data[self._ends[first] : self._ends[last]]


class Encrypted:
    """TLS over a connection; everything is encrypted before it is sent, so that the receiver sets the pace."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self._connection = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._when_read(self._tls.do_handshake)

    def sendall(self, data: bytes | memoryview) -> None:
        """Encrypt as one record, if it is short enough; it leaves when something is received."""
        self._tls.write(data)

    def recv(self, count: int) -> bytes:
        data: bytes = self._when_read(partial(self._tls.read, count))
        return data

    def _flush(self) -> None:
        self._connection.sendall(self._outgoing.read())

    def _when_read(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                done = call()
            except ssl.SSLWantReadError:
                self._flush()
                if came := self._connection.recv(65_536):
                    self._incoming.write(came)
                else:
                    self._incoming.write_eof()
            else:
                self._flush()
                return done


Connection = socket.socket | Encrypted
Send = Callable[[Connection], None]


def flat(kind: str, count: int, record: int) -> Send:
    """Frames as fast as they are taken."""
    frames = Round(kind)

    def send(connection: Connection) -> None:
        for sent in range(0, count, record):
            number, first = divmod(sent, ROUND)
            connection.sendall(frames.frames(number, first, first + min(record, count - sent)))

    return send


def paced(rate: int, burst: int, count: int) -> Send:
    """Bursts of trades at even times, each frame with the time of its send."""
    frames = Round("aggTrade")
    between_ns = burst * 1_000_000_000 // rate

    def send(connection: Connection) -> None:
        due = time.monotonic_ns() + 10_000_000
        for sent in range(0, count, burst):
            number, first = divmod(sent, ROUND)
            text = bytes(frames.frames(number, first, first + burst))
            while (now := time.monotonic_ns()) < due:
                pass  # a sleep would come back too late
            connection.sendall(text.replace(_TIME, b"%d" % (EPOCH_US + now // 1000)))
            due += between_ns

    return send


def serve(connection: Connection) -> None:
    """Shake hands, do what the path asks for, and wait until the client has closed."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65_536)
    _, how, *what = head.split(b" ", 2)[1].decode().split("/")
    if how == "flat":
        send = flat(what[0], int(what[1]), int(what[2]))
    else:
        send = paced(int(what[0]), int(what[1]), int(what[2]))
    named = head.lower().index(b"sec-websocket-key:")
    key = head[named:].split()[1]
    accept = base64.b64encode(hashlib.sha1(key + _ACCEPT).digest())  # noqa: S324  # RFC 6455 has it so
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    send(connection)
    connection.sendall(frame(DONE))
    while connection.recv(65_536):
        pass


@contextmanager
def start() -> Iterator[Address]:
    """Run the server while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder) / "localhost.pem"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        )
        files = ["-keyout", str(certificate), "-out", str(certificate.with_suffix(".crt"))]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        certificate.write_text(
            certificate.read_text() + certificate.with_suffix(".crt").read_text()
        )
        with subprocess.Popen(
            [sys.executable, "-m", "bench.feed_server", str(certificate)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            plain, encrypted = map(int, process.stdout.readline().split())
            try:
                yield Address(plain, encrypted, str(certificate))
            finally:
                process.kill()


def run(certificate: str) -> None:
    """Serve until killed."""
    plain, encrypted = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    print(plain.getsockname()[1], encrypted.getsockname()[1], flush=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    while True:
        ready, _, _ = select.select([plain, encrypted], [], [])
        connection, _ = ready[0].accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):  # a client may go before all is sent
            if ready[0] is encrypted:
                serve(Encrypted(connection, context))
            else:
                serve(connection)


if __name__ == "__main__":
    run(sys.argv[1])
