"""An exhaustive explorer of small concurrent programs under the C11 memory model.

Every thread has a *view*: for each word, the oldest store to it that the thread may still read. A relaxed load picks
any store from there on; acquiring joins the view that came with the store; a release store carries the view of its
thread; fences do the same for the relaxed accesses around them; total fences share one more view. So all the
reorderings of stores with stores and of loads with loads that ARM and POWER do are explored, and store buffering
with them. Not explored: a load that takes its value from a store later in program order ("load buffering").

A thread is a generator that yields operations and is sent their results. Its state is its stack of frames, so
equal states are found and expanded once, and a program may spin.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from types import GeneratorType
from typing import Any, NamedTuple

Operation = tuple[Any, ...]
Thread = Generator[Operation, Any, Any]
View = tuple[int, ...]
Snapshot = tuple[Any, ...]

PRIVATE = 1 << 60  # words from here on belong to one thread, and are no steps of their own


def load(address: int, *, acquire: bool = False) -> Thread:
    """A thread's load."""
    return (yield "load", address, acquire)


def store(address: int, word: int, *, release: bool = False) -> Thread:
    """A thread's store."""
    yield "store", address, word, release


def fence(kind: str) -> Thread:
    """A thread's fence: "acquire", "release" or "total"."""
    yield "fence", kind


def exchange(address: int, word: int) -> Thread:
    """An indivisible load and store; the result is the old word."""
    return (yield "swap", address, 0, word)


def add_bits(address: int, bits: int) -> Thread:
    """An indivisible load and store of the same bits and some more; the result is the old word."""
    return (yield "swap", address, -1, bits)


def until(address: int, word: int) -> Thread:
    """Do not go on before the word has come this far. It reads nothing: the thread's view stays as it was."""
    yield "until", address, word


def await_word(address: int) -> Thread:
    """Sleep until the word is not 0, then clear it: what a read of an eventfd does."""
    yield from until(address, 1)
    yield from exchange(address, 0)


def choose() -> Thread:
    """Go on both ways: the result is False in one world and True in another."""
    return (yield ("choose",))


def mortal(thread: Thread) -> Thread:
    """Run a thread that may be killed before any of its steps."""
    operation = next(thread)
    while not (yield from choose()):
        result = yield operation
        try:
            operation = thread.send(result)
        except StopIteration:
            return


class Automaton:
    """A thread's program as a table: from state and result to state. States are made on demand."""

    def __init__(self, program: Callable[[], Thread], private: Mapping[int, int]) -> None:
        self._program = program
        self._private = private
        self._numbers: dict[Snapshot, int] = {}
        self._results: list[tuple[Any, ...]] = []  # for each state, results that lead to it
        self.operations: list[Operation] = []
        self._steps: dict[tuple[int, Any], int] = {}
        self.start = self._state_after(())

    def step(self, state: int, result: Any) -> int:
        """The state after `state`, whose operation had this result."""
        key = state, result
        if key not in self._steps:
            self._steps[key] = self._state_after((*self._results[state], result))
        return self._steps[key]

    def _state_after(self, results: tuple[Any, ...]) -> int:
        thread = self._program()
        private = dict(self._private)
        operation = _advance(thread, private, None)
        for result in results:
            operation = _advance(thread, private, result)
        snapshot = (_frames(thread), operation, tuple(sorted(private.items())))
        if snapshot not in self._numbers:
            self._numbers[snapshot] = len(self.operations)
            self._results.append(results)
            self.operations.append(operation)
        return self._numbers[snapshot]


def _advance(thread: Thread, private: dict[int, int], result: Any) -> Operation:
    """Run to the next operation on shared memory."""
    try:
        operation = thread.send(result)
        while operation[0] in {"load", "store"} and operation[1] >= PRIVATE:
            if operation[0] == "load":
                operation = thread.send(private[operation[1]])
            else:
                private[operation[1]] = operation[2]
                operation = thread.send(None)
    except StopIteration as end:
        return "end", end.value
    except AssertionError as broken:
        return "violation", str(broken)
    return operation


def _frames(thread: Any) -> Snapshot:
    """What a generator, with all those it delegates to, still has in mind."""
    frames: list[Any] = []
    while isinstance(thread, GeneratorType) and thread.gi_frame is not None:
        names = sorted(thread.gi_frame.f_locals.items())
        held = tuple(
            (name, _frames(value) if isinstance(value, GeneratorType) else value)
            for name, value in names
        )
        frames.append((thread.gi_code, thread.gi_frame.f_lasti, held))
        thread = thread.gi_yieldfrom
    return tuple(frames)


class Context(NamedTuple):
    """One thread at one moment: its state and what it must have seen."""

    state: int
    current: View
    acquired: View  # what an acquire fence would add
    released: View  # what a relaxed store carries


class World(NamedTuple):
    """One moment of everything. `memory` has for each word its stores, oldest first, each with the view it carries."""

    memory: tuple[tuple[tuple[int, View], ...], ...]
    threads: tuple[Context, ...]
    total: View


