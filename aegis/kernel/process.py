"""Child processes that never outlive their parent and never stay behind as zombies.

Two independent ways lead to a child's end when the parent dies, by whatever death: the kernel kills it
(`PR_SET_PDEATHSIG`, which the child asks for in `die_with_parent`), and its stdin reaches its end. The first works
while the child is busy, the second on every system.

`PR_SET_PDEATHSIG` is bound to the *thread* that forked. `trio.lowlevel.open_process` forks in a worker thread, which
Trio retires after ten idle seconds, and a healthy child dies with it. So a child is forked right here, in the thread
that runs the loop; that holds the loop up for 2 to 8 ms, once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import trio
from trio.lowlevel import FdStream

from aegis.errors import Broken, Refused, check
from aegis.kernel.cores import on_any_core

__all__ = ["Child", "LineReader", "children_of", "die_with_parent", "held", "own_children"]

_PARENT_PID = "AEGIS_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_CHUNK = 65_536


class Child:
    """A running child process with pipes to its stdin and from its stdout; stderr is inherited.

    Use it as an async context manager, or call `stop`: either way the process is reaped and every descriptor closed.
    It has a process group of its own, so that a Ctrl-C at the terminal reaches the parent only.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Iterable[int] = (),
        line_length_max: int = 1 << 20,
    ) -> None:
        """Start it. Call this in the thread of the loop, which has to live as long as the child.

        Args:
            arguments: the program and its arguments.
            env: set in the child beside the variables of this process.
            pass_fds: descriptors that the child inherits under the same numbers.
            line_length_max: bytes of one line of its stdout, its end not counted.

        Raises:
            OSError: when the program cannot be started.
            ValueError, TypeError: when its arguments or its environment cannot be told to the system.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            child_in, stdin_fd = _pipe(theirs, ours)
            stdout_fd, child_out = _pipe(ours, theirs)
            with on_any_core():
                self._process = subprocess.Popen(
                    arguments,
                    stdin=child_in,
                    stdout=child_out,
                    env={**os.environ, **(env or {}), _PARENT_PID: str(os.getpid())},
                    pass_fds=tuple(pass_fds),
                    process_group=0,
                )
            self._pidfd = os.pidfd_open(self._process.pid)
            ours.pop_all()
        self._stdin = FdStream(stdin_fd)
        self._stdout = FdStream(stdout_fd)
        self._reaping = trio.Lock()
        self.lines = LineReader(self._stdout, line_length_max)

    @property
    def pid(self) -> int:
        """Its process id; no longer its own once it is reaped."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for the signal that killed it; None until it is reaped."""
        return self._process.returncode

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def wait(self) -> int:
        """Wait for its end and reap it; returns the exit status. Several tasks may wait."""
        async with self._reaping:
            if self._process.returncode is None:
                await trio.lowlevel.wait_readable(self._pidfd)
                check(
                    self._process.poll() is not None, "a readable pidfd is that of an ended process"
                )
        check(self._process.returncode is not None, "whoever held the lock has reaped the child")
        return int(self._process.returncode)

    async def send_line(self, line: bytes) -> None:
        """Write one line to its stdin.

        Raises:
            Refused: when the line holds a line end.
            trio.BrokenResourceError: when the child has closed its stdin or has ended.
        """
        if b"\n" in line:
            raise Refused("a line does not hold a line end")
        await self._stdin.send_all(line + b"\n")

    def kill(self) -> None:
        """Send SIGKILL; the end is then found by `wait` or `stop`."""
        self._signal(signal.SIGKILL)

    async def stop(self, grace_s: float = 2.0) -> int:
        """End it: close its stdin, then SIGTERM, then SIGKILL, with `grace_s` after each of the first two.

        Shielded from cancellation; it takes at most twice the grace. Returns the exit status.
        """
        with trio.CancelScope(shield=True):
            await self._stdin.aclose()
            if not await self._has_ended_within(grace_s):
                self._signal(signal.SIGTERM)
                if not await self._has_ended_within(grace_s):
                    self.kill()
            returncode = await self.wait()
            await self._stdout.aclose()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        return returncode

    async def _has_ended_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self.wait()
        return self.returncode is not None

    def _signal(self, number: signal.Signals) -> None:
        # By pidfd, so that a pid which the system has given to another process is never hit.
        if self.returncode is None:
            signal.pidfd_send_signal(self._pidfd, number)


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """A pipe, of which each end is closed with its stack."""
    read_fd, write_fd = os.pipe()
    reading.callback(os.close, read_fd)
    writing.callback(os.close, write_fd)
    return read_fd, write_fd


@asynccontextmanager
async def held(child: Child, grace_s: float = 1.0) -> AsyncIterator[Child]:
    """A child for the time of a block: stopped in order at its end, killed when the block fails."""
    try:
        yield child
        await child.stop(grace_s)
    finally:
        child.kill()
        await child.stop()


class LineReader:
    """Lines of a byte stream, without their ends; an async iterator that may be abandoned at any point."""

    def __init__(self, stream: trio.abc.ReceiveStream, length_max: int) -> None:
        self._stream = stream
        self._length_max = length_max
        self._buffer = bytearray()
        self._searched = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        line = await self.read()
        if line is None:
            raise StopAsyncIteration
        return line

    async def read(self) -> bytes | None:
        """Read the next line; None at the end of the stream. A last line without an end counts as one.

        Cancelling it loses nothing.

        Raises:
            Broken: when a line is longer than allowed.
        """
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            self._searched = len(self._buffer)
            self._check_length(self._searched)
            chunk = await self._stream.receive_some(_CHUNK)
            if not chunk:
                return self._take(len(self._buffer)) if self._buffer else None
            self._buffer += chunk
        self._check_length(end)
        return self._take(end)

    def _take(self, end: int) -> bytes:
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _check_length(self, length: int) -> None:
        if length > self._length_max:
            raise Broken(f"a line of more than {self._length_max} bytes")


def die_with_parent() -> None:
    """Have the system kill this process when its parent dies; called by a child first of all.

    It exits at once when the parent is gone already: then it was never going to hear of its death.

    Raises:
        Refused: when it was not started as a `Child`.
        OSError: when the system does not offer it.
    """
    parent_pid = os.environ.get(_PARENT_PID)
    if parent_pid is None:
        raise Refused(f"{_PARENT_PID} is not set: this process was not started as a Child")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != int(parent_pid):
        raise SystemExit(1)


def own_children() -> list[int]:
    """The process ids of this process's living children; a zombie is none."""
    return children_of(os.getpid())


def children_of(pid: int) -> list[int]:
    """The process ids of a process's living children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            state, parent = _state_and_parent(entry)
            if parent == pid and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def _state_and_parent(process: Path) -> tuple[str, int]:
    """Read proc(5) `stat`: pid (name) state ppid ...; the name may hold anything, even parentheses."""
    try:
        fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return "Z", 0
    return fields[0], int(fields[1])
