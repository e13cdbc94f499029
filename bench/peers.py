"""Install the peers of the benchmarks, one by one: `python -m bench.peers`. One that does not install is named and left out."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def wanted() -> list[str]:
    """The requirements of the extra `bench`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements: list[str] = project["optional-dependencies"]["bench"]
    return requirements


def main() -> int:
    """Install each; whatever becomes of it, the benchmarks can run."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for requirement in wanted():
        done = subprocess.run(
            [*pip, "-c", "constraints.txt", requirement], cwd=ROOT, capture_output=True, check=False
        )
        if done.returncode:
            sys.stderr.write(f"{requirement} does not install here, and is left out\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
