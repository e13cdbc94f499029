from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from aegis import kernel_cache
from aegis.errors import Broken, Unavailable
from aegis.kernel.clock import ManualClock
from aegis.kernel.process import own_children
from aegis.kernel_cache import cache_folder, count_kernels, is_warm, mark_warm
from aegis.ops.compiling import Progress, compile_kernels


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _forget()


def _forget() -> None:
    """As in a new process."""
    cache_folder.cache_clear()
    kernel_cache._mark.cache_clear()


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
    """A new version compiles once in each place, and only once."""
    assert not is_warm()
    mark_warm()
    assert is_warm()


def _copied(package: Path, name: str) -> Path:
    copy = package.parent / name
    shutil.copytree(package, copy, copy_function=shutil.copy2)
    return copy


@pytest.mark.parametrize("change", ["moved", "written anew"])
def test_same_sources_elsewhere_are_not_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """They share the folder, but numba does not find their code in it: another checkout, or another installation."""
    package = tmp_path / "package"
    (package / "shm").mkdir(parents=True)
    (package / "shm" / "layout.py").write_text("STRIDE = 64")
    monkeypatch.setattr(kernel_cache, "_PACKAGE", package)
    folder = cache_folder()
    mark_warm()
    if change == "moved":
        monkeypatch.setattr(kernel_cache, "_PACKAGE", _copied(package, "copy"))
    else:
        os.utime(package / "shm" / "layout.py", ns=(1, 1))
    _forget()
    assert cache_folder() == folder
    assert not is_warm()
    mark_warm()
    assert is_warm()


def test_same_sources_for_another_processor_are_not_warm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compiled for one is not run on another; how fast it happens to run now says nothing."""
    processors = tmp_path / "cpuinfo"
    monkeypatch.setattr(kernel_cache, "_PROCESSORS", processors)

    def is_warm_on(model: str, flags: str, mhz: str) -> bool:
        processors.write_text(
            f"processor\t: 0\nmodel name\t: {model}\ncpu MHz\t: {mhz}\nflags\t: {flags}\n\nprocessor\t: 1\n"
        )
        _forget()
        return is_warm()

    assert not is_warm_on("EPYC", "fpu avx2", "2445.1")
    mark_warm()
    assert is_warm_on("EPYC", "fpu avx2", "3100.7")
    assert not is_warm_on("EPYC", "fpu", "2445.1")
    assert not is_warm_on("Xeon", "fpu avx2", "2445.1")


@pytest.mark.processes
def test_same_sources_by_another_name_are_not_warm(tmp_path: Path) -> None:
    """Numba does not follow links: reached through one, the same files have everything to compile."""
    link = tmp_path / "link"
    link.symlink_to(Path(kernel_cache.__file__).parent.parent, target_is_directory=True)
    mark_warm()
    text = f"import sys; sys.path.insert(0, {str(link)!r}); from aegis.kernel_cache import is_warm; print(is_warm())"
    seen = subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert is_warm()
    assert seen.stdout.strip() == "False"


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


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules that a compiler can be told to import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.processes
async def test_parts_are_compiled_side_by_side(parts: Path) -> None:
    """Each by a process of its own; afterwards the cache holds everything, and nothing is done twice."""
    for name in ("one", "two"):
        (parts / f"part_{name}.py").write_text(
            "from aegis.compiled import compiled\n"
            f"@compiled('int64(int64)')\ndef {name}(x):\n    return x\n"
        )
    await compile_kernels([["part_one"], ["part_two"]])
    assert is_warm()
    kept = {path.name.partition(".")[0] for path in cache_folder().rglob("*.nbi")}
    assert kept == {"part_one", "part_two"}
    await compile_kernels([["no_such_module"]])


@pytest.mark.processes
async def test_part_that_does_not_compile_is_an_error(parts: Path) -> None:
    """And the cache is not taken for whole: the next start tries again."""
    (parts / "part_wrong.py").write_text("raise SystemExit(3)\n")
    with pytest.RaisesGroup(
        pytest.RaisesExc(Unavailable, match="part_wrong could not be compiled")
    ):
        await compile_kernels([["part_wrong"]])
    assert not is_warm()


@pytest.mark.processes
async def test_compiling_can_be_stopped(parts: Path) -> None:
    """Whoever does not want to wait does not have to, and no compiler goes on without him."""
    (parts / "part_slow.py").write_text(
        "print('begun', flush=True)\nimport signal\nsignal.pause()\n"
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(compile_kernels, [["part_slow"]])
        while not own_children():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert not own_children()
    assert not is_warm()


@pytest.mark.processes
def test_late_kernel_is_loaded_when_it_is_needed(tmp_path: Path) -> None:
    """For its one signature, whether Python calls it or a new kernel does; until then it costs nothing."""
    module = tmp_path / "late_kernels.py"
    module.write_text(
        "import sys\n"
        "from aegis.compiled import compiled, entry_point, until_it_ends, watch_compiling\n"
        "from aegis.kernel_cache import mark_warm\n"
        "loaded = []\n"
        "with watch_compiling(lambda name: loaded.append(name.partition('.')[2])):\n"
        "    @compiled('int64(int64)', late=True)\n"
        "    def inner(x):\n        return x + 1\n"
        "    @compiled('int64(int64)', late=True)\n"
        "    def other(x):\n        return x - 1\n"
        "    @compiled('int64(int64)', late=True)\n"
        "    def idle(x):\n        return x\n"
        "    first = list(loaded)\n"
        "    assert entry_point(other)(1) == 0\n"
        "    second = list(loaded)\n"
        "    @compiled(sys.argv[1])\n"
        "    def outer(x):\n        return inner(x)\n"
        "    assert outer(1) == 2\n"
        "if first == []:\n"
        "    with until_it_ends() as forbid, until_it_ends() as forbid_too:\n"
        "        forbid(), forbid_too()\n"
        "        try:\n            idle(1)\n        except TypeError:\n            pass\n"
        "        else:\n            raise SystemExit('compiled')\n"
        "    with until_it_ends():\n        pass\n"
        "    assert idle(1) == 1\n"
        "mark_warm()\n"
        "print(first, second, loaded, inner.nopython_signatures)\n"
    )
    cold, warm = (
        subprocess.run(
            [sys.executable, module, signature],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for signature in ("int64(int64)", "int64(uint8)")
    )
    eager = "['inner', 'other', 'idle']"
    inner_only = "[(int64,) -> int64]"
    assert cold == f"{eager} {eager} ['inner', 'other', 'idle', 'outer'] {inner_only}"
    assert warm == f"[] ['other'] ['other', 'outer', 'inner'] {inner_only}"


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