class Model:
    """Threads over shared words with initial values."""

    def __init__(self, words: Mapping[int, int], automata: list[Automaton]) -> None:
        self._place = {address: place for place, address in enumerate(words)}
        self._initial = tuple(words.values())
        self._automata = automata

    def violation(self, limit: int = 2_000_000) -> str | None:
        """Explore everything; return what went wrong, or None."""
        nothing: View = (0,) * len(self._initial)
        threads = tuple(Context(a.start, nothing, nothing, nothing) for a in self._automata)
        first = World(tuple(((word, nothing),) for word in self._initial), threads, nothing)
        seen = {first}
        todo = [first]
        while todo:
            world = todo.pop()
            operations = [
                a.operations[t.state] for a, t in zip(self._automata, world.threads, strict=True)
            ]
            followers = self._followers(world, operations)
            for operation in operations:
                if operation[0] == "violation":
                    return str(operation[1])
            if not followers and any(operation[0] != "end" for operation in operations):
                return f"asleep for ever: {[operation[0] for operation in operations]}"
            fresh = [follower for follower in followers if follower not in seen]
            seen.update(fresh)
            todo.extend(fresh)
            if len(seen) > limit:
                raise RuntimeError(f"more than {limit} states")
        self.states = len(seen)
        return None

    def _followers(self, world: World, operations: list[Operation]) -> list[World]:
        # What no other thread can notice commutes with all they do: one order of it is enough.
        for index, operation in enumerate(operations):
            if operation[0] == "choose" or operation[:2] in {
                ("fence", "acquire"),
                ("fence", "release"),
            }:
                return list(self._after(world, index, operation))
        return [
            w
            for index, operation in enumerate(operations)
            for w in self._after(world, index, operation)
        ]

    def _after(self, world: World, index: int, operation: Operation) -> Iterator[World]:
        """Every world that one thread's next operation can lead to."""
        match operation:
            case "load", address, acquire:
                yield from self._load(world, index, self._place[address], acquire)
            case "store", address, word, release:
                yield self._store(world, index, self._place[address], word, release)
            case "swap", address, keep, bits:
                yield self._swap(world, index, self._place[address], keep, bits)
            case "until", address, word:
                if world.memory[self._place[address]][-1][0] >= word:
                    yield self._moved(world, index, world.threads[index], None)
            case "fence", kind:
                yield self._fence(world, index, kind)
            case ("choose",):
                for way in (False, True):
                    yield self._moved(world, index, world.threads[index], way)

    def _load(self, world: World, index: int, place: int, acquire: bool) -> Iterator[World]:
        thread = world.threads[index]
        for at in range(thread.current[place], len(world.memory[place])):
            word, carried = world.memory[place][at]
            current = _with(thread.current, place, at)
            carried = _with(carried, place, max(at, carried[place]))
            moved = thread._replace(
                current=_join(current, carried) if acquire else current,
                acquired=_join(thread.acquired, carried),
            )
            yield self._moved(world, index, moved, word)

    def _store(self, world: World, index: int, place: int, word: int, release: bool) -> World:
        thread = world.threads[index]
        at = len(world.memory[place])
        current = _with(thread.current, place, at)
        carried = current if release else _with(thread.released, place, at)
        memory = _appended(world.memory, place, (word, carried))
        return self._moved(
            world._replace(memory=memory), index, thread._replace(current=current), None
        )

    def _swap(self, world: World, index: int, place: int, keep: int, bits: int) -> World:
        thread = world.threads[index]
        old, carried = world.memory[place][-1]
        current = _with(_join(thread.current, carried), place, len(world.memory[place]))
        memory = _appended(world.memory, place, (old & keep | bits, current))
        moved = thread._replace(current=current, acquired=_join(thread.acquired, carried))
        return self._moved(world._replace(memory=memory), index, moved, old)

    def _fence(self, world: World, index: int, kind: str) -> World:
        thread = world.threads[index]
        if kind == "acquire":
            return self._moved(
                world, index, thread._replace(current=_join(thread.current, thread.acquired)), None
            )
        if kind == "release":
            return self._moved(world, index, thread._replace(released=thread.current), None)
        current = _join(_join(thread.current, thread.acquired), world.total)
        moved = thread._replace(current=current, released=current)
        return self._moved(world._replace(total=current), index, moved, None)

    def _moved(self, world: World, index: int, thread: Context, result: Any) -> World:
        """The world in which this thread has gone on with the result of its operation."""
        moved = thread._replace(state=self._automata[index].step(thread.state, result))
        return world._replace(threads=(*world.threads[:index], moved, *world.threads[index + 1 :]))


def _join(one: View, other: View) -> View:
    return tuple(map(max, one, other))


def _with(view: View, place: int, at: int) -> View:
    return (*view[:place], at, *view[place + 1 :])


def _appended(memory: Any, place: int, message: tuple[int, View]) -> Any:
    return (*memory[:place], (*memory[place], message), *memory[place + 1 :])
