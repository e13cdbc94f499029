"""`python -m aegis`."""

from __future__ import annotations

from aegis.ops.cli import app

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="aegis")


if __name__ == "__main__":
    main()
