"""Child processes: real ones, since the claims are about the operating system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from aegis.errors import Broken, Refused
from aegis.kernel.process import Child, LineReader, die_with_parent, own_children

pytestmark = pytest.mark.processes

ECHO = "import sys\nfor line in sys.stdin: print('got', line.strip(), flush=True)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(60)
"""
# A parent that starts a child, says the child's pid, and waits to be killed.
PARENT = """
import sys, trio
from aegis.kernel.process import Child

async def main():
    async with Child([sys.executable, "-c", sys.argv[1]]) as child:
        await child.lines.read()
        print(child.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
IDLE = """
import time
from aegis.kernel.process import die_with_parent
die_with_parent()
print("ready", flush=True)
while True: time.sleep(60)
"""
BUSY = """
from aegis.kernel.process import die_with_parent
die_with_parent()
print("ready", flush=True)
while True: pass
"""


def python(code: str) -> list[str]:
    """The command line that runs some code."""
    return [sys.executable, "-c", code]


def open_fds() -> set[Path]:
    """What the descriptors of this process refer to."""
    # The descriptor that lists the folder is closed again when it is looked at.
    return {fd.readlink() for fd in list(Path("/proc/self/fd").iterdir()) if fd.exists()}


def is_known(pid: int) -> bool:
    """True for a process that lives or is a zombie."""
    return Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> None:
    """Wait until a process that is not ours has ended."""
    pidfd = os.pidfd_open(pid)
    try:
        with trio.fail_after(2):
            await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


@pytest.mark.trio
async def test_child_echoes_lines() -> None:
    """A line that is sent comes back as the child's answer, and EOF ends it in order."""
    async with Child(python(ECHO)) as child:
        await child.send_line(b"one")
        await child.send_line(b"two")
        assert await child.lines.read() == b"got one"
        assert await child.lines.read() == b"got two"
        assert await child.stop() == 0
    assert child.returncode == 0


@pytest.mark.trio
async def test_child_iterates_lines_to_the_end() -> None:
    """The lines end with the child's stdout, and a last line without an end counts."""
    async with Child(python("print('a'); print('b', end='')")) as child:
        assert [line async for line in child.lines] == [b"a", b"b"]
        assert await child.wait() == 0


@pytest.mark.trio
async def test_child_ladder_ends_in_kill() -> None:
    """A child that ignores EOF and SIGTERM is killed, within twice the grace."""
    async with Child(python(STUBBORN)) as child:
        assert await child.lines.read() == b"ready"
        with trio.fail_after(5):
            assert await child.stop(grace_s=0.1) == -signal.SIGKILL


@pytest.mark.trio
async def test_child_terminates_before_kill() -> None:
    """A child that ignores EOF only is ended by SIGTERM."""
    code = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)"
    async with Child(python(code)) as child:
        assert await child.lines.read() == b"ready"
        assert await child.stop(grace_s=0.1) == -signal.SIGTERM


@pytest.mark.trio
async def test_child_stops_under_cancellation() -> None:
    """Cancelling the block around a child still ends and reaps it."""
    with trio.CancelScope() as scope:
        async with Child(python(STUBBORN)) as child:
            assert await child.lines.read() == b"ready"
            child.kill()
            scope.cancel()
            await trio.sleep_forever()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.trio
async def test_child_leaves_nothing() -> None:
    """After a stop there is no descriptor, no child and no zombie more than before."""
    before = open_fds()
    async with Child(python(ECHO)) as child:
        assert child.pid in own_children()
    assert child.pid not in own_children()
    assert open_fds() == before
    assert not is_known(child.pid)


@pytest.mark.trio
async def test_child_that_cannot_start_leaves_nothing() -> None:
    """A program that does not exist is an error and leaks no pipe."""
    before = open_fds()
    with pytest.raises(FileNotFoundError):
        Child(["/nonexistent/program"])
    assert open_fds() == before


