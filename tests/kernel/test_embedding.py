"""The kernel as a guest in somebody else's program."""

from __future__ import annotations

import ast
import importlib
import random
import signal
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

import aegis.kernel
from aegis.kernel import Actor, Priority, message, on, open_system

KERNEL = Path(aegis.kernel.__file__).parent


@message(Priority.EXECUTION)
class Ping:
    hops: int


class Player(Actor):
    @on(Ping)
    async def ping(self, ping: Ping) -> str:
        await trio.sleep(0.1)
        return f"{self.ctx.system.name}: {ping.hops}"


@pytest.mark.trio
async def test_two_systems_live_side_by_side(autojump_clock: MockClock) -> None:
    """Two systems share a run and nothing else: not a name, and not a failure of one that is handled."""

    async def left_fails() -> None:
        async with open_system("left") as left:
            await left.spawn(Player, name="player")
            raise LookupError

    async with open_system("right") as right:
        player = await right.spawn(Player, name="player")
        with pytest.raises(ExceptionGroup):
            await left_fails()
        async with open_system("other") as other:
            twin = await other.spawn(Player, name="player")
            assert await player.ask(Ping(1), timeout=1) == "right: 1"
            assert await twin.ask(Ping(2), timeout=1) == "other: 2"
        assert not twin.alive
        assert player.alive


def test_two_runs_share_nothing() -> None:
    """Two Trio runs in two threads have a system each, with the same names, at the same time."""
    both_are_open = threading.Barrier(2)

    async def main(number: int) -> str:
        async with open_system(f"system {number}") as system:
            player = await system.spawn(Player, name="player")
            both_are_open.wait(timeout=10)
            answer: str = await player.ask(Ping(number), timeout=10)
            return answer

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(trio.run, [main, main], [1, 2]))
    assert answers == ["system 1: 1", "system 2: 2"]


@pytest.mark.trio
async def test_system_in_a_nursery_of_the_program(autojump_clock: MockClock) -> None:
    """A system runs as a task of any nursery and ends with it."""
    answers: list[str] = []

    async def guest() -> None:
        async with open_system("guest") as system:
            player = await system.spawn(Player)
            answers.append(await player.ask(Ping(1), timeout=1))
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert answers == ["guest: 1"]


@pytest.mark.trio
async def test_signals_are_left_alone() -> None:
    """A system installs no signal handler, so the program keeps its own."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    async with open_system() as system:
        await system.spawn(Player)
        assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def imported(source: str) -> set[str]:
    """The modules that a source file imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(KERNEL.glob("*.py")), ids=lambda path: path.name)
def test_kernel_knows_no_market(path: Path) -> None:
    """The kernel imports nothing of the engine but its errors and itself."""
    ours = {name for name in imported(path.read_text()) if name.split(".")[0] == "aegis"}
    assert {name for name in ours if not name.startswith("aegis.kernel")} <= {"aegis.errors"}


@pytest.mark.parametrize("path", sorted(KERNEL.glob("*.py")), ids=lambda path: path.name)
def test_kernel_keeps_its_rules(path: Path) -> None:
    """Time and chance are read in one file, and anything whatever is caught in one other."""
    source = path.read_text()
    if path.name != "clock.py":
        assert not imported(source) & {"time", "datetime", "secrets"}
        assert "random.Random(" not in source
        assert "trio.current_time" not in source
    if path.name != "supervisor.py":
        assert "except Exception" not in source
    assert "except BaseException" not in source
    assert "except:" not in source


@pytest.mark.parametrize("path", sorted(KERNEL.glob("*.py")), ids=lambda path: path.name)
def test_kernel_keeps_nothing_global(path: Path) -> None:
    """No module holds anything that one system could change for another."""
    module = importlib.import_module(f"aegis.kernel.{path.stem}".removesuffix(".__init__"))
    changeable = (list, dict, set, bytearray, deque, random.Random, trio.Event, trio.Lock)
    own = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    assert [name for name, value in own.items() if isinstance(value, changeable)] == []
    assert not any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text())))
