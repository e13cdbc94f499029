"""The feed beside its peers: `python -m bench.feed [--json]`.

Frames in the exchange's own form, of 300 symbols, come over loopback from a server in another process; each has to
arrive. The lane writes TICK records into a ring in shared memory, with trio-websocket behind it; its peers decode each
frame with msgspec into an object that nobody keeps; cryptofeed makes its own objects, of trades alone, with `Decimal`
prices. Higher is better for M/s, lower for all else. picows, websockets and cryptofeed take part where they are installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType

from bench.feed_clients import take_by_cryptofeed, take_by_websockets
from bench.feed_peers import take_by_picows, take_by_trio_websocket
from bench.feed_server import Address, start
from bench.feed_work import Steady, Taken, stay_steady, take_by_lane
from bench.report import Contestant, Goal, main

LANE, PICOWS, LIBRARY = "lane", "picows + msgspec", "trio-websocket + msgspec"
WEBSOCKETS, CRYPTOFEED = "websockets + msgspec", "cryptofeed"
AGG, BOOK = "aggTrade, flat out", "bookTicker, flat out"
TLS_FULL, TLS_SMALL = "TLS, full records", "TLS, a record each"
BURSTS, MORE, EVEN = "100,000/s in bursts", "200,000/s in bursts", "20,000/s one by one"
STEADY = "ten million, steady"
CORE, CPU, P50, P99 = "of a core", "CPU a tick", "p50", "p99"

Take = Callable[[Address, str, int], Taken]
Figures = dict[str, tuple[str, Callable[[Taken], float]]]
KEPT: dict[str, tuple[str, Callable[[Steady], float]]] = {
    "collections": ("", lambda steady: steady.collections),
    "objects kept a million": ("", lambda steady: steady.blocks_a_million),
    "memory growth": ("%", lambda steady: steady.growth_percent),
}

PEERS: tuple[tuple[str, str, Callable[[ModuleType, Address, str, int], Taken]], ...] = (
    ("picows", PICOWS, take_by_picows),
    ("websockets", WEBSOCKETS, take_by_websockets),
    ("cryptofeed", CRYPTOFEED, take_by_cryptofeed),
)

RATE: Figures = {"": ("M/s", lambda taken: taken.millions_a_second)}
PACED: Figures = {
    CORE: ("%", lambda taken: taken.core_percent),
    P50: ("us", lambda taken: taken.percentile_us(50)),
    P99: ("us", lambda taken: taken.percentile_us(99)),
}
ONE_BY_ONE: Figures = {
    CPU: ("us", lambda taken: taken.cpu_us),
    P50: ("us", lambda taken: taken.percentile_us(50)),
}


def named(metric: str, figure: str) -> str:
    return f"{metric}, {figure}" if figure else metric


def contestants(address: Address, scale: float) -> Iterator[Contestant]:
    """All of them, in turns."""
    million, some, few = (round(count * scale) for count in (1_000_000, 200_000, 20_000))
    encrypted = partial(take_by_lane, tls=True)
    quick: dict[str, tuple[Take, int]] = {LANE: (take_by_lane, million)}
    slow: dict[str, tuple[Take, int]] = {LIBRARY: (take_by_trio_websocket, few)}
    for module, name, take_by in PEERS:
        try:
            peer = importlib.import_module(module)
        except ImportError:
            sys.stderr.write(f"feed: {module} is not installed, and skipped\n")
            continue
        if name == PICOWS:
            quick[name] = (partial(take_by, peer), some)
        else:
            slow[name] = (partial(take_by, peer), few)
    for metric, kind in ((AGG, "aggTrade"), (BOOK, "bookTicker")):
        for name, (take, count) in {**quick, **slow}.items():
            if (name, metric) != (CRYPTOFEED, BOOK):
                path = f"/flat/{kind}/{count}/12000"
                yield from each(name, metric, RATE, take, address, path, count)
    for metric, count, record in ((TLS_FULL, million, 80), (TLS_SMALL, some, 1)):
        path = f"/flat/aggTrade/{count}/{record}"
        yield from each(LANE, metric, RATE, encrypted, address, path, count)
    for metric, rate, burst in ((BURSTS, 100_000, 100), (MORE, 200_000, 200), (EVEN, 20_000, 1)):
        count = max(burst, round(2 * scale * rate) // burst * burst)
        figures = ONE_BY_ONE if metric == EVEN else PACED
        for name, (take, _) in quick.items():
            path = f"/paced/{rate}/{burst}/{count}"
            yield from each(name, metric, figures, take, address, path, count)
    yield from steady(address, round(10_000_000 * scale))


def steady(address: Address, count: int) -> Iterator[Contestant]:
    """What the lane leaves behind, a figure each."""
    latest: list[Steady] = []

    def run(figure: str, *, first: bool) -> float:
        if first:
            latest[:] = [stay_steady(address, count)]
        return KEPT[figure][1](latest[0])

    for number, (figure, (unit, _)) in enumerate(KEPT.items()):
        yield Contestant(LANE, named(STEADY, figure), unit, partial(run, figure, first=number == 0))


def each(
    name: str,
    metric: str,
    figures: Figures,
    take: Take,
    address: Address,
    path: str,
    count: int,
) -> Iterator[Contestant]:
    """One contestant a figure; the first of them does the work for all."""
    latest: list[Taken] = []

    def run(figure: str, *, first: bool) -> float:
        if first:
            latest[:] = [take(address, path, count)]
        return figures[figure][1](latest[0])

    for number, (figure, (unit, _)) in enumerate(figures.items()):
        yield Contestant(name, named(metric, figure), unit, partial(run, figure, first=number == 0))


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}

    def lane(metric: str, figure: str = "") -> float:
        return median[LANE, named(metric, figure)]

    found = [
        Goal(AGG, lane(AGG), "M/s", 5.0, 2.5),
        Goal(BOOK, lane(BOOK), "M/s", 4.0, 2.0),
        Goal(f"{AGG}, beside {LIBRARY}", lane(AGG) / median[LIBRARY, AGG], "x", 60, 30),
        Goal(TLS_FULL, lane(TLS_FULL), "M/s", 2.5, 1.2),
        Goal(TLS_SMALL, lane(TLS_SMALL), "M/s", 0.5, 0.25),
        Goal(named(BURSTS, CORE), lane(BURSTS, CORE), "%", 15, 30),
        Goal(named(BURSTS, P50), lane(BURSTS, P50), "us", 100, 400),
        Goal(named(BURSTS, P99), lane(BURSTS, P99), "us", 300, 10_000),
        Goal(named(MORE, CORE), lane(MORE, CORE), "%", 20, 40),
        Goal(named(EVEN, CPU), lane(EVEN, CPU), "us", 16, 32),
        Goal(named(EVEN, P50), lane(EVEN, P50), "us", 40, 160),
    ]
    found += [
        Goal(named(STEADY, "collections"), lane(STEADY, "collections"), "", 0, 1),
        Goal(
            named(STEADY, "objects kept a million"),
            lane(STEADY, "objects kept a million"),
            "",
            10_000,
            20_000,
        ),
        Goal(named(STEADY, "memory growth"), lane(STEADY, "memory growth"), "%", 2, 4),
    ]
    for peer, goal in ((PICOWS, 5), (WEBSOCKETS, 15), (CRYPTOFEED, 25)):
        if (peer, AGG) in median:
            ratio = lane(AGG) / median[peer, AGG]
            found.append(Goal(f"{AGG}, beside {peer}", ratio, "x", goal, goal / 2))
    return found


if __name__ == "__main__":
    with start() as server:
        sys.exit(main("feed", lambda scale: list(contestants(server, scale)), goals))
