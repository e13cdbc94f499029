"""From the exchange's sockets to its order endpoint: `python -m bench.end_to_end [--json]`.

Each run is a whole `python -m aegis verify --only load`: the exchange's process sends more than 100,000 ticks a second of
300 symbols over loopback; the worker, the Brain, the Gate, the journal on disk and the Executor do what they do when they
trade, on paper. A tick's time begins when the worker reads its bytes and ends when the bytes of the order that it caused
have been given to the system. Lower is better for all times. `--scale 5 --runs 1` is one run of a minute.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bench.report import Contestant, Goal, expect, main

ENGINE = "engine"
SECONDS = 12
RATE = 100_000

Lines = dict[str, dict[str, Any]]
Figure = Callable[[Lines], float]

SIGNAL, ORDER, PACE = "tick to signal", "tick to order on the wire", "ticks sustained"
OBJECTS = "objects a tick, main process"
QUANTILES = ("p50", "p99")


def of(line: str, figure: str) -> Figure:
    return lambda lines: float(lines[line][figure])


def hop(name: str, which: str) -> Figure:
    return lambda lines: float(lines[ORDER]["hops"][name][which])


FIGURES: dict[str, tuple[str, Figure]] = {
    "ticks a second": ("1/s", of(PACE, "ticks_a_second")),
    "ticks lost": ("", of(PACE, "lost")),
    "objects a tick": ("", of(OBJECTS, "blocks_a_tick")),
    **{f"{SIGNAL}, {which}": ("us", of(SIGNAL, which)) for which in QUANTILES},
    **{
        f"{name}, {which}": ("us", hop(key, which))
        for key, name in (
            ("judged", "signal to executor"),
            ("durable", "intent on disk"),
            ("sent", "signed and sent"),
            ("answered", "order to answer"),
        )
        for which in QUANTILES
    },
    **{f"tick to order, {which}": ("us", of(ORDER, which)) for which in QUANTILES},
}


def trade(seconds: float) -> Lines:
    """One run of the engine; the figures of its lines by their names."""
    command = [sys.executable, "-m", "aegis", "verify", "--only", "load", "--json"]
    done = subprocess.run(
        [*command, "--for", f"{seconds:g}s"], capture_output=True, text=True, check=False
    )
    expect(done.returncode in {0, 3}, True)  # whether its bounds hold is not what is asked here
    lines: Lines = {line["name"]: line["values"] for line in json.loads(done.stdout)["lines"]}
    expect((ORDER in lines, lines.get(ORDER, {}).get("reconciled")), (True, True))
    expect(lines[ORDER]["p50"] > 0, True)  # what no order was sent in took no time
    return lines


def contestants(scale: float) -> Iterator[Contestant]:
    """One contestant a figure; the first does the work for all of them."""
    latest: Lines = {}

    def figure(read: Figure, *, first: bool) -> float:
        if first:
            latest.update(trade(max(3.0, SECONDS * scale)))
        return read(latest)

    for number, (metric, (unit, read)) in enumerate(FIGURES.items()):
        yield Contestant(ENGINE, metric, unit, partial(figure, read, first=number == 0))


GOALS_US = {
    f"{SIGNAL}, p50": 200,
    f"{SIGNAL}, p99": 1000,
    "tick to order, p50": 1000,
    "tick to order, p99": 5000,
}


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {each.metric: each.median for each in everybody}
    lost = max(max(each.figures) for each in everybody if each.metric == "ticks lost")
    return [
        Goal("ticks a second over 300 symbols", median["ticks a second"], "1/s", RATE, RATE / 2),
        Goal("ticks lost in the worst run", lost, "", 0, 1),
        *(Goal(metric, median[metric], "us", goal, 2 * goal) for metric, goal in GOALS_US.items()),
    ]


if __name__ == "__main__":
    sys.exit(main("end_to_end", lambda scale: list(contestants(scale)), goals))
