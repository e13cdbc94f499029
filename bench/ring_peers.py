"""The ring's peers in `bench.ring`, doing the same work: six numbers a record, packed, sent, unpacked and checked."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import mmap
import multiprocessing
import os
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Final

from bench.report import expect
from bench.ring_work import Lateness, Sending, between, now_ns, paced, per_second

RECORD: Final = struct.Struct("<qQdddd")
Numbers = Iterator[tuple[Any, ...]]


def peer(name: str) -> ModuleType | None:
    """A peer's module, None where it is not installed."""
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    return None


def packed(number: int) -> bytes:
    return RECORD.pack(number, 0, 0.5, 0.0, 0.0, 0.0)


def rate(count: int, send: Callable[[], Sending], records: Callable[[], Numbers]) -> float:
    """Millions of records a second; each must carry its number."""

    def receive() -> int:
        right = 0
        for number, record in enumerate(records()):
            right += record[0] == number and record[2] == 0.5
            if number == count - 1:
                break
        return right

    return between(send, lambda: per_second(count, receive))


def struct_ring(count: int) -> float:
    """The seeds' form: `struct` packs slots and cursors, with a remedy without which it hangs.

    `pack_into` zeroes its target before it writes it, so a cursor is believed here only when it reads the same
    twice and has not gone back.
    """
    slots = 10_000
    memory = mmap.mmap(-1, 4096 + slots * RECORD.size)
    cursor = struct.Struct("<Q")

    def cursor_at(offset: int, last: int) -> int:
        once, again = cursor.unpack_from(memory, offset)[0], cursor.unpack_from(memory, offset)[0]
        return int(once) if once == again and once >= last else last

    def send() -> Sending:
        read = 0
        yield
        for number in range(count):
            while number - read >= slots:
                read = cursor_at(128, read)
            RECORD.pack_into(
                memory, 4096 + number % slots * RECORD.size, number, 0, 0.5, 0.0, 0.0, 0.0
            )
            cursor.pack_into(memory, 0, number + 1)

    def records() -> Numbers:
        written = 0
        for number in range(count):
            while written <= number:
                written = cursor_at(0, written)
            yield RECORD.unpack_from(memory, 4096 + number % slots * RECORD.size)
            cursor.pack_into(memory, 128, number + 1)

    return rate(count, send, records)


def mp_queue(count: int) -> float:
    """`multiprocessing.Queue` of tuples."""
    queue: Any = multiprocessing.get_context("fork").Queue(16_384)

    def send() -> Sending:
        yield
        for number in range(count):
            queue.put((number, 0, 0.5, 0.0, 0.0, 0.0))
        queue.close()
        queue.join_thread()

    try:
        return rate(count, send, lambda: iter(queue.get, None))
    finally:
        queue.close()


def mp_pipe(count: int) -> float:
    """`multiprocessing.Pipe` of packed records."""
    here, there = multiprocessing.Pipe(duplex=False)
    with here, there:

        def send() -> Sending:
            yield
            for number in range(count):
                there.send_bytes(packed(number))

        def records() -> Numbers:
            while True:
                yield RECORD.unpack(here.recv_bytes())

        return rate(count, send, records)


def stream_socket(count: int) -> float:
    """A Unix stream socket pair: one send a record, as many as there are with one receive."""
    here, there = socket.socketpair()
    with here, there:

        def send() -> Sending:
            yield
            for number in range(count):
                there.sendall(packed(number))

        def records() -> Numbers:
            rest = b""
            while True:
                rest += here.recv(1 << 16)
                whole = len(rest) // RECORD.size * RECORD.size
                yield from RECORD.iter_unpack(rest[:whole])
                rest = rest[whole:]

        return rate(count, send, records)


def packet_socket_lateness(count: int, gap_ns: int) -> Lateness:
    """A Unix packet socket pair whose reader sleeps in `recv`."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    late = Lateness(count)
    with here, there:

        def send() -> Sending:
            yield
            for losses in paced(count, gap_ns):
                there.send(RECORD.pack(now_ns(), losses, 0.5, 0.0, 0.0, 0.0))

        def receive() -> float:
            for _ in range(count):
                sent_ns, losses, *_rest = RECORD.unpack(here.recv(RECORD.size))
                late.note(now_ns() - sent_ns, losses)
            return 0

        expect(between(send, receive), 0)
    return late


def zmq_ipc(zmq: Any, count: int) -> float:
    """Pyzmq PUSH to PULL over ipc."""
    arrived = os.eventfd(0)
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/socket"

        def send() -> Sending:
            with zmq.Context() as context, context.socket(zmq.PUSH) as push:
                push.connect(address)
                yield
                for number in range(count):
                    push.send(packed(number))
                os.eventfd_read(
                    arrived
                )  # a sender that ends at once may take its last messages with it

        def records() -> Numbers:
            with zmq.Context() as context, context.socket(zmq.PULL) as pull:
                pull.bind(address)
                for number in range(count):
                    record = pull.recv()
                    if number == count - 1:
                        os.eventfd_write(arrived, 1)
                    yield RECORD.unpack(record)

        try:
            return rate(count, send, records)
        finally:
            os.close(arrived)


def faster_fifo_queue(module: Any, count: int, size: int) -> float:
    """faster-fifo, `size` records with one put."""
    queue = module.Queue(1 << 22)
    make = [(number, 0, 0.5, 0.0, 0.0, 0.0) for number in range(count)]

    def send() -> Sending:
        yield
        for start in range(0, count, size):
            queue.put_many(make[start : start + size], timeout=30)

    def records() -> Numbers:
        while True:
            yield from queue.get_many(timeout=30)

    return rate(count, send, records)


class Six(ctypes.Structure):
    """A record for iceoryx2."""

    _fields_ = (
        ("number", ctypes.c_int64),
        ("word", ctypes.c_uint64),
        ("bid", ctypes.c_double),
        ("rest", ctypes.c_double * 3),
    )


def iceoryx(iox: Any, count: int, size: int) -> float:
    """iceoryx2, samples of `size` records, delivered without loss."""

    class Sample(ctypes.Structure):
        _fields_ = (("records", Six * size),)

    name = iox.ServiceName.new(f"aegis-bench-{os.getpid()}-{size}")
    patient = iox.BackpressureStrategy.RetryUntilDelivered

    def service() -> Any:
        iox.set_log_level(iox.LogLevel.Fatal)
        node = iox.NodeBuilder.new().create(iox.ServiceType.Ipc)
        wanted = node.service_builder(name).publish_subscribe(Sample)
        wanted = wanted.subscriber_max_buffer_size(256).enable_safe_overflow(False)
        return node, wanted.open_or_create()  # the node has to live as long as its service

    def send() -> Sending:
        _node, made = service()
        publisher = made.publisher_builder().backpressure_strategy(patient).create()
        sample = Sample()
        for record in sample.records:
            record.bid = 0.5
        yield
        while made.dynamic_config.number_of_subscribers < 1:
            pass
        for start in range(0, count, size):
            for index, record in enumerate(sample.records, start):
                record.number = index
            publisher.loan_uninit().write_payload(sample).send()
        while made.dynamic_config.number_of_subscribers:
            pass

    return rate(count, send, lambda: _samples(service(), count // size))


def _samples(service: Any, count: int) -> Numbers:
    _node, made = service
    subscriber = made.subscriber_builder().buffer_size(256).create()
    for _ in range(count):
        while (sample := subscriber.receive()) is None:
            pass
        for record in sample.payload().contents.records:
            yield record.number, record.word, record.bid
        sample.delete()
