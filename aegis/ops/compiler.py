"""A process that compiles one part of the engine into the cache, and says which kernel it comes to, one a line.

`python -m aegis.ops.compiler aegis.engine …`, started as a `Child`.
"""

from __future__ import annotations

import sys
from importlib import import_module

from aegis.compiled import watch_compiling
from aegis.kernel.process import die_with_parent

__all__ = ["main"]


def main() -> None:
    """Import the modules that were named: that is what compiles."""
    die_with_parent()
    with watch_compiling(lambda kernel: print(kernel, flush=True)):
        for module in sys.argv[1:]:
            import_module(module)


if __name__ == "__main__":
    main()
