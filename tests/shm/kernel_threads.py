"""The ring's own kernels as threads of the memory model: the checker reads the source that is compiled.

Each function of `aegis.shm.writing`, `aegis.shm.reading` and `aegis.shm.seqlock` becomes a generator: every call of an atomic instruction
becomes a step, everything else runs as written. A `Mutant` weakens one instruction of one function.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, NamedTuple

from memory_model import PRIVATE, Thread, add_bits, exchange, fence, load, store

from aegis.shm import block, handle, layout, reading, seqlock, writing
from aegis.shm.layout import WORD

CAPACITY = 2
ITEM_WORDS = 2
STRIDE = (ITEM_WORDS + 2) * WORD
READERS = 1

HEADER, TABLE, SLOTS, BELLS = 0x10000, 0x20000, 0x30000, 0x40000
ENTRY = TABLE + layout.ENTRIES
SCRATCH = PRIVATE + 0x10000  # a party's own array of records


class Mutant(NamedTuple):
    """Replace the `nth` call of `instruction` in `function` by another instruction, or by an expression."""

    function: str
    instruction: str
    nth: int
    by: str

    def __str__(self) -> str:
        return f"{self.function}: {self.instruction} #{self.nth} -> {self.by}"


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
RING = (handle, writing, reading)
BOARD = (seqlock,)


def _functions(modules: Iterable[ModuleType]) -> dict[str, ast.FunctionDef]:
    """Every kernel's source."""
    found = {}
    for module in modules:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
    return found


FUNCTIONS = _functions((*RING, *BOARD))


class _Mutation(ast.NodeTransformer):
    """Changes one call of one instruction."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._seen = 0

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == self._mutant.instruction:
            self._seen += 1
            if self._seen == self._mutant.nth + 1:
                if self._mutant.by in INSTRUCTIONS:
                    return ast.Call(ast.Name(self._mutant.by, ast.Load()), node.args, [])
                return ast.parse(self._mutant.by, mode="eval").body
        return node


class _Steps(ast.NodeTransformer):
    """Turns calls into steps. Each result is kept in a variable, so that a thread's state is all in its frames."""

    def __init__(self) -> None:
        self._count = 0

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id not in INSTRUCTIONS | FUNCTIONS:
            return node
        self._count += 1
        return ast.NamedExpr(ast.Name(f"step_{self._count}", ast.Store()), ast.YieldFrom(node))


class Kernels:
    """The kernels as generator functions, with a small ring's figures."""

    def __init__(self, mutant: Mutant | None = None) -> None:
        self.__dict__ |= _translated(mutant)

    def __getattr__(self, name: str) -> Callable[..., Thread]:
        raise AttributeError(name)


def _translated(mutant: Mutant | None) -> dict[str, Any]:
    space: dict[str, Any] = {}
    for module in (*RING, *BOARD):
        space |= vars(module)
    space |= INSTRUCTIONS | {"READERS_MAX": READERS, "pause": lambda: None, "types": _PlainNumbers}
    space |= {"forward": operator.add, "since": operator.sub}
    for name, node in FUNCTIONS.items():
        tree = ast.parse(ast.unparse(node))
        if mutant and mutant.function == name:
            tree = _Mutation(mutant).visit(tree)
        function = _Steps().visit(tree).body[0]
        function.decorator_list = []
        function.body += ast.parse("if False: yield").body  # a generator even where no step is left
        exec(compile(ast.fix_missing_locations(tree), f"<{name}>", "exec"), space)  # noqa: S102  # our own source
    return space


class _PlainNumbers:
    """Stands in for numba's conversions of integers."""

    int32 = uintp = int


SCRATCH_WORDS = {SCRATCH + offset: 0 for offset in range(0, 2 * ITEM_WORDS * WORD, WORD)}


def private_words(*, gating: bool = True) -> dict[int, int]:
    """A party's private block; its handle is `PRIVATE`. A writer does not look at what only readers have."""
    words = dict.fromkeys(range(0, (block.WRITER_FD // WORD + 1) * WORD, WORD), 0)
    words |= {
        block.HEADER_AT: HEADER,
        block.TABLE_AT: TABLE,
        block.SLOTS_AT: SLOTS,
        block.ENTRY_AT: ENTRY,
    }
    words |= {block.MASK: CAPACITY - 1, block.STRIDE: STRIDE, block.ITEM: ITEM_WORDS * WORD}
    words |= {block.BIT: 1, block.GATING: int(gating), block.WAKE_FDS: 0, block.WRITER_FD: 1}
    return {PRIVATE + offset: word for offset, word in words.items()}


def shared_words(*, standing: int) -> dict[int, int]:
    """A fresh segment: every slot holds the lap before its first."""
    words = {HEADER + layout.PUB: 0, HEADER + layout.STATE: 1, HEADER + layout.STALLS: 0}
    words |= {TABLE + layout.WAITERS: 0, TABLE + layout.ROOM: 0, BELLS: 0, BELLS + WORD: 0}
    words |= {ENTRY + layout.CURSOR: 0, ENTRY + layout.STANDING: standing, ENTRY + layout.LOST: 0}
    for index in range(CAPACITY):
        for offset in range(0, STRIDE, WORD):
            stamp = offset in {0, STRIDE - WORD}
            words[SLOTS + index * STRIDE + offset] = index + 1 - CAPACITY if stamp else 0
    return words


def weakened(modules: Iterable[ModuleType]) -> list[Mutant]:
    """Every mutant that has one ordering less than the kernels of these modules as they are."""
    return [
        Mutant(name, instruction, index, by)
        for name, node in _functions(modules).items()
        for instruction, by in WEAKER.items()
        for index in range(_calls(node, instruction))
    ]


def _calls(function: ast.FunctionDef, name: str) -> int:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return sum(isinstance(called, ast.Name) and called.id == name for called in calls)
