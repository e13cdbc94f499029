"""The full run: every benchmark one after the other, one table, one file of results: `python -m bench [--runs N]`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from bench import full_run, table
from bench.full_run import NAMES, Document, Run
from bench.report import commit


def run_one(name: str, runs: int, scale: float) -> tuple[Document | None, list[str]]:
    """One benchmark in a process of its own; its document, and what is missing of it."""
    command = [sys.executable, "-m", f"bench.{name}", "--json"]
    done = subprocess.run(
        [*command, "--runs", str(runs), "--scale", str(scale)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()
    missing = [line for line in said if "not installed" in line]
    if done.returncode:
        why = said[-1] if said else f"exit code {done.returncode}"
        return None, [*missing, f"{name} did not end well: {why}"]
    document: Document = json.loads(done.stdout)
    return document, missing


def main() -> int:
    """Run them; returns 3 where one did not end well."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--runs", type=int, default=5, help="of each contestant (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the amount of work (1)")
    parser.add_argument("--only", default=",".join(NAMES), help="some of them, by commas; not kept")
    options = parser.parse_args()
    names = [name for name in NAMES if name in options.only.split(",")]
    began_s = time.monotonic()
    documents, missing = [], []
    for name in names:
        sys.stderr.write(f"{name} …\n")
        document, without = run_one(name, options.runs, options.scale)
        documents += [] if document is None else [document]
        missing += without
    run = Run(
        full_run.now(),
        commit(),
        full_run.machine(),
        round(time.monotonic() - began_s),
        tuple(documents),
        tuple(missing),
    )
    print(table.text(run))
    is_full = names == list(NAMES) and options.runs >= 5 and options.scale >= 1
    if is_full and len(documents) == len(NAMES):
        full_run.save(run)
    return 0 if len(documents) == len(names) else 3


if __name__ == "__main__":
    sys.exit(main())
