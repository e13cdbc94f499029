"""The board's protocol, explored in every interleaving and reordering; every weaker version of it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kernel_threads import BOARD, SCRATCH, SCRATCH_WORDS, Kernels, Mutant, weakened
from memory_model import Automaton, Model, Thread, load, mortal, store

from aegis.shm.layout import WORD

ROW = 0x60000
SIZE = 2 * WORD
WORDS = dict.fromkeys((ROW, ROW + WORD, ROW + 2 * WORD), 0)


def replacing(kernels: Kernels, first: int, count: int) -> Thread:
    """Writes records of two equal words."""
    for record in range(first, first + count):
        yield from store(SCRATCH, record)
        yield from store(SCRATCH + WORD, record)
        yield from kernels.write_row(ROW, SCRATCH, SIZE)


def replaced(kernels: Kernels) -> Thread:
    """A writer that is killed anywhere, and its successor."""
    yield from mortal(replacing(kernels, 1, 2))
    yield from replacing(kernels, 3, 1)


def copying(kernels: Kernels, times: int) -> Thread:
    """Takes copies: each is whole, and none is older than the one before."""
    newest = 0
    for _ in range(times):
        found = yield from kernels.read_row(ROW, SCRATCH, SIZE, 1)
        if found:
            one = yield from load(SCRATCH)
            other = yield from load(SCRATCH + WORD)
            assert one == other, f"a torn record: {one} and {other}"
            assert one >= newest, f"record {one} after {newest}"
            newest = one


SCENARIOS: dict[str, Callable[[Kernels], list[Thread]]] = {
    "replacing": lambda k: [replacing(k, 1, 2), copying(k, 2)],
    "two readers": lambda k: [replacing(k, 1, 1), copying(k, 1), copying(k, 1)],
    "killed": lambda k: [replaced(k), copying(k, 2)],
}

# Every ordering that the kernels ask for goes wrong in the first scenario without it; so do these mistakes.
MISTAKES = [
    Mutant(
        "write_row", "store_relaxed", 0, "0"
    ),  # the stamp never shows that the writer is at work
    Mutant("read_row", "load_relaxed", 0, "stamp"),  # no second look at the stamp
    Mutant("read_row", "load_acquire", 0, "load_relaxed(row) & -2"),  # a writer at work is not seen
]


def violation(name: str, mutant: Mutant | None = None) -> str | None:
    kernels = Kernels(mutant)
    count = len(SCENARIOS[name](kernels))

    def automaton(index: int) -> Automaton:
        return Automaton(lambda: SCENARIOS[name](kernels)[index], SCRATCH_WORDS)

    return Model(WORDS, list(map(automaton, range(count)))).violation()


@pytest.mark.parametrize("name", SCENARIOS)
def test_protocol_holds(name: str) -> None:
    """No interleaving and no reordering shows a torn record, or an older one after a newer."""
    assert violation(name) is None


@pytest.mark.parametrize("mutant", [*weakened(BOARD), *MISTAKES], ids=str)
def test_weaker_protocol_fails(mutant: Mutant) -> None:
    """Every ordering and every look at the stamp is needed."""
    assert violation("replacing", mutant) is not None


def test_successor_that_trusts_the_stamp_fails() -> None:
    """A new writer that took an odd stamp for its own beginning would leave it even over half a record."""
    counting = Mutant("write_row", "store_relaxed", 0, "store_relaxed(row, load_relaxed(row) + 1)")
    assert violation("killed", counting) is not None
