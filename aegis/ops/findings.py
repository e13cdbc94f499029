"""What to think of a machine, and what to do about it. Pure: every judgement is a function of `machine.Facts`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

import attrs

from aegis.ops.machine import Facts

__all__ = ["Finding", "Verdict", "examine"]

_MEGABYTE: Final = 1 << 20
_PYTHON: Final = (3, 11)
_SLOW_CLOCKS: Final = {"hpet", "acpi_pm", "jiffies", "pit"}
_FORGETFUL: Final = {"tmpfs", "ramfs"}
_FAR: Final = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}
_RECV_WINDOW_AHEAD_MS: Final = 1000
"""A request from further in the future is refused, whatever its window (protocol §8)."""


class Verdict(StrEnum):
    """How bad it is. An error keeps the engine from working, or from working safely."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@attrs.frozen
class Finding:
    """One thing looked at."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(facts: Facts) -> list[Finding]:
    """Judge everything there is to judge."""
    return [*_interpreter(facts), *_packages(facts), *(judge(facts) for judge in _JUDGEMENTS)]


def _found(name: str, found: str, *rules: tuple[bool, Verdict, str]) -> Finding:
    """The first rule that applies decides; none means that all is well."""
    for applies, verdict, advice in rules:
        if applies:
            return Finding(name, verdict, found, advice)
    return Finding(name, Verdict.OK, found)


def _interpreter(facts: Facts) -> Iterator[Finding]:
    version = ".".join(map(str, facts.python))
    yield _found(
        "Python",
        f"{facts.implementation} {version} on {facts.system}",
        (
            facts.system != "Linux",
            Verdict.ERROR,
            "run it on Linux: it needs memfd, eventfd and pidfd",
        ),
        (facts.implementation != "CPython", Verdict.ERROR, "use CPython: numba needs it"),
        (facts.python[:2] < _PYTHON, Verdict.ERROR, "use Python 3.11 or newer"),
        (not facts.pidfd, Verdict.ERROR, "use a kernel of 5.3 or newer: it has pidfd_open"),
    )


def _packages(facts: Facts) -> Iterator[Finding]:
    missing = [each.name for each in facts.packages if not each.installed]
    old = [
        f"{each.name} {each.installed} (needs {each.needed})"
        for each in facts.packages
        if each.installed and _version(each.installed) < _version(each.needed)
    ]
    yield _found(
        "packages",
        ", ".join(f"{each.name} {each.installed or 'missing'}" for each in facts.packages),
        (not facts.packages, Verdict.ERROR, "install the project: make .venv"),
        (bool(missing), Verdict.ERROR, f"install {', '.join(missing)}: make .venv"),
        (bool(old), Verdict.ERROR, f"update {', '.join(old)}: make .venv"),
    )


def _version(text: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _cores(facts: Facts) -> Finding:
    return _found(
        "cores",
        str(facts.cores),
        (facts.cores < 2, Verdict.WARNING, "give it two: worker and main process share this one"),
    )


def _rest(facts: Facts) -> Finding:
    times = facts.rested_work_us / facts.work_us
    return _found(
        "after a rest",
        f"work of {facts.work_us:.0f} us takes {times:.1f} times as long",
        (
            times > 4,
            Verdict.WARNING,
            "orders come after rests: prefer a machine that nobody else works on",
        ),
    )


def _idle_cores(facts: Facts) -> Finding:
    asked = facts.cpu_latency_us >= 0
    return _found(
        "idle cores",
        f"they rest: {facts.resting}"
        if facts.resting
        else f"at work within {facts.cpu_latency_us} us while the engine runs",
        (
            asked and bool(facts.resting),
            Verdict.WARNING,
            "let the engine's user write to /dev/cpu_dma_latency (a udev rule; docker: --device), or see run.keep_awake",
        ),
    )


def _memory(facts: Facts) -> Finding:
    free = facts.shm_free_bytes
    return _found(
        "shared memory",
        f"memfd {facts.memfd or 'works'}, /dev/shm "
        + ("is not there" if free is None else f"{free // _MEGABYTE:,} MB free"),
        (bool(facts.memfd), Verdict.ERROR, "allow memfd_create: the ring lives in one"),
        (free is None, Verdict.WARNING, "mount a tmpfs there if you want rings with a name"),
        ((free or 0) < 64 * _MEGABYTE, Verdict.WARNING, "enlarge it (docker: --shm-size=256m)"),
    )


def _files(facts: Facts) -> Finding:
    return _found(
        "open files",
        f"{facts.files_max:,} allowed",
        (0 <= facts.files_max < 128, Verdict.ERROR, "ulimit -n 1024: a start needs about 110"),
        (0 <= facts.files_max < 1024, Verdict.WARNING, "ulimit -n 1024"),
    )


def _sync(facts: Facts) -> Finding:
    if facts.disk is None:
        return Finding("fsync", Verdict.ERROR, "not measured", "see the journal's disk")
    sync_ms = facts.disk.sync_ms
    return _found(
        "fsync",
        f"{sync_ms:.2f} ms, worst {facts.disk.sync_worst_ms:.2f} ms",
        (
            sync_ms > 10,
            Verdict.WARNING,
            "every order waits this long: put run.journal on a faster disk, of this machine's own",
        ),
        (
            sync_ms < 0.02,
            Verdict.WARNING,
            "no disk is that fast: what is synced here may not survive a power cut",
        ),
    )


def _clock(facts: Facts) -> Finding:
    return _found(
        "clock source",
        f"{facts.clock_source or 'unknown'}, {facts.clock_read_ns:.0f} ns a reading",
        (
            facts.clock_source in _SLOW_CLOCKS or facts.clock_read_ns > 1000,
            Verdict.WARNING,
            "readings are slow: have the kernel use tsc or kvm-clock (boot option clocksource=)",
        ),
    )


def _offset(facts: Facts) -> Finding:
    offset = facts.offset.offset_ms
    away = abs(offset or 0)
    return _found(
        "venue's clock",
        f"{facts.offset.venue}: "
        + (facts.offset.why if offset is None else f"{offset:+d} ms from ours"),
        (offset is None, Verdict.ERROR, "check address and network; --venue sim needs neither"),
        (
            away >= _RECV_WINDOW_AHEAD_MS,
            Verdict.ERROR,
            "set this machine's clock (chrony, systemd-timesyncd): orders would be refused",
        ),
        (away >= 250, Verdict.WARNING, "let chrony or systemd-timesyncd keep this machine's clock"),
    )


def _keys(facts: Facts) -> Finding:
    needed = facts.offset.venue != "sim"
    return _found(
        "API key",
        "set" if facts.keys else "not set" if needed else "not needed: sim",
        (
            needed and not facts.keys,
            Verdict.ERROR,
            "set BINANCE_API_KEY and BINANCE_API_SECRET in the environment",
        ),
    )


def _cache(facts: Facts) -> Finding:
    return _found(
        "compiled code",
        facts.cache or facts.cache_why,
        (not facts.cache, Verdict.ERROR, "name a folder of your own in XDG_CACHE_HOME"),
        (
            not facts.compiled,
            Verdict.WARNING,
            "not there yet: the first start compiles for up to a minute",
        ),
    )


def _journal(facts: Facts) -> Finding:
    disk = facts.disk
    if disk is None:
        advice = "name a folder that can be written to in run.journal or XDG_STATE_HOME"
        return Finding("journal's disk", Verdict.ERROR, facts.disk_why, advice)
    free = disk.free_bytes // _MEGABYTE
    return _found(
        "journal's disk",
        f"{disk.folder}, {disk.kind or 'unknown'}, {free:,} MB free",
        (free < 100, Verdict.ERROR, "make room: the engine stops when its journal is full"),
        (free < 1024, Verdict.WARNING, "make room: a day of trading may fill it"),
        (disk.kind in _FORGETFUL, Verdict.WARNING, "memory forgets: put run.journal on a disk"),
        (
            disk.kind in _FAR,
            Verdict.WARNING,
            "locks and syncs over a network fail in ways of their own",
        ),
    )


_JUDGEMENTS: Final[tuple[Callable[[Facts], Finding], ...]] = (
    _cores,
    _rest,
    _idle_cores,
    _memory,
    _files,
    _sync,
    _clock,
    _offset,
    _keys,
    _cache,
    _journal,
)
