from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aegis import kernel_cache
from aegis.errors import Broken
from aegis.kernel_cache import cache_folder, is_warm, mark_warm


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
