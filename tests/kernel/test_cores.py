from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from aegis.kernel import cores
from aegis.kernel.cores import (
    beside_the_loop,
    elsewhere,
    given_cores,
    keep_to_the_last_core,
    last_core,
    on_any_core,
)
from aegis.kernel.process import Child

ALL = frozenset(os.sched_getaffinity(0))

two_cores = pytest.mark.skipif(len(ALL) < 2, reason="this machine has one core")
pytestmark = pytest.mark.processes

_LEAVE = """
import json, os
from aegis.kernel.cores import leave_the_last_core
leave_the_last_core()
print(json.dumps(sorted(os.sched_getaffinity(0))))
"""
_KEEP = """
import json, os, sys
from aegis.kernel import cores
cores._CLAIM = chr(0) + sys.argv[1]
with cores.keep_to_the_last_core() as keeps:
    print(json.dumps([keeps, sorted(os.sched_getaffinity(0))]), flush=True)
    sys.stdin.read()
"""
_WHERE = "import json, os; print(json.dumps(sorted(os.sched_getaffinity(0))), flush=True)"
CLAIM = f"aegis-test-{os.getpid()}-"


@pytest.fixture(autouse=True)
def claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of its own: engines of other tests, and of this machine's owner, may run meanwhile."""
    monkeypatch.setattr(cores, "_CLAIM", f"\0{CLAIM}")


def told_by_child(program: str, allowed: frozenset[int]) -> object:
    """What a child says that may run on these cores."""
    told = subprocess.run(
        [sys.executable, "-c", program, CLAIM],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    return json.loads(told.stdout)


@contextmanager
def another_that_keeps_to_the_last_core() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has it, for as long as it lives."""
    with subprocess.Popen(
        [sys.executable, "-c", _KEEP, CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            assert json.loads(other.stdout.readline()) == [True, [max(ALL)]]
            yield other
        finally:
            other.kill()


@two_cores
def test_child_leaves_the_last_core_that_it_may_use() -> None:
    """A user who gives the engine some cores keeps what is said by that."""
    assert told_by_child(_LEAVE, ALL) == sorted(ALL)[:-1]


def test_only_core_is_kept() -> None:
    """With one core there is nothing to leave, and nothing to have for oneself."""
    core = frozenset({min(ALL)})
    assert told_by_child(_LEAVE, core) == [min(ALL)]
    assert told_by_child(_KEEP, core) == [False, [min(ALL)]]


@two_cores
def test_a_loop_keeps_to_the_last_core_for_as_long_as_the_block_lasts() -> None:
    """Before and after it runs wherever it may."""
    with keep_to_the_last_core() as keeps:
        assert keeps
        assert os.sched_getaffinity(0) == {max(ALL)}
        assert (given_cores(), last_core()) == (ALL, max(ALL))
    assert os.sched_getaffinity(0) == ALL
    assert given_cores() == ALL


@two_cores
async def test_work_in_threads_keeps_off_the_core_of_the_loop() -> None:
    """But for the work that the loop waits for; and the thread, which Trio will use again, may go anywhere after it."""
    where: list[set[int]] = []

    def work(number: int) -> int:
        where.append(os.sched_getaffinity(0))
        return number

    with keep_to_the_last_core():
        off, on = elsewhere(work), beside_the_loop(work)

    def both() -> int:
        result = off(7)
        where.append(os.sched_getaffinity(0))
        on(8)
        where.append(os.sched_getaffinity(0))
        return result

    assert await trio.to_thread.run_sync(both) == 7
    assert where == [ALL - {max(ALL)}, ALL, {max(ALL)}, ALL]


def test_work_in_threads_is_called_as_it_is_where_no_loop_keeps_to_a_core() -> None:
    """There is nothing to keep off; and a block that is over has left nothing."""
    with keep_to_the_last_core():
        pass
    assert elsewhere(len) is len
    assert beside_the_loop(len) is len


@two_cores
def test_thread_that_was_started_by_the_loop_is_let_go_with_it() -> None:
    """Trio keeps such threads, for whoever is next."""
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait, daemon=True)
    with keep_to_the_last_core():
        thread.start()
        assert thread.native_id is not None
        assert os.sched_getaffinity(thread.native_id) == {max(ALL)}
    assert os.sched_getaffinity(thread.native_id) == ALL
    is_over.set()
    thread.join()


@two_cores
def test_second_loop_of_a_thread_finds_the_core_taken_and_knows_the_others() -> None:
    """What it starts is spread as the first one's is."""
    with keep_to_the_last_core(), keep_to_the_last_core() as keeps:
        assert not keeps
        assert given_cores() == ALL
        assert elsewhere(os.sched_getaffinity)(0) == ALL - {max(ALL)}
        cores._move(0, {max(ALL)})  # this thread was not another one, and `elsewhere` let it go


@two_cores
def test_cores_that_are_gone_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever divides the machine may take them away meanwhile."""

    def refuse(thread: int, wanted: object) -> None:
        raise OSError("there are no such cores")

    with keep_to_the_last_core():
        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        with on_any_core():
            assert elsewhere(len)([1]) == 1
        monkeypatch.undo()
    assert os.sched_getaffinity(0) == ALL


@two_cores
async def test_child_does_not_inherit_that_its_parent_keeps_to_a_core() -> None:
    """It starts anywhere, and the loop is where it was."""
    with keep_to_the_last_core():
        async with Child([sys.executable, "-c", _WHERE]) as child:
            assert json.loads(await child.lines.read() or b"") == sorted(ALL)
        assert os.sched_getaffinity(0) == {max(ALL)}


@two_cores
def test_the_core_of_another_loop_is_not_taken() -> None:
    """The second one runs wherever the scheduler puts it."""
    with another_that_keeps_to_the_last_core(), keep_to_the_last_core() as keeps:
        assert not keeps
        assert os.sched_getaffinity(0) == ALL


@two_cores
def test_the_core_of_a_loop_that_was_killed_is_free() -> None:
    """Its claim died with it."""
    with another_that_keeps_to_the_last_core() as other:
        other.kill()
        other.wait()
        with keep_to_the_last_core() as keeps:
            assert keeps
