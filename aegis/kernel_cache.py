"""Where compiled code is kept: one folder for exactly these sources, owner-only.

Numba's own cache does not notice an edit in a function, or a constant, that a compiled one takes from *another* module
(numba issue 1833): it would go on running the old code. So the folder is named by the digest of every source that can
shape the machine code, and of the versions that do. Nothing here imports numba: whether there is something to
compile is known before anything else is started.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from aegis.errors import check

__all__ = ["cache_folder", "count_kernels", "is_warm", "mark_warm"]

_PACKAGE: Final = Path(__file__).absolute().parent  # as numba names it: links are not followed
_PROCESSORS: Final = Path("/proc/cpuinfo")
_KERNEL: Final = re.compile(rb"^ *@(?:compiled|callback)\b|= _call\(", re.MULTILINE)
_COMPILED_PACKAGES: Final = ("market", "shm")
"""Packages whose every file counts: their constants are frozen into the code."""


@cache
def _sources(package: Path) -> list[Path]:
    """The source files that can shape compiled code: two packages, and whatever else uses `aegis.compiled`."""
    return [
        path
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).parts[0] in _COMPILED_PACKAGES
        or b"aegis.compiled" in path.read_bytes()
    ]


@cache
def cache_folder() -> Path:
    """The folder of the compiled code for exactly these sources on this interpreter."""
    digest = hashlib.sha256()
    for part in (version("numba"), version("llvmlite"), platform.machine(), sys.version):
        digest.update(part.encode())
    for path in _sources(_PACKAGE):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        return _owned(root / "aegis" / digest.hexdigest()[:20])
    except OSError:  # a home that cannot be written to: a container, a service account
        shared = Path(tempfile.gettempdir()) / f"aegis-kernels-{os.geteuid()}"
        return _owned(shared / digest.hexdigest()[:20])


def _owned(folder: Path) -> Path:
    """Make the folder, and make sure that nobody else could put code into it."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    for each in (folder.parent, folder):
        status = each.stat()
        check(status.st_uid == os.geteuid(), f"{each} belongs to us")
        check(not status.st_mode & 0o022, f"{each} can be written to by its owner only")
    return folder


def count_kernels() -> int:
    """About how many kernels the sources have; some are compiled once a record type, so there are a few more."""
    return sum(len(_KERNEL.findall(path.read_bytes())) for path in _sources(_PACKAGE))


def is_warm() -> bool:
    """True when a process has already compiled and cached every kernel of these sources, where they lie now."""
    return _mark().exists()


def mark_warm() -> None:
    """Record that every kernel of these sources is in the cache. Call it after importing all of them."""
    _mark().touch()


def _processor() -> bytes:
    """The kind of the first processor and what it can do, where the system says so."""
    if not _PROCESSORS.exists():
        return b""
    lines = _PROCESSORS.read_bytes().partition(b"\n\n")[0].splitlines()
    return b"\n".join(line for line in lines if line.startswith((b"model", b"flags", b"Features")))


@cache
def _mark() -> Path:
    """The file that says that everything is there.

    Numba finds code again by the place of its source, in older versions by the time of its last change as well, and by the
    processor it is for: the same version has everything to compile in another checkout, or once its disk is in another machine.
    """
    digest = hashlib.sha256(bytes(_PACKAGE))
    digest.update(_processor())
    for path in _sources(_PACKAGE):
        digest.update(str(path.stat().st_mtime_ns).encode())
    return cache_folder() / f"complete-{digest.hexdigest()[:20]}"
