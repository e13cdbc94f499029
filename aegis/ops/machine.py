"""What a machine is like, measured: the facts that `findings` judges."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import platform
import re
import resource
import select
import statistics
import sys
import tempfile
from contextlib import suppress
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Final

import attrs

from aegis.config import Config
from aegis.cpu_latency import request_cpu_latency
from aegis.errors import AegisError
from aegis.kernel.clock import SystemClock
from aegis.kernel_cache import cache_folder, is_warm

__all__ = ["Disk", "Facts", "Offset", "Package", "look"]

_SYNCS: Final = 15
_SYNC_BYTES: Final = 4096
_READS: Final = 20_000
_WORKS: Final = 15
_WORK_FIELDS: Final = 12
_REST_S: Final = 0.02
_CLOCK_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


@attrs.frozen
class Package:
    """Something that is imported; versions as text, empty where there is none."""

    name: str
    needed: str
    installed: str


@attrs.frozen
class Disk:
    """Where the journal goes."""

    folder: str
    kind: str
    """Of the file system, as the kernel calls it."""
    free_bytes: int
    sync_ms: float
    """The median of writing a page and syncing it."""
    sync_worst_ms: float


@attrs.frozen
class Offset:
    """Of the venue's clock to ours."""

    venue: str
    offset_ms: int | None
    """None where it could not be asked."""
    why: str = ""


@attrs.frozen
class Facts:
    """One machine."""

    system: str
    implementation: str
    python: tuple[int, int, int]
    packages: tuple[Package, ...]
    cores: int
    shm_free_bytes: int | None
    """None where there is no place for named segments."""
    memfd: str
    """Why a sealed segment could not be made; empty: it could."""
    pidfd: bool
    files_max: int
    clock_source: str
    clock_read_ns: float
    work_us: float
    """A piece of work such as an order's, done again and again,"""
    rested_work_us: float
    """and the same after a rest."""
    cpu_latency_us: int
    """What the engine asks of idle cores, if it does,"""
    resting: str
    """and why they rest nevertheless; empty: they do as asked."""
    cache: str
    """Where compiled code is kept; empty where nobody can keep it safely."""
    cache_why: str
    compiled: bool
    disk: Disk | None
    disk_why: str
    keys: bool
    """Whether an API key and its secret stand in the environment."""
    offset: Offset


def look(config: Config, offset: Offset) -> Facts:
    """Measure everything but the venue's clock; takes some tenths of a second."""
    cpu_latency_us = config.run.cpu_latency_us
    with request_cpu_latency(cpu_latency_us) as resting:
        work_us, rested_work_us = _work_us(0.0), _work_us(_REST_S)
    cache, cache_why, compiled = _cache()
    disk, disk_why = _disk(_journal_folder(config))
    return Facts(
        system=platform.system(),
        implementation=platform.python_implementation(),
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        packages=tuple(_packages()),
        cores=len(os.sched_getaffinity(0)),
        shm_free_bytes=_shm_free_bytes(),
        memfd=_memfd_fault(),
        pidfd=hasattr(os, "pidfd_open"),
        files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        clock_source=_text(_CLOCK_SOURCE),
        clock_read_ns=_clock_read_ns(),
        work_us=work_us,
        rested_work_us=rested_work_us,
        cpu_latency_us=cpu_latency_us,
        resting=resting,
        cache=cache,
        cache_why=cache_why,
        compiled=compiled,
        disk=disk,
        disk_why=disk_why,
        keys=bool(os.environ.get("BINANCE_API_KEY") and os.environ.get("BINANCE_API_SECRET")),
        offset=offset,
    )


def _packages() -> list[Package]:
    """What the project needs to run, as its own metadata says."""
    found = []
    for line in metadata.requires("aegis") or ():
        requirement, _, condition = line.partition(";")
        match = re.match(r"([\w.-]+)\s*(?:>=\s*([\w.]+))?", requirement)
        if match is None or "extra" in condition:
            continue
        installed = ""
        with suppress(metadata.PackageNotFoundError):
            installed = metadata.version(match[1])
        found.append(Package(match[1], match[2] or "", installed))
    return found


def _shm_free_bytes() -> int | None:
    with suppress(OSError):
        state = os.statvfs("/dev/shm")  # noqa: S108  # where names live
        return state.f_bavail * state.f_frsize
    return None


def _memfd_fault() -> str:
    """Make a segment as the ring does, and see whether it can be sealed and mapped."""
    try:
        fd = os.memfd_create("aegis-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            with mmap.mmap(fd, mmap.PAGESIZE) as memory:
                memory[0] = 1
        finally:
            os.close(fd)
    except OSError as why:
        return why.strerror or repr(why)
    return ""


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def _clock_read_ns() -> float:
    now_ns = SystemClock.monotonic_ns
    began_ns = now_ns()
    for _ in range(_READS):
        now_ns()
    return (now_ns() - began_ns) / _READS


def _work_us(rest_s: float) -> float:
    """How long the same work takes each time, with a rest before it: the median."""
    times_us = []
    for number in range(_WORKS):
        if rest_s:
            select.select((), (), (), rest_s)
        began_ns = SystemClock.monotonic_ns()
        body = {f"field {place}": str(Decimal(number + place) / 7) for place in range(_WORK_FIELDS)}
        hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        times_us.append((SystemClock.monotonic_ns() - began_ns) / 1e3)
    return statistics.median(times_us)


def _cache() -> tuple[str, str, bool]:
    try:
        return str(cache_folder()), "", is_warm()
    except (OSError, AegisError) as why:
        return "", str(why), False


def _journal_folder(config: Config) -> Path:
    if config.run.journal:
        return Path(config.run.journal).expanduser().parent
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "aegis" / config.venue.name


def _disk(folder: Path) -> tuple[Disk | None, str]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = os.statvfs(folder)
        times_ms = _sync_times_ms(folder)
    except OSError as why:
        return None, f"{folder}: {why.strerror}"
    free_bytes = state.f_bavail * state.f_frsize
    return (
        Disk(str(folder), _kind(folder), free_bytes, statistics.median(times_ms), max(times_ms)),
        "",
    )


def _sync_times_ms(folder: Path) -> list[float]:
    """How long it takes to write a page and have it on the disk, some times over."""
    times_ms = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            began_ns = SystemClock.monotonic_ns()
            os.write(file.fileno(), bytes(_SYNC_BYTES))
            os.fdatasync(file.fileno())
            times_ms.append((SystemClock.monotonic_ns() - began_ns) / 1e6)
    return times_ms


def _kind(folder: Path) -> str:
    """The file system that holds a folder: the one that is mounted nearest above it."""
    above, kind = -1, ""
    for line in _text(Path("/proc/self/mounts")).splitlines():
        _, place, name, *_ = line.split()
        mounted = Path(place.replace("\\040", " "))
        depth = len(mounted.parts)
        if depth >= above and folder.resolve().is_relative_to(mounted):
            above, kind = depth, name
    return kind
