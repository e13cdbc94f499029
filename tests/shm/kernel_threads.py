"""The ring's own kernels as threads of the memory model: the checker reads the source that is compiled.

Each function of `aegis.shm.writing` and `aegis.shm.reading` becomes a generator: every call of an atomic instruction
becomes a step, everything else runs as written. A `Mutant` weakens one instruction of one function.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from memory_model import PRIVATE, Thread, add_bits, exchange, fence, load, store

from aegis.shm import block, handle, layout, reading, writing
from aegis.shm.layout import WORD

CAPACITY = 2
ITEM_WORDS = 2
STRIDE = (ITEM_WORDS + 2) * WORD
READERS = 1

HEADER, TABLE, SLOTS, BELLS = 0x10000, 0x20000, 0x30000, 0x40000
ENTRY = TABLE + layout.ENTRIES
SCRATCH = PRIVATE + 0x10000  # a party's own array of records


class Mutant(NamedTuple):
    """Replace the `index`-th call of `instruction` in `function` by `by`: another instruction, or a value."""

    function: str
    instruction: str
    index: int
    by: str

    def __str__(self) -> str:
        return f"{self.function}: {self.instruction} #{self.index} -> {self.by}"


# Written for people to look at, read by no protocol: a thread's count of its own stalls has no end.
STATISTICS = {PRIVATE + block.STALLED, HEADER + layout.STALLS, ENTRY + layout.LOST}


def store_relaxed(address: int, word: int) -> Thread:
    if address not in STATISTICS:
        yield from store(address, word)


def store_words(address: int, words: tuple[int, ...]) -> Thread:
    for index, word in enumerate(words):
        yield from store(address + index * WORD, word)


def copy(to: int, source: int) -> Thread:
    yield from store(to, (yield from load(source)))


def ring_bell(fd: int, _one: int, _bytes: int) -> Thread:
    yield from exchange(BELLS + fd * WORD, 1)


INSTRUCTIONS: dict[str, Callable[..., Thread]] = {
    "load_relaxed": load,
    "load_acquire": lambda address: load(address, acquire=True),
    "store_relaxed": store_relaxed,
    "store_release": lambda address, word: store(address, word, release=True),
    "store_words": store_words,
    "copy_in": copy,
    "copy_out": copy,
    "fence_acquire": lambda: fence("acquire"),
    "fence_release": lambda: fence("release"),
    "fence_total": lambda: fence("total"),
    "exchange": exchange,
    "add_bits": add_bits,
    "_write": ring_bell,
}
WEAKER = {
    "load_acquire": "load_relaxed",
    "store_release": "store_relaxed",
    "fence_acquire": "0",
    "fence_release": "0",
    "fence_total": "0",
}
MODULES = (handle, writing, reading)


def _functions() -> dict[str, ast.FunctionDef]:
    """Every kernel's source."""
    found = {}
    for module in MODULES:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
    return found


FUNCTIONS = _functions()


class _Steps(ast.NodeTransformer):
    """Turns calls into steps. Each result is kept in a variable, so that a thread's state is all in its frames."""

    def __init__(self, function: str, mutant: Mutant | None) -> None:
        self._mutant = mutant if mutant and mutant.function == function else None
        self._count = 0
        self._seen = 0

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if self._mutant and name == self._mutant.instruction:
            self._seen += 1
            if self._seen == self._mutant.index + 1:
                if not self._mutant.by.isidentifier():
                    return ast.parse(self._mutant.by, mode="eval").body
                name = self._mutant.by
                node.func = ast.Name(name, ast.Load())
        if name not in INSTRUCTIONS and name not in FUNCTIONS:
            return node
        self._count += 1
        step = ast.YieldFrom(node)
        return ast.NamedExpr(ast.Name(f"step_{self._count}", ast.Store()), step)


class Kernels:
    """The kernels as generator functions, with a small ring's figures."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        self.__dict__ |= _translated(mutant)

    def __getattr__(self, name: str) -> Callable[..., Thread]:
        raise AttributeError(name)


def _translated(mutant: Mutant | None) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for module in MODULES:
        space |= vars(module)
    space |= INSTRUCTIONS | {"READERS_MAX": READERS, "pause": lambda: None, "types": _PlainNumbers}
    for name, node in FUNCTIONS.items():
        tree = _Steps(name, mutant).visit(ast.parse(ast.unparse(node)).body[0])
        tree.decorator_list = []
        tree.body.append(ast.parse("if False: yield").body[0])  # a generator even where nothing is left to do
        code = ast.fix_missing_locations(ast.Module([tree], []))
        exec(compile(code, f"<{name}>", "exec"), space)  # noqa: S102  # our own source
    return space


class _PlainNumbers:
    """Stands in for numba's conversions of integers."""

    int32 = uintp = int


def private_words(*, reader: int | None = None, done: int = 0, gating: bool = True) -> dict[int, int]:
    """A party's private block. Its handle is `PRIVATE`."""
    words = dict.fromkeys(range(0, (block.WRITER_FD // WORD + 1) * WORD, WORD), 0)
    words |= {block.HEADER_AT: HEADER, block.TABLE_AT: TABLE, block.SLOTS_AT: SLOTS, block.ENTRY_AT: ENTRY}
    words |= {block.MASK: CAPACITY - 1, block.STRIDE: STRIDE, block.ITEM: ITEM_WORDS * WORD}
    words |= {block.NEXT: done, block.LIMIT: done, block.WAKE_FDS: 0, block.WRITER_FD: 1}
    if reader is not None:
        words |= {block.BIT: 1, block.GATING: int(gating)}
    return {PRIVATE + offset: word for offset, word in words.items()}


def shared_words(*, standing: int = 0, cursor: int = 0) -> dict[int, int]:
    """A fresh segment: every slot holds the lap before its first."""
    words = {HEADER + layout.PUB: 0, HEADER + layout.STATE: 1, HEADER + layout.STALLS: 0}
    words |= {TABLE + layout.WAITERS: 0, TABLE + layout.ROOM: 0, BELLS: 0, BELLS + WORD: 0}
    words |= {ENTRY + layout.CURSOR: cursor, ENTRY + layout.STANDING: standing, ENTRY + layout.LOST: 0}
    for index in range(CAPACITY):
        for offset in range(0, STRIDE, WORD):
            stamp = offset in {0, STRIDE - WORD}
            words[SLOTS + index * STRIDE + offset] = index + 1 - CAPACITY if stamp else 0
    return words
