from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aegis import kernel_cache
from aegis.errors import Broken
from aegis.kernel.clock import ManualClock
from aegis.kernel_cache import cache_folder, count_kernels, is_warm, mark_warm
from aegis.ops.compiling import Progress


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache_folder.cache_clear()


def test_cache_folder_changes_with_a_constant_of_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit that numba would not notice gets a folder of its own, and so do other versions."""
    package = tmp_path / "package"
    (package / "shm").mkdir(parents=True)
    constant = package / "shm" / "layout.py"
    constant.write_text("STRIDE = 64")
    monkeypatch.setattr(kernel_cache, "_PACKAGE", package)
    before = cache_folder()
    constant.write_text("STRIDE = 128")
    cache_folder.cache_clear()
    assert cache_folder() != before


def test_cache_folder_is_warm_once_marked() -> None:
    """A new version compiles once, and only once."""
    assert not is_warm()
    mark_warm()
    assert is_warm()


def test_cache_folder_of_others_is_refused(tmp_path: Path) -> None:
    """Code that somebody else could have put there is not run."""
    folder = cache_folder()
    folder.chmod(0o777)
    cache_folder.cache_clear()
    with pytest.raises(Broken, match="owner only"):
        cache_folder()


@pytest.mark.processes
def test_compiling_is_an_error_once_it_is_forbidden(tmp_path: Path) -> None:
    """A call with types that nobody foresaw is a TypeError, not a stall of seconds."""
    module = tmp_path / "kernel_under_test.py"
    module.write_text(
        "from aegis.compiled import compiled, entry_point, forbid_compiling\n"
        "@compiled('int64(int64)')\n"
        "def double(x):\n    return 2 * x\n"
        "forbid_compiling()\n"
        "assert double(21) == entry_point(double)(21) == 42\n"
        "try:\n    double('x')\nexcept TypeError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, str(module)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "refused\n"


def test_kernels_are_counted_in_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress has an end to count to before anything is compiled."""
    package = tmp_path / "package"
    (package / "shm").mkdir(parents=True)
    (package / "shm" / "one.py").write_text(
        "@compiled('int64()')\ndef a(): ...\n    @compiled('void()')\nready = _call('int64()', b)\n"
    )
    monkeypatch.setattr(kernel_cache, "_PACKAGE", package)
    assert count_kernels() == 3


def test_progress_is_said_about_once_a_second() -> None:
    """Not a line for each kernel, and never more of them than there are."""
    said: list[tuple[str, dict[str, object]]] = []
    clock = ManualClock()
    progress = Progress(lambda name, **values: said.append((name, values)), clock.monotonic_ns, 2)
    for number in range(4):
        clock.move_to(number * 600_000_000)
        progress.begin(f"kernel {number}")
    progress.end()
    assert said == [
        ("compiling", {"kernel": "kernel 2", "number": 3, "of_about": 3}),
        ("compiled", {"kernels": 4, "seconds": 1.8}),
    ]


@pytest.mark.processes
def test_nothing_is_left_to_compile_when_the_brain_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the engine imported, its rings and its thread need no kernel that is not there."""
    monkeypatch.delenv(
        "XDG_CACHE_HOME"
    )  # the machine's own: what is in there needs not be compiled again
    program = tmp_path / "program.py"
    program.write_text(
        "import trio\n"
        "import aegis.engine\n"
        "from aegis.actors.brain_thread import BrainThread\n"
        "from aegis.compiled import watch_compiling\n"
        "from aegis.market.analysis import Analysis\n"
        "from aegis.market.conflate import Conflation\n"
        "from aegis.market.records import TICK\n"
        "from aegis.shm import Ring\n"
        "kernels = []\n"
        "with watch_compiling(kernels.append), Ring.create(TICK, 1024) as ring:\n"
        "    ring.writer().write(0, 1, 1.0, 1.0, 1.0, 1.0)\n"
        "    BrainThread(ring.reader('brain'), Analysis(2), Conflation(2))\n"
        "print(kernels)\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.processes
def test_the_first_start_compiles_what_the_worker_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's process finds its kernels in the cache: otherwise no tick would come for half a minute."""
    monkeypatch.delenv("XDG_CACHE_HOME")  # the machine's own, as above
    program = (
        "import sys; from importlib import import_module; from aegis.ops.compiling import PARTS;"
        "[import_module(module) for part in PARTS for module in part];"
        "print(*sorted(name for name in sys.modules if name.startswith('aegis.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert {"aegis.venue.fastlane", "aegis.venue.depth_books", "aegis.engine"} <= set(
        loaded.stdout.split()
    )
