"""The peers of the fast lane in `bench.feed`: WebSocket clients that hand each frame to Python, with msgspec to decode it.

They do less than the lane: a decoded object is counted and dropped; nothing goes into shared memory.
"""

from __future__ import annotations

import asyncio
import time
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import trio
import trio_websocket

from bench.feed_server import DONE, EPOCH_US, Address, sizes
from bench.feed_work import Taken
from bench.report import expect

__all__ = ["take_by_picows", "take_by_trio_websocket"]


class Quote(msgspec.Struct, tag_field="e", tag="bookTicker"):
    s: str
    b: float
    B: float
    a: float
    A: float
    E: int


class Trade(msgspec.Struct, tag_field="e", tag="aggTrade"):
    s: str
    p: float
    q: float
    T: int
    m: bool


class Combined(msgspec.Struct):
    data: Quote | Trade


_decode = msgspec.json.Decoder(Combined, strict=False).decode


class Counter:
    """Decodes frames, and adds up what is in them."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0.0
        self.late_us: list[float] = []
        self.started_ns = 0

    def take(self, frame: Any) -> None:
        """One frame."""
        event = _decode(frame).data
        if isinstance(event, Trade):
            self.size += event.q
            self.late_us.append(time.monotonic_ns() / 1000 + EPOCH_US - event.T)
        else:
            self.size += event.A
        if self.count == 0:
            self.started_ns = time.monotonic_ns()
        self.count += 1

    def taken(self, count: int, cpu_s: float) -> Taken:
        """What was done, after a check that all of it was."""
        elapsed_s = (time.monotonic_ns() - self.started_ns) / 1e9
        expect((self.count, self.size), (count, sizes(count)))
        return Taken(count, elapsed_s, cpu_s, np.array(self.late_us))


def take_by_trio_websocket(address: Address, path: str, count: int) -> Taken:
    """The library that is behind the lane, without it."""
    return trio.run(_listen_by_trio_websocket, address, path, count)


async def _listen_by_trio_websocket(address: Address, path: str, count: int) -> Taken:
    counter = Counter()
    async with (
        await trio.open_tcp_stream("127.0.0.1", address.plain) as stream,
        trio.open_nursery() as nursery,
    ):
        socket = await trio_websocket.wrap_client_stream(
            nursery,
            stream,
            "localhost",
            path,
            message_queue_size=65_536,
            receive_buffer_size=65_536,
        )
        cpu = time.process_time()
        while (frame := await socket.get_message()) != DONE.decode():
            counter.take(frame)
        taken = counter.taken(count, time.process_time() - cpu)
        nursery.cancel_scope.cancel()
    return taken


def take_by_picows(picows: ModuleType, address: Address, path: str, count: int) -> Taken:
    """The fastest client there is for asyncio, written in Cython."""
    counter = Counter()
    done = asyncio.Event()

    class Listener(picows.WSListener):  # type: ignore[misc, name-defined]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.payload_size == len(DONE):
                done.set()
            else:
                counter.take(frame.get_payload_as_memoryview())

    async def listen() -> Taken:
        url = f"ws://127.0.0.1:{address.plain}{path}"
        transport, _ = await picows.ws_connect(Listener, url)
        cpu = time.process_time()
        await done.wait()
        taken = counter.taken(count, time.process_time() - cpu)
        transport.disconnect(graceful=False)
        return taken

    return asyncio.run(listen())