@pytest.mark.parametrize(
    ("arguments", "env"),
    [(["true\0"], {}), (["true"], {"A=B": "1"}), ([3], {})],
    ids=["argument", "environment", "number"],
)
@pytest.mark.trio
async def test_child_that_cannot_be_told_leaves_nothing(
    arguments: list[str], env: dict[str, str]
) -> None:
    """What no system takes is an error of whoever asked for it, and leaks no pipe."""
    before = open_fds()
    with pytest.raises((ValueError, TypeError)):
        Child(arguments, env=env)
    assert open_fds() == before


@pytest.mark.trio
async def test_child_waited_for_by_several() -> None:
    """Several tasks may wait for one child, and one of them may give up."""
    async with Child(python(ECHO)) as child, trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await child.wait()
        codes: list[int] = []

        async def wait() -> None:
            codes.append(await child.wait())

        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        child.kill()
        await child.wait()
    assert codes == [-signal.SIGKILL] * 2


@pytest.mark.trio
async def test_child_stop_twice() -> None:
    """Stopping a stopped child is harmless, and so is killing it."""
    child = Child(python(ECHO))
    assert await child.stop() == 0
    child.kill()
    assert await child.stop() == 0


@pytest.mark.trio
async def test_child_has_its_own_group() -> None:
    """A Ctrl-C at the terminal, which goes to the process group, does not reach the child."""
    async with Child(python(ECHO)) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


@pytest.mark.trio
async def test_child_inherits_passed_descriptors() -> None:
    """A descriptor that is passed on is open in the child under the same number."""
    read_fd, write_fd = os.pipe()
    try:
        code = f"import os; os.write({write_fd}, b'hello')"
        async with Child(python(code), pass_fds=(write_fd,)) as child:
            assert await child.wait() == 0
        assert os.read(read_fd, 5) == b"hello"
    finally:
        os.close(read_fd)
        os.close(write_fd)


@pytest.fixture
def parent(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process that has a child of the parameter's code."""
    command = [*python(PARENT), request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.trio
@pytest.mark.parametrize("parent", [IDLE, BUSY], indirect=True, ids=["idle", "busy"])
async def test_child_dies_with_its_parent(parent: subprocess.Popen[str]) -> None:
    """When the parent is killed with SIGKILL the child is gone within two seconds, even while it computes."""
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    await gone(pid)


@pytest.mark.trio
async def test_die_with_parent_when_parent_is_gone() -> None:
    """A child whose parent died before it could ask exits at once."""
    code = "from aegis.kernel.process import die_with_parent; die_with_parent(); print('alive')"
    # The shell in between is the real parent, so the announced one is not.
    async with Child(["/bin/sh", "-c", f'{sys.executable} -c "{code}"; exit $?']) as child:
        assert [line async for line in child.lines] == []
        assert await child.wait() == 1


def test_die_with_parent_outside_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was not started as a child is told so."""
    monkeypatch.delenv("AEGIS_PARENT_PID", raising=False)
    with pytest.raises(Refused, match="not started as a Child"):
        die_with_parent()


@pytest.mark.trio
async def test_send_line_with_a_line_end() -> None:
    """A line that would be two is refused."""
    async with Child(python(ECHO)) as child:
        with pytest.raises(Refused):
            await child.send_line(b"a\nb")


@pytest.mark.trio
async def test_line_reader_bounds_a_line() -> None:
    """A line longer than allowed is an error, whether its end has come or not."""
    for tail in (b"", b"\n"):
        left, right = trio.testing.memory_stream_pair()
        await left.send_all(b"x" * 11 + tail)
        with pytest.raises(Broken):
            await LineReader(right, 10).read()


@pytest.mark.trio
async def test_line_reader_survives_cancellation() -> None:
    """A read that is cancelled in the middle of a line loses nothing."""
    left, right = trio.testing.memory_stream_pair()
    reader = LineReader(right, 100)
    await left.send_all(b"half ")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.read)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    await left.send_all(b"a line\nnext\n")
    assert await reader.read() == b"half a line"
    assert await reader.read() == b"next"
