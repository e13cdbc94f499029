"""The Brain's step beside its peers: `python -m bench.brain [--json]`.

Lower is better for all times. The step always does all of its work: eleven indicators, structure with its events, and 32
standardised features, for 300 symbols in turn. Beside it the Brain at work on its thread, with ticks of another process.
A peer does what it can: the names of the metrics say what. Beside the p99 of a close stands that of a hash which takes as
long: what the machine itself adds to anything of that length. TA-Lib, talipp and smartmoneyconcepts are left out, by name on
stderr, where they are not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from bench import brain_live as live
from bench import brain_work as work
from bench.report import Contestant, Goal, main

ALL = "a candle, everything"
CLOSE_P99 = "close of 300 symbols, p99"
PEERS: dict[str, list[tuple[str, str, work.Run]]] = {
    "talib": [
        ("TA-Lib, streaming", "a candle, 8 indicators", work.ta_lib_stream),
        ("TA-Lib, batch", "a candle, 8 indicators", work.ta_lib_batch),
    ],
    "talipp": [("talipp", "a candle, 4 indicators", work.talipp_add)],
    "smartmoneyconcepts": [("smartmoneyconcepts, batch", "a candle, structure", work.smc_batch)],
}


def contestants(scale: float) -> list[Contestant]:
    minutes = work.WARM + max(100, round(1000 * scale))
    ticks = max(8, round(64 * scale)) * 16_384

    def ours(metric: str, unit: str, run: Callable[..., float], *args: int) -> Contestant:
        return Contestant("step", metric, unit, lambda: run(*args))

    everybody = [
        ours(ALL, "ns", work.step_candles, minutes),
        ours("a candle, everything, 1 symbol", "ns", work.step_candles, minutes * 10, 1),
        ours(CLOSE_P99, "us", work.step_close_p99, minutes),
        Contestant("SHA-256, as long a call", CLOSE_P99, "us", partial(work.hash_p99, minutes)),
        Contestant(
            "step without a rule",
            "a candle, everything, 1 symbol",
            "ns",
            partial(work.step_candles, minutes * 10, 1, ()),
        ),
        ours("a bar to a strategy in Python", "us", work.desk_bars, 20),
        ours("a tick, 4096 in a call", "ns", work.step_ticks, ticks, 4096),
        ours("a tick, 64 in a call", "ns", work.step_ticks, ticks // 4, 64),
        ours("a tick, 1 in a call", "ns", work.step_ticks, ticks // 16, 1),
    ]
    everybody += live.contestants(scale)
    for package, entries in PEERS.items():
        module = work.peer(package)
        if module is None:
            sys.stderr.write(f"{package} is not installed: left out\n")
            continue
        everybody += [
            Contestant(name, metric, "ns", partial(run, module, minutes))
            for name, metric, run in entries
        ]
    return everybody


def goals(everybody: Sequence[Contestant]) -> list[Goal]:
    median = {(each.name, each.metric): each.median for each in everybody}
    candle = median["step", ALL]
    found = [
        Goal("everything, millions of candles a second", 1e3 / candle, "1/us", 5.0, 3.0),
        Goal(CLOSE_P99, median["step", CLOSE_P99], "us", 100, 200),
        Goal("ticks to bars, in batches", median["step", "a tick, 4096 in a call"], "ns", 10, 20),
    ]
    beside = {
        "TA-Lib, streaming": ("everything beside 8 of TA-Lib's streams", 4.0, 2.0),
        "smartmoneyconcepts, batch": ("everything beside smartmoneyconcepts' batch", 100.0, 50.0),
    }
    for (name, _), figure in median.items():
        if name in beside:
            title, goal, floor = beside[name]
            found.append(Goal(title, figure / candle, "x", goal, floor))
    worst_end_ms = max(max(each.figures) for each in everybody if each.metric == live.END)
    return found + live.goals(median, worst_end_ms)


if __name__ == "__main__":
    sys.exit(main("brain", contestants, goals))
