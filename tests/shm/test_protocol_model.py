"""The ring's protocols, explored in every interleaving and reordering; every weaker version of them fails.

The threads call the kernels' own source (see `kernel_threads`) on a ring of two slots with records of two words.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import ring_threads as ring
from kernel_threads import (
    RING,
    SCRATCH_WORDS,
    Kernels,
    Mutant,
    private_words,
    shared_words,
    weakened,
)
from memory_model import Automaton, Model, Thread

from aegis.shm.layout import Standing

FREE, GATING, LOSSY = Standing.FREE, Standing.GATING, Standing.LOSSY


class Scenario(NamedTuple):
    """A writer and a reader, and what the reader is when they start."""

    standing: Standing
    writer: Callable[[Kernels], Thread]
    reader: Callable[[Kernels], Thread]

    def violation(self, mutant: Mutant | None = None) -> str | None:
        kernels = Kernels(mutant)
        gating = self.standing != LOSSY
        writer = Automaton(lambda: self.writer(kernels), private_words() | SCRATCH_WORDS)
        reader = Automaton(
            lambda: self.reader(kernels), private_words(gating=gating) | SCRATCH_WORDS
        )
        words = shared_words(standing=self.standing) | {ring.READ: 0}
        return Model(words, [writer, reader]).violation()


SCENARIOS = {
    "gate copy": Scenario(
        GATING, lambda k: ring.spinning(k, 3), lambda k: ring.copying(k, 3, lossless=True)
    ),
    "gate look": Scenario(
        GATING, lambda k: ring.spinning(k, 3), lambda k: ring.looking(k, 3, lossless=True)
    ),
    "gate order": Scenario(GATING, lambda k: ring.checking(k, 3), lambda k: ring.marking(k, 3)),
    "gate batches": Scenario(
        GATING, lambda k: ring.in_batches(k, 4), lambda k: ring.looking(k, 4, lossless=True)
    ),
    "gate in place": Scenario(
        GATING, lambda k: ring.in_place(k, 4), lambda k: ring.looking(k, 4, lossless=True)
    ),
    "lossy copy": Scenario(LOSSY, lambda k: ring.spinning(k, 3), lambda k: ring.copying(k, 3, 3)),
    "lossy look": Scenario(LOSSY, lambda k: ring.spinning(k, 3), lambda k: ring.looking(k, 3, 3)),
    "lossy batches": Scenario(
        LOSSY, lambda k: ring.in_batches(k, 4), lambda k: ring.copying(k, 4, 2)
    ),
    "lossy in place": Scenario(
        LOSSY, lambda k: ring.in_place(k, 4), lambda k: ring.looking(k, 4, 3)
    ),
    "sleep": Scenario(GATING, lambda k: ring.spinning(k, 2), lambda k: ring.sleeping(k, 2)),
    "sleep, roused": Scenario(GATING, lambda k: ring.showing(k, 2), lambda k: ring.sleeping(k, 2)),
    "room": Scenario(
        GATING, lambda k: ring.sleeping_for_room(k, 3), lambda k: ring.copying(k, 3, lossless=True)
    ),
    "finish": Scenario(GATING, lambda k: ring.finishing(k, 1), lambda k: ring.to_the_end(k, 1)),
    "late join": Scenario(FREE, lambda k: ring.spinning(k, 3), lambda k: ring.joining(k, 3)),
    "evict copy": Scenario(GATING, lambda k: ring.evicting(k, 3), lambda k: ring.copying(k, 3)),
    "evict look": Scenario(GATING, lambda k: ring.evicting(k, 3), lambda k: ring.looking(k, 3)),
    "killed, gate": Scenario(
        GATING, lambda k: ring.replaced(k, 2), lambda k: ring.copying(k, 2, lossless=True)
    ),
    "killed, lossy": Scenario(
        LOSSY, lambda k: ring.replaced(k, 3), lambda k: ring.copying(k, 3, 2)
    ),
}

# Every ordering that the kernels ask for, and the scenario that goes wrong without it.
ORDERINGS = {
    "put: store_release #0": "gate copy",
    "put: fence_release #0": "lossy copy",
    "show_sized: store_release #0": "gate batches",
    "show_sized: fence_release #0": "lossy batches",
    "reserve: fence_release #0": "lossy in place",
    "commit: store_release #0": "gate in place",
    "room: load_acquire #0": "gate order",
    "room: fence_total #0": "room",
    "_show: store_release #0": "gate look",
    "rouse: fence_total #0": "sleep",
    "walk_sized: load_acquire #0": "gate copy",
    "walk_sized: fence_acquire #0": "lossy copy",
    "ready: load_acquire #0": "gate look",
    "ready: load_acquire #1": "gate look",
    "arm: load_acquire #0": "finish",
    "arm: fence_total #0": "sleep",
    "release: fence_acquire #0": "lossy look",
    "_give_back: store_release #0": "gate order",
    "_give_back: fence_total #0": "room",
    "join: fence_total #0": "late join",
}

# Steps left out or done wrongly, and the scenario that goes wrong with it.
MISTAKES = {
    Mutant("put", "store_relaxed", 0, "0"): "gate copy",  # begin is not stamped
    Mutant("put", "_admit", 0, "1"): "gate copy",  # the gates are not looked at
    Mutant("show_sized", "_admit", 0, "count"): "gate batches",
    Mutant("reserve", "_admit", 0, "count"): "gate in place",
    Mutant("reserve", "store_relaxed", 0, "0"): "gate in place",
    Mutant("room", "load_relaxed", 3, "load_relaxed(handle + MASK) + 1"): "gate copy",
    Mutant(
        "walk_sized", "load_relaxed", 3, "sequence"
    ): "lossy copy",  # begin is not looked at again
    Mutant("release", "load_relaxed", 2, "done + 1"): "lossy look",
    Mutant("release", "_count_lost", 0, "0"): "lossy look",
    Mutant("_skip", "_count_lost", 0, "0"): "lossy copy",
    Mutant("rouse", "load_relaxed", 1, "0"): "sleep, roused",  # sleepers are not looked for
    Mutant("arm", "add_bits", 0, "0"): "sleep",  # the sleep is not announced
    Mutant("arm", "ready", 0, "0"): "sleep",  # no second look before sleeping
    Mutant("ask_room", "store_relaxed", 0, "0"): "room",
    Mutant("ask_room", "room", 0, "0"): "room",
    Mutant("_give_back", "exchange", 0, "0"): "room",
    Mutant("finish", "_wake", 0, "0"): "finish",
    Mutant("join", "load_relaxed", 3, "load_relaxed(entry + CURSOR)"): "late join",  # PUB read once
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_protocol_holds(name: str) -> None:
    """No interleaving and no reordering shows a torn, lost or repeated record, or a missed wake-up."""
    assert SCENARIOS[name].violation() is None


@pytest.mark.parametrize("mutant", weakened(RING), ids=str)
def test_weaker_ordering_fails(mutant: Mutant) -> None:
    """Every ordering in the kernels is needed: with one less, a scenario goes wrong."""
    ordering = f"{mutant.function}: {mutant.instruction} #{mutant.nth}"
    assert SCENARIOS[ORDERINGS[ordering]].violation(mutant) is not None


@pytest.mark.parametrize("mutant", MISTAKES, ids=str)
def test_missing_step_fails(mutant: Mutant) -> None:
    """A kernel that leaves out a stamp, a second look or a count is caught."""
    assert SCENARIOS[MISTAKES[mutant]].violation(mutant) is not None


def test_successor_that_trusts_pub_fails() -> None:
    """A new writer that went on at PUB would write again what a reader has already taken."""
    trusting = SCENARIOS["killed, gate"]._replace(
        writer=lambda k: ring.replaced(k, 2, trusts_pub=True)
    )
    assert trusting.violation() is not None


def test_writer_that_shows_and_does_not_rouse_fails() -> None:
    """Who shows records owes their readers a call."""
    silent = SCENARIOS["sleep, roused"]._replace(writer=lambda k: ring.showing(k, 2, rouses=False))
    assert silent.violation() is not None


def test_threads_hold_no_result_outside_a_variable() -> None:
    """A thread's state is read from its frames, so no expression may keep one step's result during another."""
    holding = (ast.BinOp, ast.Call, ast.Compare, ast.Tuple, ast.List, ast.Subscript)
    for node in ast.walk(ast.parse(Path(ring.__file__).read_text())):
        steps = [n for n in ast.walk(node) if isinstance(n, ast.Yield | ast.YieldFrom)]
        assert not isinstance(node, holding) or len(steps) < 2, ast.unparse(node)
