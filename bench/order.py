"""From a signal to its order on the wire and to its fill: `python -m bench.order [--json]`.

Lower is better. The engine judges each signal by its limits, writes the intent to the journal on disk and waits for the
disk, then sends it, and books the fill; httpx and h11 alone sign and send, judge nothing and write nothing down. So what
the disk takes is shown apart, and taken off where the engine stands beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from aegis.ops.log import set_up_log
from bench.order_work import Timed, by_engine, by_h11, by_httpx
from bench.report import Contestant, Goal, main

ENGINE, HTTPX, H11 = "engine", "httpx", "h11"
WIRE, ANSWER, FILL = "signal to wire", "signal to answer", "signal to fill"
BARE = "signal to wire, less the disk, p50"
Figures = dict[str, Callable[[Timed], float]]


def quantiles(name: str, figure: str, percents: Sequence[int]) -> Figures:
    return {f"{name}, p{each}": lambda t, each=each: t.quantile(figure, each) for each in percents}  # type: ignore[misc]


PEER: Figures = {
    **quantiles(WIRE, "wire", (50, 99)),
    BARE: lambda timed: timed.quantile("wire", 50),
    **quantiles(ANSWER, "answer", (50,)),
    **quantiles(FILL, "fill", (50, 99)),
}
OURS: Figures = {
    **PEER,
    BARE: lambda timed: timed.wire_without_disk,
    **quantiles("of it on the disk", "disk", (50, 99)),
}


def contestants(scale: float) -> Iterator[Contestant]:
    count = max(1, round(5 * scale)) * 20
    everybody = {ENGINE: (by_engine, OURS), HTTPX: (by_httpx, PEER), H11: (by_h11, PEER)}
    for name, (trade, figures) in everybody.items():
        yield from each(name, partial(trade, count), figures)


def each(name: str, trade: Callable[[], Timed], figures: Figures) -> Iterator[Contestant]:
    """One contestant a figure; the first of them does the work for all."""
    latest: list[Timed] = []

    def figure(read: Callable[[Timed], float], *, first: bool) -> float:
        if first:
            latest[:] = [trade()]
        return read(latest[0])

    for number, (metric, read) in enumerate(figures.items()):
        yield Contestant(name, metric, "us", partial(figure, read, first=number == 0))


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}
    ours = median[ENGINE, BARE]
    return [
        Goal(f"{BARE}, beside httpx alone", ours / median[HTTPX, BARE], "x", 2.0, 4.0),
        Goal(f"{BARE}, beside h11 alone", ours / median[H11, BARE], "x", 5.0, 10.0),
    ]


if __name__ == "__main__":
    set_up_log(verbose=False, as_json=True)
    sys.exit(main("order", lambda scale: list(contestants(scale)), goals))
